package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// fit says how well the overlay goes with an upstream document.
type fit struct {
	misfits []string // for which trim refuses the document
	gaps    []string // what upstream adds without words of ours in the overlay
}

var (
	// stepName is what trim puts before the first of the errors of one step.
	stepName   = regexp.MustCompile(`^trim: (applying the overlay|checking the result|folding #stream paths|selecting operations|removing unreachable components|renaming schemas): `)
	unmatched  = regexp.MustCompile(`selector "(.*?)" did not match any targets(?:,|$)`)
	twoLists   = regexp.MustCompile(`^(\S+) lists \[(.*)\], but the discriminator values of (\S+) are \[(.*)\]$`)
	exitStatus = regexp.MustCompile(`^exit status \d+$`)
)

// trim runs openapi/trim, which writes its document to out if the overlay fits.
func trim(ctx context.Context, in inputs, out string) (fit, error) {
	program := []string{"go", "run", "./openapi/trim"}
	if in.programs != "" {
		program = []string{filepath.Join(in.programs, "trim")}
	}
	var arguments []string
	for _, file := range []struct{ name, path string }{{"-upstream", in.upstream}, {"-overlay", in.overlay}, {"-o", out}} {
		absolute, err := filepath.Abs(file.path)
		if err != nil {
			return fit{}, err
		}
		arguments = append(arguments, file.name, absolute)
	}
	command := exec.CommandContext(ctx, program[0], append(program[1:], arguments...)...) //nolint:gosec // the program is the caller's, or the go command
	command.Dir = in.repo
	var stderr bytes.Buffer
	command.Stderr = &stderr
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return fit{}, fmt.Errorf("running openapi/trim: %w", err)
	}

	var f fit
	for line := range strings.Lines(stderr.String()) {
		line = strings.TrimSpace(line)
		gap, isGap := strings.CutPrefix(line, "trim: warning: ")
		switch {
		case line == "" || exitStatus.MatchString(line):
		case isGap:
			gap, _, _ = strings.Cut(gap, ": add it to ")
			f.gaps = append(f.gaps, gap)
		case err != nil:
			f.misfits = append(f.misfits, inWords(stepName.ReplaceAllString(line, ""))...)
		}
	}
	if err != nil && !strings.Contains(stderr.String(), "trim: ") {
		return fit{}, fmt.Errorf("running openapi/trim: %w\n%s", err, &stderr)
	}
	return f, nil
}

// inWords puts an error of trim's so that it says what the overlay lacks.
func inWords(line string) []string {
	var words []string
	if targets := unmatched.FindAllStringSubmatch(line, -1); targets != nil {
		for _, target := range targets {
			words = append(words, "nothing is at "+strings.ReplaceAll(target[1], `\"`, `"`))
		}
		return words
	}
	m := twoLists.FindStringSubmatch(line)
	if m == nil {
		return []string{line}
	}
	listed, mapped := strings.Fields(m[2]), strings.Fields(m[4])
	for _, v := range mapped {
		if !slices.Contains(listed, v) {
			words = append(words, fmt.Sprintf("%s lacks %q, a discriminator value of %s", m[1], v, m[3]))
		}
	}
	for _, v := range listed {
		if !slices.Contains(mapped, v) {
			words = append(words, fmt.Sprintf("%s lists %q, which is not a discriminator value of %s", m[1], v, m[3]))
		}
	}
	return words
}
