// Command apicheck compares the exported API of this module and of its importable nested modules
// with the committed baseline:
//
//	go run ./internal/cmd/apicheck          # make check-api
//	go run ./internal/cmd/apicheck -write   # make api-baseline
//
// An incompatible change is allowed if the changelog announces it: a bold text under Unreleased
// names the symbol as code, as in "**`generated.NewClient` is removed**". A star at the end of a
// name, as in `Client.*`, matches any suffix. The baseline is the API of the last release; each
// release writes it again. The go command runs golang.org/x/exp/cmd/apidiff for the comparison.
package main

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
)

// apidiff is the package of the program that compares APIs.
const apidiff = "golang.org/x/exp/cmd/apidiff@v0.0.0-20261113113407-e3970619a1a4"

// modules are the directories of the importable modules.
var modules = []string{".", "limiter/redislimiter", "runner/mcptools"}

func main() {
	write := flag.Bool("write", false, "write the baseline instead of comparing with it")
	flag.Parse()
	check := compareAll
	if *write {
		check = writeAll
	}
	if err := check(context.Background()); err != nil {
		fmt.Fprintf(os.Stderr, "apicheck: %v\n", err)
		os.Exit(1)
	}
}

func writeAll(ctx context.Context) error {
	for _, dir := range modules {
		path, err := modulePath(ctx, dir)
		if err != nil {
			return err
		}
		if _, err := run(ctx, dir, "run", apidiff, "-m", "-w", baseline(dir), path); err != nil {
			return err
		}
	}
	return nil
}

func compareAll(ctx context.Context) error {
	changelog, err := os.ReadFile("CHANGELOG.md")
	if err != nil {
		return err
	}
	announcedNames := announced(string(changelog))
	var missing []string
	for _, dir := range modules {
		changes, err := incompatible(ctx, dir)
		if err != nil {
			return err
		}
		for _, c := range changes {
			if !slices.ContainsFunc(announcedNames, c.matches) {
				missing = append(missing, c.text)
			}
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("incompatible with the baseline: name these symbols as code in a bold text under Unreleased in CHANGELOG.md:\n\t%s",
			strings.Join(missing, "\n\t"))
	}
	return nil
}

// incompatible returns the incompatible changes of a module, without those of commands.
func incompatible(ctx context.Context, dir string) ([]change, error) {
	if _, err := os.Stat(baseline(dir)); err != nil {
		return nil, fmt.Errorf("read the baseline, which make api-baseline writes: %w", err)
	}
	path, err := modulePath(ctx, dir)
	if err != nil {
		return nil, err
	}
	report, err := run(ctx, dir, "run", apidiff, "-m", "-incompatible", baseline(dir), path)
	if err != nil {
		return nil, err
	}
	commands, err := run(ctx, dir, "list", "-f", `{{if eq .Name "main"}}{{.ImportPath}}{{end}}`, "./...")
	if err != nil {
		return nil, err
	}
	return changes(report, path, strings.Fields(commands)), nil
}

// baseline returns the path of the file with the API of the module in dir.
func baseline(dir string) string {
	name := filepath.Base(dir)
	if dir == "." {
		name = "root"
	}
	absolute, err := filepath.Abs(filepath.Join("internal", "cmd", "apicheck", "baseline", name+".api"))
	if err != nil {
		return name
	}
	return absolute
}

func modulePath(ctx context.Context, dir string) (string, error) {
	path, err := run(ctx, dir, "list", "-m")
	return strings.TrimSpace(path), err
}

// internal matches apidiff's message about an internal package.
var internal = regexp.MustCompile(`(?m)^Ignoring internal package .*\n`)

// run runs the go command in dir.
func run(ctx context.Context, dir string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, "go", args...) //nolint:gosec // all arguments are from this file
	command.Dir = dir
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	err := command.Run()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		err = fmt.Errorf("go %s: %w: %s", args[0], err, strings.TrimSpace(internal.ReplaceAllString(stderr.String(), "")))
	}
	return stdout.String(), err
}
