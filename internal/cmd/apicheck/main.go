// Command apicheck compares the exported API of this module, and of the modules in it that
// others import, with the committed baseline:
//
//	go run ./internal/cmd/apicheck          # what make check-api does
//	go run ./internal/cmd/apicheck -write   # what make api-baseline does
//
// An incompatible change is allowed when the changelog tells the callers: the symbol stands as
// code in a bold text under Unreleased, as in "**`generated.NewClient` is gone**". A star at the
// end of a name, as in `Client.*`, stands for the rest. The baseline is the API of the last
// release, and is written anew with each.
// Comparing is the work of golang.org/x/exp/cmd/apidiff, which the go command runs.
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

// apidiff is the program that compares.
const apidiff = "golang.org/x/exp/cmd/apidiff@v0.0.0-20261113113407-e3970619a1a4"

// modules are the directories of the modules that others import.
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
	told := announced(string(changelog))
	var missing []string
	for _, dir := range modules {
		changes, err := incompatible(ctx, dir)
		if err != nil {
			return err
		}
		for _, c := range changes {
			if !slices.ContainsFunc(told, c.is) {
				missing = append(missing, c.text)
			}
		}
	}
	if len(missing) > 0 {
		return fmt.Errorf("incompatible with the baseline, and not in CHANGELOG.md as a bold text under Unreleased that names the symbol as code:\n\t%s",
			strings.Join(missing, "\n\t"))
	}
	return nil
}

// incompatible lists the incompatible changes of a module, commands aside.
func incompatible(ctx context.Context, dir string) ([]change, error) {
	if _, err := os.Stat(baseline(dir)); err != nil {
		return nil, fmt.Errorf("the baseline is missing: make api-baseline: %w", err)
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

// baseline is the file with the API of the module in dir.
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

// internal is what apidiff says of each internal package.
var internal = regexp.MustCompile(`(?m)^Ignoring internal package .*\n`)

// run runs the go command in dir.
func run(ctx context.Context, dir string, args ...string) (string, error) {
	command := exec.CommandContext(ctx, "go", args...) //nolint:gosec // the arguments are from above
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
