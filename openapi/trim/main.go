// Command trim generates openapi.yaml, the document of the beta Conversations and
// Agents API, from Mistral's full OpenAPI document.
//
//	go run ./openapi/trim -upstream full.yaml -overlay openapi/overlay.yaml -o openapi/openapi.yaml
//
// It performs these steps:
//
//   - keep the operations with the tags beta.conversations and beta.agents, and the
//     components they refer to
//   - merge each "#stream" path into the plain path
//   - drop upstream's prose
//   - apply the overlay strictly
//   - replace every inline union that equals a named one with a reference
//
// It returns an error for any part that the generated code would silently lose. It
// prints a warning for any part that the overlay does not describe.
//
// It also writes UPSTREAM, with the date and the SHA-256 of Mistral's document, and
// upstream.yaml, the used part of that document. If only the overlay changes,
// upstream.yaml is sufficient:
//
//	go run ./openapi/trim -upstream openapi/upstream.yaml
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

func main() {
	var in inputs
	flag.StringVar(&in.upstream, "upstream", "", "path to Mistral's full OpenAPI document, or to upstream.yaml (required)")
	flag.StringVar(&in.overlay, "overlay", "openapi/overlay.yaml", "path to the overlay")
	flag.StringVar(&in.out, "o", "openapi/openapi.yaml", "path of the document to write; UPSTREAM and upstream.yaml are written to the same directory")
	flag.StringVar(&in.goPackage, "package", "generated", "path of the generated Go package")
	flag.StringVar(&in.date, "date", "", "date of Mistral's document, such as 2026-08-13 (default the date in UPSTREAM or of the file)")
	flag.Parse()
	if in.upstream == "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "trim: -upstream is required: the path to Mistral's full OpenAPI document")
		os.Exit(2)
	}
	if err := run(in, os.Stderr); err != nil {
		fmt.Fprintf(os.Stderr, "trim: %v\n", err)
		os.Exit(1)
	}
}

// inputs holds the flags.
type inputs struct{ upstream, overlay, out, goPackage, date string }

func run(in inputs, warnings io.Writer) error {
	full, err := os.ReadFile(in.upstream)
	if err != nil {
		return err
	}
	overlay, err := os.ReadFile(in.overlay)
	if err != nil {
		return err
	}
	dir := filepath.Dir(in.out)
	known, err := os.ReadFile(filepath.Join(dir, "UPSTREAM"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	date, err := dateOf(in.date, in.upstream, full, string(known))
	if err != nil {
		return err
	}
	target, err := readPackage(in.goPackage)
	if err != nil {
		return err
	}
	r, err := Trim(full, overlay, target, date)
	if err != nil {
		return err
	}
	gaps, err := undescribed(r.document)
	if err != nil {
		return err
	}
	for _, gap := range gaps {
		_, _ = fmt.Fprintf(warnings, "trim: warning: %s: add it to %s\n", gap, in.overlay)
	}
	for _, file := range []struct {
		name    string
		content []byte
	}{
		{in.out, r.document},
		{filepath.Join(dir, "upstream.yaml"), r.kept},
		{filepath.Join(dir, "UPSTREAM"), []byte(r.origin.String())},
	} {
		if err := os.WriteFile(file.name, file.content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
