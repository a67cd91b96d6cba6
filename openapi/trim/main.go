// Command trim makes openapi.yaml, the document of the beta Conversations and
// Agents API, out of Mistral's full OpenAPI document.
//
//	go run ./openapi/trim -upstream full.yaml -overlay openapi/overlay.yaml -o openapi/openapi.yaml
//
// It keeps the operations tagged beta.conversations and beta.agents and the
// components they reach, folds each "#stream" path into its plain twin, drops
// upstream's prose, applies the overlay strictly, and gives every inline union
// that equals a named one a reference to it. Whatever would be lost without a
// word on the way is an error that names it; whatever lacks a description of
// ours is named as a warning.
//
// Beside the document it writes UPSTREAM, with the date and the SHA-256 of Mistral's
// document, and upstream.yaml, the part of that document which is used. After a change of the
// overlay alone the latter does for the whole:
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
	flag.StringVar(&in.out, "o", "openapi/openapi.yaml", "path of the document to write; UPSTREAM and upstream.yaml go beside it")
	flag.StringVar(&in.into, "package", "generated", "path of the Go package that the document is generated into")
	flag.StringVar(&in.date, "date", "", "date of Mistral's document, such as 2026-08-13 (default the date of the file)")
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

// inputs are what a run is told.
type inputs struct{ upstream, overlay, out, into, date string }

func run(in inputs, warnings io.Writer) error {
	full, err := os.ReadFile(in.upstream)
	if err != nil {
		return err
	}
	overlay, err := os.ReadFile(in.overlay)
	if err != nil {
		return err
	}
	beside := filepath.Dir(in.out)
	known, err := os.ReadFile(filepath.Join(beside, "UPSTREAM"))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	date, err := dateOf(in.date, in.upstream, full, string(known))
	if err != nil {
		return err
	}
	into, err := readPackage(in.into)
	if err != nil {
		return err
	}
	r, err := Trim(full, overlay, into, date)
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
		{filepath.Join(beside, "upstream.yaml"), r.kept},
		{filepath.Join(beside, "UPSTREAM"), []byte(r.origin.String())},
	} {
		if err := os.WriteFile(file.name, file.content, 0o644); err != nil {
			return err
		}
	}
	return nil
}
