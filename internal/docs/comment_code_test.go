package docs_test

import (
	"go/ast"
	"go/doc/comment"
	"go/parser"
	"go/token"
	"io/fs"
	"maps"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

// fileDeclarations holds the Go declarations that the code in a file's comments uses, in addition to those
// of all documents.
var fileDeclarations = map[string]string{
	"bulk/doc.go":          "var file *os.File",
	"generated/doc.go":     "var entry generated.Entry",
	"generated/scalars.go": "var call generated.FunctionCallEntry\nvar arguments map[string]any",
	"runner/doc.go":        "type Weather struct{ Sky string }",
	"sse/doc.go":           "var response *http.Response",
	"sse/decode.go":        "var event sse.Event",
	"limiter/doc.go": "var l *limiter.Limiter\nvar estimate int\nvar neverReachedServer func(error) bool\n" +
		"var send func(context.Context, generated.StartConversationRequest) (*generated.ConversationResponse, error)",
}

// plainText holds the start of the block in a file's comments that is not Go, YAML or a command.
var plainText = map[string]string{
	"contract/doc.go": "contract: StartConversation: body ", // an example of a violation
	"emulator/doc.go": "GET    state ",                      // the table of the control endpoint
}

var command = regexp.MustCompile(`^(?:go|cd|make) `)

// language returns the language of a block in a comment. A block without another known start is Go.
func language(name, code string) string {
	text := plainText[name]
	switch {
	case command.MatchString(code):
		return "sh"
	case strings.HasPrefix(code, "rules:\n"):
		return "yaml"
	case strings.HasPrefix(code, `{"`): // a line of a JSONL file
		return "text"
	case text != "" && strings.HasPrefix(code, text):
		return "text"
	}
	return "go"
}

// comments returns a document with the code blocks in the comments of a Go file.
func comments(name string, source []byte) (document, error) {
	d := document{path: name, declarations: fileDeclarations[name]}
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, name, source, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		return d, err
	}
	for _, group := range file.Comments {
		rest := group.List
		for _, block := range new(comment.Parser).Parse(group.Text()).Content {
			code, ok := block.(*comment.Code)
			if !ok {
				continue
			}
			first, _, _ := strings.Cut(code.Text, "\n")
			at := slices.IndexFunc(rest, func(c *ast.Comment) bool { return strings.TrimPrefix(c.Text, "//\t") == first })
			if at < 0 { // a /* comment is one comment with several lines
				at = 0
			}
			d.snippets = append(d.snippets, snippet{
				line: fset.Position(rest[at].Pos()).Line, fenced: true, lang: language(name, code.Text), code: code.Text,
			})
			rest = rest[at:]
		}
	}
	return d, nil
}

// commentDocuments returns a document for each Go file below a root with code blocks in its comments,
// except tests.
func commentDocuments(t *testing.T, root fs.FS) (all []document) {
	t.Helper()
	files(t, root, ".go", func(name string, source []byte) error {
		if strings.HasSuffix(name, "_test.go") {
			return nil
		}
		d, err := comments(name, source)
		if len(d.snippets) > 0 {
			all = append(all, d)
		}
		return err
	})
	return all
}

func TestCommentsReturnCodeBlocks(t *testing.T) {
	t.Parallel()
	all := commentDocuments(t, fstest.MapFS{
		"sse/decode.go": {Data: []byte("// Package sse decodes:\n//\n//\tswitch event.(type) {\n//\t}\n//\n// and\n//\n//\tnone()\n//\t// more\n" +
			"package sse\n\n// T is:\n//   - no code\n//\n// Run\n//\n//\tgo run .\n//\ntype T struct {\n" +
			"\t// F is of\n\t//\n\t//\trules:\n\t//\t  - x\n\tF int\n}\n\n/*\nG is for\n\n\tif errors.Is(err, nil) { … }\n*/\nfunc G() {}\n")},
		"emulator/doc.go":      {Data: []byte("// Package emulator has\n//\n//\tGET    state  this\n//\n// and\n//\n//\tPOST it\npackage emulator\n")},
		"plain.go":             {Data: []byte("// Package plain has none.\npackage plain\n")},
		"a_test.go":            {Data: []byte("// Package a:\n//\n//\ttested()\npackage a\n")},
		"a/testdata/x.go":      {Data: []byte("// Package x:\n//\n//\tdata()\npackage x\n")},
		"a/node_modules/no.go": {Data: []byte("no Go")},
	})
	if len(all) != 2 || all[1].path != "sse/decode.go" || all[1].declarations != "var event sse.Event" {
		t.Fatalf("documents are %+v", all)
	}
	want := []snippet{
		{3, true, "text", "GET    state  this\n"}, {7, true, "go", "POST it\n"},
		{3, true, "go", "switch event.(type) {\n}\n"}, {8, true, "go", "none()\n// more\n"}, {17, true, "sh", "go run .\n"},
		{22, true, "yaml", "rules:\n  - x\n"}, {27, true, "go", "if errors.Is(err, nil) { … }\n"},
	}
	if got := slices.Concat(all[0].snippets, all[1].snippets); !slices.Equal(got, want) {
		t.Errorf("snippets are %+v, want %+v", got, want)
	}
	count, output := compile(t, all...)
	if count != 4 || strings.Count(output, ".go:") != 2 {
		t.Errorf("%d blocks and compiler output %q, want 4 blocks and two errors", count, output)
	}
	for _, want := range []string{"emulator/doc.go:7: syntax error", "sse/decode.go:8: undefined: none"} {
		if !strings.Contains(output, want) {
			t.Errorf("the compiler output is %q, want %q", output, want)
		}
	}
}

// Every code block in a comment compiles or is known as another language.
func TestCodeInComments(t *testing.T) {
	t.Parallel()
	all := commentDocuments(t, os.DirFS(module))
	count, output := compile(t, all...)
	if output != "" {
		t.Error(output)
	}
	if count < 10 {
		t.Errorf("the comments contain %d Go blocks, want at least 10", count)
	}
	used := map[string]bool{}
	for _, d := range all {
		report(t, invalidYAML(d))
		for _, s := range d.snippets {
			used[d.path+s.lang] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(fileDeclarations)) {
		if !used[name+"go"] {
			t.Errorf("fileDeclarations contains %s, which does not have a Go block", name)
		}
	}
	for name, text := range plainText {
		if !used[name+"text"] {
			t.Errorf("%s does not have a block that starts with %q", name, text)
		}
	}
}
