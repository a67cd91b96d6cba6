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

// A finding is an entry of oasdiff's changelog.
type finding struct {
	ID        string  `json:"id"`
	Text      string  `json:"text"`
	Level     int     `json:"level"`
	Operation string  `json:"operation"`
	Path      string  `json:"path"`
	Base      *source `json:"baseSource"`
	Revision  *source `json:"revisionSource"`
}

// A source is the place of a finding in a document.
type source struct {
	Line   int `json:"line"`
	Column int `json:"column"`
}

// ignoredFindings holds the IDs of findings that do not concern the API.
var ignoredFindings = map[string]bool{
	"api-version-not-bumped": true, // the trimmed document does not have upstream's version
	"api-schema-removed":     true, // compareComponents reports it
}

// oasdiff returns the differences between the committed document and a revision.
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
	command := exec.CommandContext(ctx, program[0], arguments...) //nolint:gosec // the program of the flag -programs, or the go command
	command.Dir = filepath.Join(in.repo, "openapi", "specdiff")   // contains oasdiff.mod and severity.txt
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	if err := command.Run(); err != nil {
		return nil, fmt.Errorf("running oasdiff: %w: %s", err, strings.TrimSpace(stderr.String()))
	}
	var all, relevant []finding
	if err := json.Unmarshal(stdout.Bytes(), &all); err != nil {
		return nil, fmt.Errorf("decoding the output of oasdiff: %w", err)
	}
	for _, f := range all {
		if !ignoredFindings[f.ID] && !strings.HasPrefix(f.ID, "api-security-") && !strings.HasPrefix(f.ID, "api-global-security-") { // compareSecurity reports these
			relevant = append(relevant, f)
		}
	}
	return relevant, nil
}

// withoutLoose removes the findings that the lenient trim causes. If the overlay does not match, a
// union may lack the discriminator and an operation may lack the name from the overlay.
func withoutLoose(findings []finding) []finding {
	return slices.DeleteFunc(findings, func(f finding) bool {
		return strings.HasSuffix(f.ID, "-discriminator-removed") || strings.HasPrefix(f.ID, "api-operation-id-")
	})
}
