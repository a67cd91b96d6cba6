// Command comments rewrites the comments of generated Go files in the usual form of Go comments:
//
//	go run ./openapi/comments generated/api.gen.go internal/server/server.gen.go
//
// oapi-codegen writes the name and then the description: "// Agent A model …" above a type and
// "// Name Name of the agent." above a field. The command makes a sentence of the comment of a
// type, "Agent is a model …", removes the name from the comment of a field, and wraps long lines.
// A second run does not change a file.
package main

import (
	"fmt"
	"os"
)

func main() {
	if len(os.Args) < 2 {
		fmt.Fprintln(os.Stderr, "comments: no file: name the generated Go files to rewrite")
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
	source, err := os.ReadFile(name) //nolint:gosec // the files are arguments of the command
	if err != nil {
		return err
	}
	rewritten, err := rewrite(source)
	if err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return os.WriteFile(name, rewritten, 0o644) //nolint:gosec // as above
}
