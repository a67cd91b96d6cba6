// Package readme checks that what README.md shows compiles.
package readme_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

var (
	block    = regexp.MustCompile("(?ms)^```go\n(.*?)^```$")
	declared = regexp.MustCompile(`(?m)^(\w+(?:, \w+)*) :=|^var (\w+) `)
)

// packages are what a block may use without importing it.
var packages = map[string]string{
	"context": "context", "errors": "errors", "fmt": "fmt", "json": "encoding/json", "testing": "testing",
	"contract": module + "contract", "emulator": module + "emulator", "generated": module + "generated", "limiter": module + "limiter", "ratelimited": module + "ratelimited",
}

const module = "github.com/mistral-ratelimit/mistral-ratelimit-go/"

// program makes a program of a block that is not one: a function that has at
// hand what README says is, and that uses what the block declares.
func program(code string) string {
	if strings.HasPrefix(code, "package ") {
		return code
	}
	var b strings.Builder
	b.WriteString("package main\n\nimport (\n")
	for _, name := range slices.Sorted(maps.Keys(packages)) {
		if slices.Contains([]string{"context", "generated", "ratelimited", "testing"}, name) || strings.Contains(code, name+".") {
			fmt.Fprintf(&b, "\t%q\n", packages[name])
		}
	}
	b.WriteString(")\n\nfunc main() {}\n\nfunc block(t *testing.T, ctx context.Context, client *ratelimited.Client, request generated.StartConversationRequest, " +
		"requests []generated.StartConversationRequest, err error) error {\n{\n" + code)
	for _, names := range declared.FindAllStringSubmatch(code, -1) {
		for name := range strings.SplitSeq(names[1]+names[2], ", ") {
			fmt.Fprintf(&b, "_ = %s\n", name)
		}
	}
	b.WriteString("}\nreturn nil\n}\n\nvar _ = block\n")
	return b.String()
}

func TestBlocksCompile(t *testing.T) {
	t.Parallel()
	root, err := filepath.Abs("../..")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	blocks := block.FindAllSubmatch(text, -1)
	if len(blocks) < 8 {
		t.Fatalf("README.md has %d blocks of Go, want at least 8", len(blocks))
	}
	// The go command sees the programs as files of this module, where none are.
	overlay := struct{ Replace map[string]string }{map[string]string{}}
	temporary := t.TempDir()
	for i, found := range blocks {
		file := filepath.Join(temporary, fmt.Sprintf("block%d.go", i))
		if err := os.WriteFile(file, []byte(program(string(found[1]))), 0o600); err != nil {
			t.Fatal(err)
		}
		overlay.Replace[filepath.Join(root, "internal", "readme", fmt.Sprintf("block%d", i), "main.go")] = file
	}
	config, err := json.Marshal(overlay)
	if err != nil {
		t.Fatal(err)
	}
	overlayFile := filepath.Join(temporary, "overlay.json")
	if err := os.WriteFile(overlayFile, config, 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"build", "-overlay", overlayFile, "-o", os.DevNull}
	for i := range blocks {
		args = append(args, fmt.Sprintf("./internal/readme/block%d", i))
	}
	command := exec.CommandContext(t.Context(), "go", args...)
	command.Dir = root
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("go build: %v\n%s", err, out)
	}
}
