package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestRewrite(t *testing.T) {
	t.Parallel()
	tests := []struct{ name, source, want string }{
		{"a type", "// Agent A model with settings.\ntype Agent struct{}", "// Agent is a model with settings.\ntype Agent struct{}"},
		{"a type whose description starts with an abbreviation", "// Key API key of\n// a user.\ntype Key string", "// Key is API key of\n// a user.\ntype Key string"},
		{"a type whose comment is a sentence", "// Agent is a model.\ntype Agent struct{}", "// Agent is a model.\ntype Agent struct{}"},
		{"a type without a description", "// Agent defines model for Agent.\ntype Agent struct{}",
			"// Agent is the schema Agent, which the overlay does not describe.\ntype Agent struct{}"},
		{"the parameters of an operation", "// GetParams defines parameters for Get.\ntype GetParams struct{}", "// GetParams are the parameters of Get.\ntype GetParams struct{}"},
		{"more paragraphs of a type", "// Tool A tool.\n//\n// The zero value is unset.\ntype Tool struct{}", "// Tool is a tool.\n//\n// The zero value is unset.\ntype Tool struct{}"},
		{"a type in a group", "type (\n\t// Agent A model.\n\tAgent struct{}\n)", "type (\n\t// Agent is a model.\n\tAgent struct{}\n)"},
		{"a field", "// T is t.\ntype T struct {\n\t// Name Name of the agent.\n\tName string\n}", "// T is t.\ntype T struct {\n\t// Name of the agent.\n\tName string\n}"},
		{"a field whose comment is a sentence", "// T is t.\ntype T struct {\n\t// Name is the name.\n\tName string\n}", "// T is t.\ntype T struct {\n\t// Name is the name.\n\tName string\n}"},
		{"a method of an interface", "// T is t.\ntype T interface {\n\t// Get Returns an agent\n\tGet()\n}", "// T is t.\ntype T interface {\n\t// Get returns an agent\n\tGet()\n}"},
		{"the values of an enum", "// Defines values for Kind.\nconst A = 1", "// The values of Kind.\nconst A = 1"},
		{"a directive", "//go:generate Agent A model.\ntype Agent struct{}", "//go:generate Agent A model.\ntype Agent struct{}"},
		{"a comment inside a function", "func f() {\n\t// Agent A model.\n}", "func f() {\n\t// Agent A model.\n}"},
		{"a long line", "// f " + strings.Repeat("word ", 20) + "ends.\nfunc f() {}",
			"// f " + strings.TrimSpace(strings.Repeat("word ", 19)) + "\n// word ends.\nfunc f() {}"},
		{"a long word", "// f " + strings.Repeat("x", 120) + " ends.\nfunc f() {}", "// f\n// " + strings.Repeat("x", 120) + "\n// ends.\nfunc f() {}"},
		{"preformatted text", "// f does:\n//\n//\t" + strings.Repeat("word ", 30) + "\nfunc f() {}",
			"// f does:\n//\n//\t" + strings.TrimSpace(strings.Repeat("word ", 30)) + "\nfunc f() {}"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			once, err := rewrite([]byte("package p\n\n" + test.source + "\n"))
			if err != nil {
				t.Fatal(err)
			}
			if want := "package p\n\n" + test.want + "\n"; string(once) != want {
				t.Errorf("have\n%s\nwant\n%s", once, want)
			}
			twice, err := rewrite(once)
			if err != nil || string(twice) != string(once) {
				t.Errorf("a second run returns (%v)\n%s", err, twice)
			}
		})
	}
}

func TestRewriteFile(t *testing.T) {
	t.Parallel()
	name := filepath.Join(t.TempDir(), "api.gen.go")
	if err := os.WriteFile(name, []byte("package p\n\n// T A type.\ntype T struct{}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := rewriteFile(name); err != nil {
		t.Fatal(err)
	}
	if have, err := os.ReadFile(name); err != nil || string(have) != "package p\n\n// T is a type.\ntype T struct{}\n" {
		t.Errorf("have %q and %v", have, err)
	}
	if err := os.WriteFile(name, []byte("package"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := rewriteFile(name); err == nil || !strings.Contains(err.Error(), name) {
		t.Errorf("error %v for a file that is not Go, want one with its name", err)
	}
}
