package generated_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"regexp"
	"strings"
	"testing"
)

// The generated code follows the style of hand-written code: doc comments, line lengths and names.
func TestGeneratedCodeReadsLikeHandWritten(t *testing.T) {
	t.Parallel()
	files := token.NewFileSet()
	file, err := parser.ParseFile(files, "api.gen.go", nil, parser.ParseComments|parser.SkipObjectResolution)
	if err != nil {
		t.Fatal(err)
	}
	generatorText := regexp.MustCompile(`(?i)swagger|deepmap|defines (model|values|parameters) for`)
	for _, group := range file.Comments {
		if match := generatorText.FindString(group.Text()); match != "" {
			t.Errorf("%s: a comment contains %q", files.Position(group.Pos()), match)
		}
		for _, line := range group.List {
			if len(line.Text) > 120 {
				t.Errorf("%s: a comment line has %d bytes, want at most 120", files.Position(line.Pos()), len(line.Text))
			}
		}
	}
	types, methods := 0, 0
	for _, decl := range file.Decls {
		switch d := decl.(type) {
		case *ast.FuncDecl:
			name := d.Name.Name
			if d.Recv == nil && ast.IsExported(name) && !strings.HasPrefix(name, "New") {
				t.Errorf("%s: function %s is exported, want only New functions", files.Position(d.Pos()), name)
			}
			if strings.HasSuffix(name, "Request") {
				t.Errorf("%s: function %s has the suffix Request, want only methods that send requests", files.Position(d.Pos()), name)
			}
			if ast.IsExported(name) && !regexp.MustCompile(`^`+name+` [a-z]+s `).MatchString(d.Doc.Text()) {
				t.Errorf("%s: the comment of %s begins with %.60q, want the name and a verb", files.Position(d.Pos()), name, d.Doc.Text())
			}
			methods++
		case *ast.GenDecl:
			if d.Tok != token.TYPE {
				continue
			}
			for _, spec := range d.Specs {
				s, ok := spec.(*ast.TypeSpec)
				if !ok {
					continue
				}
				types++
				if !regexp.MustCompile(`^` + s.Name.Name + ` (is|are) `).MatchString(d.Doc.Text()) {
					t.Errorf("%s: the comment of %s begins with %.60q, want the name and is or are", files.Position(s.Pos()), s.Name.Name, d.Doc.Text())
				}
				structure, ok := s.Type.(*ast.StructType)
				if !ok {
					continue
				}
				for _, field := range structure.Fields.List {
					for _, name := range field.Names {
						if regexp.MustCompile(`^` + name.Name + ` [A-Z]`).MatchString(field.Doc.Text()) {
							t.Errorf("%s: the comment of %s.%s repeats the name: %q", files.Position(field.Pos()), s.Name.Name, name.Name, field.Doc.Text())
						}
					}
				}
			}
		}
	}
	if types < 80 || methods < 300 {
		t.Errorf("checked %d types and %d functions, want at least 80 and 300", types, methods)
	}
}
