package docs_test

import (
	"fmt"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

var (
	separator  = regexp.MustCompile(`&&|\|\|?|;`)
	assignment = regexp.MustCompile(`^\w+=`)
)

// deadCommands returns the commands in a document whose make target or Go package does
// not exist.
func deadCommands(root fs.FS, d document, targets []string) []string {
	var dead []string
	for _, s := range d.snippets {
		if s.fenced && !slices.Contains([]string{"", "sh", "bash", "shell", "console"}, s.lang) {
			continue
		}
		code := s.code
		if !s.fenced { // a code span may continue on the next line
			code = strings.ReplaceAll(code, "\n", " ")
		}
		for i, line := range strings.Split(code, "\n") {
			for _, reason := range deadLine(root, line, targets) {
				dead = append(dead, fmt.Sprintf("%s:%d: %s", d.path, s.line+i, reason))
			}
		}
	}
	return dead
}

// deadLine returns the dead commands in a shell line.
func deadLine(root fs.FS, line string, targets []string) []string {
	var dead []string
	dir := "."
	line, _, _ = strings.Cut(line+" ", " #")
	for _, command := range separator.Split(line, -1) {
		words := strings.Fields(strings.TrimPrefix(strings.TrimSpace(command), "$ "))
		for len(words) > 0 && assignment.MatchString(words[0]) {
			words = words[1:]
		}
		if len(words) < 2 {
			continue
		}
		switch words[0] {
		case "cd":
			dir = path.Join(dir, words[1])
		case "make":
			for _, word := range words[1:] {
				if !strings.HasPrefix(word, "-") && !assignment.MatchString(word) && !slices.Contains(targets, word) {
					dead = append(dead, fmt.Sprintf("make %s: unknown target", word))
				}
			}
		case "go":
			dead = append(dead, deadGo(root, dir, words[1:])...)
		}
	}
	return dead
}

// deadGo returns the arguments of a go command that are not packages. The first argument of
// "go run" is a package; the others are arguments of the program.
func deadGo(root fs.FS, dir string, words []string) []string {
	if len(words) > 2 && words[0] == "-C" {
		dir, words = path.Join(dir, words[1]), words[2:]
	}
	var dead []string
	for _, word := range words[1:] {
		if word != "." && !strings.HasPrefix(word, "./") {
			continue
		}
		name := path.Join(dir, strings.TrimSuffix(word, "..."))
		entries, err := fs.ReadDir(root, name)
		switch {
		case err != nil:
			dead = append(dead, fmt.Sprintf("go %s %s: cannot find the directory %s", words[0], word, name))
		case words[0] == "run" && !slices.ContainsFunc(entries, func(e fs.DirEntry) bool { return isProgram(root, path.Join(name, e.Name())) }):
			dead = append(dead, fmt.Sprintf("go run %s: %s is not a program", word, name))
		}
		if words[0] == "run" {
			break
		}
	}
	return dead
}

// isProgram reports whether a file belongs to package main and is not a test.
func isProgram(root fs.FS, name string) bool {
	if path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
		return false
	}
	source, err := fs.ReadFile(root, name)
	if err != nil {
		return false
	}
	file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.PackageClauseOnly)
	return err == nil && file.Name.Name == "main"
}

func TestDeadCommandsAreReported(t *testing.T) {
	t.Parallel()
	root := fstest.MapFS{
		"README.md": {Data: []byte("Call `make help`, `make\ntest N=1`, `make -s nothing`; not make at all.\n" +
			"```sh\nmake help test   # make fun\nX=1 go run ./cmd/it -file ./none\n$ cd lib && go run .\ngo run ./gone -x | make all\ngo run ./lib\ngo test -run X ./lib/... ./lost\ngo -C cmd/it run .\n```\n" +
			"```go\nmake nothing\n```\n`cd sub && go run .` and `go run example.com/x@latest`, `make`\n")},
		"cmd/it/main.go":     {Data: []byte("package main")},
		"lib/lib.go":         {Data: []byte("package lib")},
		"lib/sub.go/file":    {},
		"lib/main_test.go":   {Data: []byte("package main")},
		"sub/deep/it/doc.go": {Data: []byte("package main")},
	}
	wantFindings(t, deadCommands(root, documents(t, root)[0], []string{"help", "test"}),
		"README.md:6: go run .: lib is not a program",
		"README.md:7: go run ./gone: cannot find the directory gone",
		"README.md:7: make all: unknown target",
		"README.md:8: go run ./lib: lib is not a program",
		"README.md:9: go test ./lost: cannot find the directory lost",
		"README.md:2: make nothing: unknown target",
		"README.md:15: go run .: sub is not a program",
	)
}

func TestCommands(t *testing.T) {
	t.Parallel()
	all := targets(makefile(t))
	for _, d := range moduleDocuments(t) {
		report(t, deadCommands(os.DirFS(module), d, all))
	}
}
