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

// An overlayResult holds the findings of trim about the overlay and an upstream document.
type overlayResult struct {
	errors []string // the errors of trim
	gaps   []string // the missing descriptions
}

var (
	// stepName matches the prefix that trim adds to the errors of a step.
	stepName   = regexp.MustCompile(`^trim: (applying the overlay|checking the result|merging #stream paths|selecting operations|removing unreachable components|renaming schemas): `)
	unmatched  = regexp.MustCompile(`selector "(.*?)" did not match any targets(?:,|$)`)
	twoLists   = regexp.MustCompile(`^(\S+) lists \[(.*)\], but the discriminator values of (\S+) are \[(.*)\]$`)
	exitStatus = regexp.MustCompile(`^exit status \d+$`)
)

// trim runs openapi/trim, which writes its document to out if it succeeds.
func trim(ctx context.Context, in inputs, out string) (overlayResult, error) {
	program := []string{"go", "run", "./openapi/trim"}
	if in.programs != "" {
		program = []string{filepath.Join(in.programs, "trim")}
	}
	var arguments []string
	for _, file := range []struct{ name, path string }{{"-upstream", in.upstream}, {"-overlay", in.overlay}, {"-o", out}} {
		absolute, err := filepath.Abs(file.path)
		if err != nil {
			return overlayResult{}, err
		}
		arguments = append(arguments, file.name, absolute)
	}
	command := exec.CommandContext(ctx, program[0], append(program[1:], arguments...)...) //nolint:gosec // the program of the flag -programs, or the go command
	command.Dir = in.repo
	var stderr bytes.Buffer
	command.Stderr = &stderr
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		return overlayResult{}, fmt.Errorf("running openapi/trim: %w", err)
	}

	var result overlayResult
	for line := range strings.Lines(stderr.String()) {
		line = strings.TrimSpace(line)
		gap, isGap := strings.CutPrefix(line, "trim: warning: ")
		switch {
		case line == "" || exitStatus.MatchString(line):
		case isGap:
			gap, _, _ = strings.Cut(gap, ": add it to ")
			result.gaps = append(result.gaps, gap)
		case err != nil:
			result.errors = append(result.errors, explain(stepName.ReplaceAllString(line, ""))...)
		}
	}
	if err != nil && !strings.Contains(stderr.String(), "trim: ") {
		return overlayResult{}, fmt.Errorf("running openapi/trim: %w\n%s", err, &stderr)
	}
	return result, nil
}

// explain returns an error of trim in plain words.
func explain(line string) []string {
	var texts []string
	if targets := unmatched.FindAllStringSubmatch(line, -1); targets != nil {
		for _, target := range targets {
			texts = append(texts, "action target not found: "+strings.ReplaceAll(target[1], `\"`, `"`))
		}
		return texts
	}
	m := twoLists.FindStringSubmatch(line)
	if m == nil {
		return []string{line}
	}
	listed, mapped := strings.Fields(m[2]), strings.Fields(m[4])
	for _, v := range mapped {
		if !slices.Contains(listed, v) {
			texts = append(texts, fmt.Sprintf("%s lacks %q, a discriminator value of %s", m[1], v, m[3]))
		}
	}
	for _, v := range listed {
		if !slices.Contains(mapped, v) {
			texts = append(texts, fmt.Sprintf("%s lists %q, which is not a discriminator value of %s", m[1], v, m[3]))
		}
	}
	return texts
}
