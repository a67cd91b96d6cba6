// Command comments gives the comments of generated Go files the form of hand-written ones:
//
//	go run ./openapi/comments generated/api.gen.go internal/server/server.gen.go
//
// oapi-codegen begins each comment with the name and continues with the description as it
// stands in the document: "// Agent A model …" above a type, "// Name Name of the agent."
// above a field. Here a type's comment becomes a sentence, "Agent is a model …", a field's
// comment loses the name, and long lines are wrapped. A file with the wanted form stays as
// it is.
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "comments: name the generated Go files to rewrite")
		os.Exit(2)
	}
	for _, name := range os.Args[1:] {
		if err := rewriteFile(name); err != nil {
			fmt.Fprintf(os.Stderr, "comments: %v\n", err)
			os.Exit(1)
		}
	}
}

func rewriteFile(name string) error {
	source, err := os.ReadFile(name) //nolint:gosec // a command rewrites the files it is told to
	if err != nil {
		return err
	}
	rewritten, err := rewrite(source)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return os.WriteFile(name, rewritten, 0o644) //nolint:gosec // as above
}
