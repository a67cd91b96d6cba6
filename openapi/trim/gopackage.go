package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"strings"

	"github.com/getkin/kin-openapi/openapi3"
	"github.com/oapi-codegen/oapi-codegen/v2/pkg/codegen"
	"gopkg.in/yaml.v3"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/openapi/internal/tree"
)

// A goPackage describes the Go package of the generated code: its hand-written declarations and
// the configuration of the generator.
type goPackage struct {
	declared map[string]bool     // hand-written names at package level
	methods  map[string][]string // hand-written methods, by type
	holds    map[string][]string // the JSON types that a hand-written type can hold
	excluded map[string]bool     // schemas for which the generator does not create a type
}

// readPackage reads the package in dir.
func readPackage(dir string) (*goPackage, error) {
	p := &goPackage{declared: map[string]bool{}, methods: map[string][]string{}, holds: map[string][]string{}, excluded: map[string]bool{}}
	if err := p.configure(filepath.Join(dir, "client.cfg.yaml")); err != nil {
		return nil, err
	}
	names, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") || strings.HasSuffix(name, ".gen.go") {
			continue
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		p.read(file)
	}
	return p, nil
}

// configure reads the generator's configuration. The generator stores its naming rules in
// package variables when it generates code, so configure runs it on an empty document.
func (p *goPackage) configure(name string) error {
	content, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	var config codegen.Configuration
	if err := yaml.Unmarshal(content, &config); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	for _, schema := range config.OutputOptions.ExcludeSchemas {
		p.excluded[schema] = true
	}
	config.OutputOptions.UserTemplates = nil
	empty := &openapi3.T{OpenAPI: "3.1.0", Info: &openapi3.Info{}, Paths: openapi3.NewPaths()}
	if _, err := codegen.Generate(empty, config); err != nil {
		return fmt.Errorf("%s: %w", name, err)
	}
	return nil
}

// read adds the declarations of a hand-written file.
func (p *goPackage) read(file *ast.File) {
	for _, group := range file.Comments {
		for _, comment := range group.List {
			if types, ok := strings.CutPrefix(comment.Text, "//openapi:holds "); ok {
				fields := strings.Fields(types)
				p.holds[fields[0]] = fields[1:]
			}
		}
	}
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			if d.Recv == nil {
				p.declared[d.Name.Name] = true
				continue
			}
			receiver := d.Recv.List[0].Type
			if star, ok := receiver.(*ast.StarExpr); ok {
				receiver = star.X
			}
			if name, ok := receiver.(*ast.Ident); ok {
				p.methods[name.Name] = append(p.methods[name.Name], d.Name.Name)
			}
		case *ast.GenDecl:
			for _, spec := range d.Specs {
				switch s := spec.(type) {
				case *ast.TypeSpec:
					p.declared[s.Name.Name] = true
				case *ast.ValueSpec:
					for _, name := range s.Names {
						p.declared[name.Name] = true
					}
				}
			}
		}
	}
}

// goName returns the Go name that the generator uses: x-go-name, or a name derived from name.
func goName(name string, schema *yaml.Node) string {
	if goName := tree.Text(tree.Value(schema, "x-go-name")); goName != "" {
		return goName
	}
	return codegen.SchemaNameToTypeName(name)
}
