package openapi_test

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

const module = "github.com/mistral-ratelimit/mistral-ratelimit-go/"

// A typeChecker checks generated code together with the hand-written files beside it, as the
// compiler does and in a fraction of the time.
type typeChecker struct {
	files    *token.FileSet
	mu       sync.Mutex // of compiled
	compiled types.Importer
}

func newTypeChecker(t *testing.T) *typeChecker {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "list", "-export", "-deps", "-f", "{{.ImportPath}}\t{{.Export}}", "./generated", "./internal/server")
	command.Dir = ".."
	out, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	exports := map[string]string{}
	for line := range strings.Lines(string(out)) {
		path, export, _ := strings.Cut(strings.TrimSpace(line), "\t")
		exports[path] = export
	}
	c := &typeChecker{files: token.NewFileSet()}
	c.compiled = importer.ForCompiler(c.files, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) })
	return c
}

// Import imports what is compiled.
func (c *typeChecker) Import(path string) (*types.Package, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.compiled.Import(path)
}

// compile returns "compiles" or the first errors.
func (c *typeChecker) compile(api, server string) string {
	generated, errs := c.check("generated", api, c)
	if len(errs) == 0 {
		_, errs = c.check("internal/server", server, with{generated, c})
	}
	if len(errs) > 0 {
		return "does not compile:\n" + strings.Join(errs[:min(3, len(errs))], "\n")
	}
	return "compiles"
}

func (c *typeChecker) check(dir, made string, imports types.Importer) (*types.Package, []string) {
	names, err := filepath.Glob(filepath.Join("..", dir, "*.go"))
	if err != nil {
		return nil, []string{err.Error()}
	}
	var files []*ast.File
	for _, name := range append(names, made) {
		if strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, ".gen.go") && name != made {
			continue
		}
		file, err := parser.ParseFile(c.files, name, nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, []string{err.Error()}
		}
		files = append(files, file)
	}
	var errs []string
	config := types.Config{Importer: imports, Error: func(err error) {
		var at types.Error
		if e, ok := err.(types.Error); ok { //nolint:errorlint // types.Config hands the bare value over
			at = e
		}
		position := c.files.Position(at.Pos)
		errs = append(errs, fmt.Sprintf("%s:%d: %s", filepath.Base(position.Filename), position.Line, at.Msg))
	}}
	checked, _ := config.Check(module+dir, c.files, files, nil) // the errors are in errs
	return checked, errs
}

// with imports one package as it was just checked.
type with struct {
	pkg  *types.Package
	rest types.Importer
}

func (w with) Import(path string) (*types.Package, error) {
	if path == w.pkg.Path() {
		return w.pkg, nil
	}
	return w.rest.Import(path)
}
