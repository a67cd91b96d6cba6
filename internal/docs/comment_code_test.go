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

// given is what the code in a file's comments has at hand, beside what README's has.
var given = map[string]string{
	"bulk/doc.go":          "var file *os.File",
	"generated/doc.go":     "var entry generated.Entry",
	"generated/scalars.go": "var call generated.FunctionCallEntry\nvar arguments map[string]any",
	"runner/doc.go":        "type Weather struct{ Sky string }",
	"sse/doc.go":           "var response *http.Response",
	"sse/decode.go":        "var event sse.Event",
	"limiter/doc.go": "var l *limiter.Limiter\nvar estimate int\nvar neverReachedServer func(error) bool\n" +
		"var send func(context.Context, generated.StartConversationRequest) (*generated.ConversationResponse, error)",
}

// otherwise are the blocks in comments that are neither Go, YAML nor commands, by
// their file and how they begin.
var otherwise = map[string]string{
	"contract/doc.go": "contract: StartConversation: body ", // what a violation says
	"emulator/doc.go": "GET    state ",                      // the table of the control endpoint
}

var command = regexp.MustCompile(`^(?:go|cd|make) `)

// language is that of a block in a comment, which does not say it. What is not known
// to be something else is Go.
func language(name, code string) string {
	other := otherwise[name]
	switch {
	case command.MatchString(code):
		return "sh"
	case strings.HasPrefix(code, "rules:\n"):
		return "yaml"
	case strings.HasPrefix(code, `{"`): // a line of a file
		return "text"
	case other != "" && strings.HasPrefix(code, other):
		return "text"
	}
	return "go"
}

// comments takes the comments of a Go file for a document of their code blocks.
func comments(name string, source []byte) (document, error) {
	d := document{path: name, given: given[name]}
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
			if at < 0 { // the lines of a /* comment are not told apart
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

// commented are the documents of the comments of all Go files below a root that are
// no tests.
func commented(t *testing.T, root fs.FS) (all []document) {
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

func TestCodeInCommentsIsFound(t *testing.T) {
	t.Parallel()
	all := commented(t, fstest.MapFS{
		"sse/decode.go": {Data: []byte("// Package sse decodes:\n//\n//\tswitch event.(type) {\n//\t}\n//\n// and\n//\n//\tnone()\n//\t// more\n" +
			"package sse\n\n// T is:\n//   - no code\n//\n// Run\n//\n//\tgo run .\n//\ntype T struct {\n" +
			"\t// F is of\n\t//\n\t//\trules:\n\t//\t  - x\n\tF int\n}\n\n/*\nG is for\n\n\tif errors.Is(err, nil) { … }\n*/\nfunc G() {}\n")},
		"emulator/doc.go":      {Data: []byte("// Package emulator has\n//\n//\tGET    state  this\n//\n// and\n//\n//\tPOST it\npackage emulator\n")},
		"plain.go":             {Data: []byte("// Package plain has none.\npackage plain\n")},
		"a_test.go":            {Data: []byte("// Package a:\n//\n//\ttested()\npackage a\n")},
		"a/testdata/x.go":      {Data: []byte("// Package x:\n//\n//\tdata()\npackage x\n")},
		"a/node_modules/no.go": {Data: []byte("no Go")},
	})
	if len(all) != 2 || all[1].path != "sse/decode.go" || all[1].given != "var event sse.Event" {
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
	count, said := compile(t, all...)
	if count != 4 || strings.Count(said, ".go:") != 2 {
		t.Errorf("%d blocks, the compiler says %q, want 4 and two findings", count, said)
	}
	for _, want := range []string{"emulator/doc.go:7: syntax error", "sse/decode.go:8: undefined: none"} {
		if !strings.Contains(said, want) {
			t.Errorf("the compiler says %q, want %q", said, want)
		}
	}
}

// Every block of code in a comment compiles, or is known to be something else.
func TestCodeInComments(t *testing.T) {
	t.Parallel()
	all := commented(t, os.DirFS(module))
	count, said := compile(t, all...)
	if said != "" {
		t.Error(said)
	}
	if count < 10 {
		t.Errorf("the comments have %d blocks of Go, want at least 10", count)
	}
	used := map[string]bool{}
	for _, d := range all {
		report(t, unreadable(d))
		for _, s := range d.snippets {
			used[d.path+s.lang] = true
		}
	}
	for _, name := range slices.Sorted(maps.Keys(given)) {
		if !used[name+"go"] {
			t.Errorf("%s has something at hand and no Go", name)
		}
	}
	for name, other := range otherwise {
		if !used[name+"text"] {
			t.Errorf("%s has no block that begins with %q", name, other)
		}
	}
}
