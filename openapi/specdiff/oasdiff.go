package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// finding is one entry of oasdiff's changelog.
type finding struct {
	ID        string  `json:"id"`
	Text      string  `json:"text"`
	Level     int     `json:"level"`
	Operation string  `json:"operation"`
	Path      string  `json:"path"`
	Base      *source `json:"baseSource"`
	Revision  *source `json:"revisionSource"`
}

// source is where in a document a finding stands.
type source struct {
	Line   int `json:"line"`
	Column int `json:"column"`
}

// notOurs are findings that say nothing of the API here.
var notOurs = map[string]bool{
	"api-version-not-bumped": true, // the version of the trimmed document is not upstream's
	"api-schema-removed":     true, // see compareComponents
}

// oasdiff lists how a document differs from the committed one.
func oasdiff(ctx context.Context, in inputs, revision string) ([]finding, error) {
	program := []string{"go", "tool", "-modfile=oasdiff.mod", "oasdiff"}
	if in.programs != "" {
		program = []string{filepath.Join(in.programs, "oasdiff")}
	}
	arguments := append(program[1:], "changelog", "--format", "json", "--severity-levels", "severity.txt")
	for _, path := range []string{in.committed, revision} {
		absolute, err := filepath.Abs(path)
		if err != nil {
			return nil, err
		}
		arguments = append(arguments, absolute)
	}
	command := exec.CommandContext(ctx, program[0], arguments...) //nolint:gosec // the program is the caller's, or the go command
	command.Dir = filepath.Join(in.repo, "openapi", "specdiff")   // with oasdiff.mod and severity.txt
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return nil, fmt.Errorf("running oasdiff: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	var all, ours []finding
	if err := json.Unmarshal(stdout.Bytes(), &all); err != nil {
		return nil, fmt.Errorf("reading the answer of oasdiff: %w", err)
	}
	for _, f := range all {
		if !notOurs[f.ID] && !strings.HasPrefix(f.ID, "api-security-") && !strings.HasPrefix(f.ID, "api-global-security-") { // see compareSecurity
			ours = append(ours, f)
		}
	}
	return ours, nil
}

// withoutLoose leaves out what a document that the overlay does not fit shows
// without upstream having changed it: a union that has outgrown its name lacks
// the discriminator that the overlay gave to the name, and an operation its own name.
func withoutLoose(findings []finding) []finding {
	return slices.DeleteFunc(findings, func(f finding) bool {
		return strings.HasSuffix(f.ID, "-discriminator-removed") || strings.HasPrefix(f.ID, "api-operation-id-")
	})
}
