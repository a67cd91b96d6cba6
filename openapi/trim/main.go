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
package main

import (
	"flag"
	"fmt"
	"io"
	"os"
)

func main() {
	upstream := flag.String("upstream", "", "path to Mistral's full OpenAPI document (required)")
	overlayPath := flag.String("overlay", "openapi/overlay.yaml", "path to the overlay")
	out := flag.String("o", "openapi/openapi.yaml", "path of the document to write")
	flag.Parse()
	if *upstream == "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "trim: -upstream is required: the path to Mistral's full OpenAPI document")
		os.Exit(2)
	}
	if err := run(*upstream, *overlayPath, *out, os.Stderr); err != nil {
		fmt.Fprintf(os.Stderr, "trim: %v\n", err)
		os.Exit(1)
	}
}

func run(upstream, overlayPath, out string, warnings io.Writer) error {
	full, err := os.ReadFile(upstream)
	if err != nil {
		return err
	}
	overlay, err := os.ReadFile(overlayPath)
	if err != nil {
		return err
	}
	doc, err := Trim(full, overlay)
	if err != nil {
		return err
	}
	gaps, err := undescribed(doc)
	if err != nil {
		return err
	}
	for _, gap := range gaps {
		_, _ = fmt.Fprintf(warnings, "trim: warning: %s: add it to %s\n", gap, overlayPath)
	}
	return os.WriteFile(out, doc, 0o644)
}
