// Package docs_test checks the documentation. It checks that Go code in markdown and in
// comments compiles, that the emulator accepts the YAML, and that links and commands are
// valid. It also checks that every exported name has a comment, and checks the output of
// make help and the errors of make. Each check is a function that returns findings. The
// tests apply it to small invalid inputs and to this module.
package docs_test

import (
	"io/fs"
	"os"
	"path"
	"strings"
	"testing"
	"testing/fstest"
)

// module is the root of this module.
const module = "../.."

// A document is a markdown file or the comments of a Go file. All its texts have the line numbers of
// the file.
type document struct {
	path         string
	text         string // the file without fenced code
	prose        string // the text without code spans
	snippets     []snippet
	declarations string // the Go declarations that the snippets use
}

// A snippet is a code block or a code span in a document.
type snippet struct {
	line   int    // the first line of the code, from 1
	fenced bool   // false for a code span
	lang   string // the language of a fence, such as "go"
	code   string
}

// parse parses a markdown file.
func parse(path, source string) document {
	d := document{path: path}
	var text strings.Builder
	var fence string // the end marker of the open fence
	for i, line := range strings.SplitAfter(source, "\n") {
		trimmed := strings.TrimSpace(line)
		marker := trimmed[:len(trimmed)-len(strings.TrimLeft(trimmed, "`~"))]
		switch {
		case fence == "" && len(marker) >= 3 && !strings.Contains(trimmed[len(marker):], "`"):
			fence = marker
			d.snippets = append(d.snippets, snippet{line: i + 2, fenced: true, lang: strings.TrimSpace(trimmed[len(marker):])})
			line = "\n"
		case fence != "" && strings.HasPrefix(marker, fence) && marker == trimmed:
			fence, line = "", "\n"
		case fence != "":
			d.snippets[len(d.snippets)-1].code += line
			line = "\n"
		}
		text.WriteString(line)
	}
	d.text = text.String()
	d.prose = d.takeSpans()
	return d
}

// takeSpans moves the code spans of the text into snippets and returns the rest.
func (d *document) takeSpans() string {
	var prose strings.Builder
	rest := d.text
	for {
		before, after, found := strings.Cut(rest, "`")
		prose.WriteString(before)
		if !found {
			return prose.String()
		}
		width := 1 + len(after) - len(strings.TrimLeft(after, "`"))
		after = after[width-1:]
		end := strings.Index(after, strings.Repeat("`", width))
		if end < 0 {
			rest = after
			continue
		}
		code := after[:end]
		d.snippets = append(d.snippets, snippet{line: 1 + strings.Count(prose.String(), "\n"), code: code})
		prose.WriteString("code" + strings.Repeat("\n", strings.Count(code, "\n")))
		rest = after[end+width:]
	}
}

// files calls read for each file below a root with an extension. It skips dependencies, test data
// and hidden directories.
func files(t *testing.T, root fs.FS, ext string, read func(name string, source []byte) error) {
	t.Helper()
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		dir := entry != nil && entry.IsDir()
		switch {
		case err != nil:
			return err
		case dir && (entry.Name() == "node_modules" || entry.Name() == "testdata" || len(entry.Name()) > 1 && strings.HasPrefix(entry.Name(), ".")):
			return fs.SkipDir
		case dir || path.Ext(name) != ext:
			return nil
		}
		source, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		return read(name, source)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// documents returns the markdown files below a root.
func documents(t *testing.T, root fs.FS) (all []document) {
	t.Helper()
	files(t, root, ".md", func(name string, source []byte) error {
		all = append(all, parse(name, string(source)))
		return nil
	})
	return all
}

// moduleDocuments returns the markdown files of this module.
func moduleDocuments(t *testing.T) []document {
	t.Helper()
	all := documents(t, os.DirFS(module))
	found := map[string]bool{}
	for _, d := range all {
		found[d.path] = true
	}
	for _, name := range []string{"README.md", "CHANGELOG.md"} {
		if !found[name] {
			t.Fatalf("%d documents do not include %s", len(all), name)
		}
	}
	return all
}

// report reports each finding as an error.
func report(t *testing.T, findings []string) {
	t.Helper()
	for _, finding := range findings {
		t.Error(finding)
	}
}

// wantFindings checks that each finding contains the text at its index.
func wantFindings(t *testing.T, got []string, want ...string) {
	t.Helper()
	if len(got) != len(want) {
		t.Fatalf("%d findings, want %d:\n%s", len(got), len(want), strings.Join(got, "\n"))
	}
	for i := range want {
		if !strings.Contains(got[i], want[i]) {
			t.Errorf("finding %d is %q, want %q", i, got[i], want[i])
		}
	}
}

func TestParse(t *testing.T) {
	t.Parallel()
	all := documents(t, fstest.MapFS{
		"a.md":                {Data: []byte("# Title\n\nSee `one` and ``two`s``, [x](y).\n\n```go\ncode()\n```\n\n~~~~\n```\n~~~~\n`ma\nke`\n")},
		"docs/b.md":           {Data: []byte("B")},
		"c.txt":               {Data: []byte("no markdown")},
		"node_modules/m/d.md": {Data: []byte("of others")},
		".hidden/e.md":        {Data: []byte("of others")},
	})
	if len(all) != 2 || all[1].path != "docs/b.md" {
		t.Fatalf("documents are %+v", all)
	}
	d := all[0]
	want := []snippet{
		{6, true, "go", "code()\n"}, {10, true, "", "```\n"},
		{3, false, "", "one"}, {3, false, "", "two`s"}, {12, false, "", "ma\nke"},
	}
	if len(d.snippets) != len(want) {
		t.Fatalf("snippets are %+v", d.snippets)
	}
	for i := range want {
		if d.snippets[i] != want[i] {
			t.Errorf("snippet %d is %+v, want %+v", i, d.snippets[i], want[i])
		}
	}
	if want := "# Title\n\nSee code and code, [x](y).\n\n\n\n\n\n\n\n\ncode\n\n"; d.prose != want {
		t.Errorf("prose is %q, want %q", d.prose, want)
	}
}
