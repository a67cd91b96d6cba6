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

// A typeChecker type-checks generated code with the hand-written files of its package. This is much
// faster than the compiler.
type typeChecker struct {
	files    *token.FileSet
	mu       sync.Mutex // guards compiled
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

// Import imports a compiled package.
func (c *typeChecker) Import(path string) (*types.Package, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.compiled.Import(path)
}

// compile returns "compiles" or the first three errors.
func (c *typeChecker) compile(api, server string) string {
	generated, errs := c.check("generated", api, c)
	if len(errs) == 0 {
		_, errs = c.check("internal/server", server, overrideImporter{generated, c})
	}
	if len(errs) > 0 {
		return "does not compile:\n" + strings.Join(errs[:min(3, len(errs))], "\n")
	}
	return "compiles"
}

func (c *typeChecker) check(dir, generatedFile string, imports types.Importer) (*types.Package, []string) {
	names, err := filepath.Glob(filepath.Join("..", dir, "*.go"))
	if err != nil {
		return nil, []string{err.Error()}
	}
	var files []*ast.File
	for _, name := range append(names, generatedFile) {
		if strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, ".gen.go") && name != generatedFile {
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
		if e, ok := err.(types.Error); ok { //nolint:errorlint // types.Config passes the unwrapped value
			at = e
		}
		position := c.files.Position(at.Pos)
		errs = append(errs, fmt.Sprintf("%s:%d: %s", filepath.Base(position.Filename), position.Line, at.Msg))
	}}
	checked, _ := config.Check(module+dir, c.files, files, nil) // config.Error collects the errors
	return checked, errs
}

// An overrideImporter returns a checked package instead of the compiled one.
type overrideImporter struct {
	pkg  *types.Package
	rest types.Importer
}

func (o overrideImporter) Import(path string) (*types.Package, error) {
	if path == o.pkg.Path() {
		return o.pkg, nil
	}
	return o.rest.Import(path)
}
