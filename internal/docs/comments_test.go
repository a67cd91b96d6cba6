package docs_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"unicode"
)

// undocumented returns the exported names of a package without a comment: the package,
// functions, types, methods, fields, constants and variables. A comment may be above a
// name or at the end of its line. A comment above a group of constants or variables
// applies to all of them. A comment above a field also applies to the fields in the next
// lines that it names. The comment of an interface also applies to its only method.
func undocumented(root fs.FS, dir string) ([]string, error) {
	names, err := fs.Glob(root, path.Join(dir, "*.go"))
	if err != nil {
		return nil, err
	}
	c := commentCheck{fset: token.NewFileSet()}
	var packageName string
	packageDoc := false
	for _, name := range names {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		source, err := fs.ReadFile(root, name)
		if err != nil {
			return nil, err
		}
		file, err := parser.ParseFile(c.fset, name, source, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		packageName = file.Name.Name
		packageDoc = packageDoc || file.Doc != nil
		for _, decl := range file.Decls {
			c.declaration(decl)
		}
	}
	if packageName != "" && !packageDoc {
		c.findings = append(c.findings, fmt.Sprintf("%s: package %s lacks a comment", dir, packageName))
	}
	return c.findings, nil
}

// A commentCheck collects findings about missing comments.
type commentCheck struct {
	fset     *token.FileSet
	findings []string
}

// require adds a finding if the name is exported and all comments are empty.
func (c *commentCheck) require(name *ast.Ident, shown string, comments ...*ast.CommentGroup) {
	if !name.IsExported() || slices.ContainsFunc(comments, func(g *ast.CommentGroup) bool { return strings.TrimSpace(g.Text()) != "" }) {
		return
	}
	c.findings = append(c.findings, fmt.Sprintf("%s: %s lacks a comment", c.fset.Position(name.Pos()), shown))
}

func (c *commentCheck) declaration(decl ast.Decl) {
	switch d := decl.(type) {
	case *ast.FuncDecl:
		name := d.Name.Name
		if d.Recv != nil {
			receiver := baseName(d.Recv.List[0].Type)
			if !ast.IsExported(receiver) {
				return
			}
			name = receiver + "." + name
		}
		c.require(d.Name, name, d.Doc)
	case *ast.GenDecl:
		for _, spec := range d.Specs {
			switch s := spec.(type) {
			case *ast.ValueSpec:
				for _, name := range s.Names {
					c.require(name, name.Name, d.Doc, s.Doc, s.Comment)
				}
			case *ast.TypeSpec:
				doc := s.Doc
				if !d.Lparen.IsValid() {
					doc = d.Doc
				}
				c.require(s.Name, s.Name.Name, doc, s.Comment)
				if s.Name.IsExported() {
					c.members(s.Name.Name, s.Type)
				}
			}
		}
	}
}

// members checks the fields of structs and the methods of interfaces, including nested
// ones.
func (c *commentCheck) members(of string, in ast.Expr) {
	ast.Inspect(in, func(node ast.Node) bool {
		var list *ast.FieldList
		switch n := node.(type) {
		case *ast.StructType:
			list = n.Fields
		case *ast.InterfaceType:
			list = n.Methods
		case *ast.FuncType: // parameters are not members
			return false
		default:
			return true
		}
		if _, isInterface := node.(*ast.InterfaceType); isInterface && len(list.List) == 1 {
			return true
		}
		var above *ast.CommentGroup
		end := 0 // the last line of the previous field
		for _, field := range list.List {
			if field.Doc != nil || c.fset.Position(field.Pos()).Line > end+1 {
				above = field.Doc
			}
			end = c.fset.Position(field.End()).Line
			for _, name := range field.Names {
				if !slices.Contains(words(above), name.Name) {
					c.require(name, of+"."+name.Name, field.Doc, field.Comment)
				}
			}
		}
		return true
	})
}

// words returns the words of a comment.
func words(comment *ast.CommentGroup) []string {
	return strings.FieldsFunc(comment.Text(), func(r rune) bool { return r != '_' && !unicode.IsLetter(r) && !unicode.IsDigit(r) })
}

// baseName returns the name of a receiver's type.
func baseName(expr ast.Expr) string {
	switch e := expr.(type) {
	case *ast.StarExpr:
		return baseName(e.X)
	case *ast.IndexExpr:
		return baseName(e.X)
	case *ast.IndexListExpr:
		return baseName(e.X)
	case *ast.Ident:
		return e.Name
	}
	return ""
}

// publicPackages returns the directories of packages that other modules can import.
func publicPackages(root fs.FS) ([]string, error) {
	var dirs []string
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if !entry.IsDir() {
			dir := path.Dir(name)
			if path.Ext(name) == ".go" && !strings.HasSuffix(name, "_test.go") && !isProgram(root, name) && !slices.Contains(dirs, dir) && dir != "." {
				dirs = append(dirs, dir)
			}
			return nil
		}
		if slices.Contains([]string{"internal", "testdata", "node_modules"}, entry.Name()) || len(name) > 1 && strings.HasPrefix(entry.Name(), ".") {
			return fs.SkipDir
		}
		return nil
	})
	return dirs, err
}

func TestMissingCommentsAreReported(t *testing.T) {
	t.Parallel()
	root := fstest.MapFS{
		"lib/a.go": {Data: []byte(`package lib

// Good is commented.
func Good() {}
func Bad() {}
func bad() {}

// T is a type.
type T[A any] struct {
	// Above is.
	Above int
	Behind int // is
	Neither, Nor int
	hidden int
	//nolint:some // a directive is not a comment
	Directive int
	Inner struct { Deep int } // is
	Call func(x struct{ P int }) // is
	// Low and High are; Far is further down.
	Low int
	High int

	Far int
}
func (t *T[A]) Method() {}
func (h hidden) Method() {}
type hidden struct { Field int }
type (
	// I is an interface.
	I interface {
		Do()
		// Done is.
		Done()
	}
	Grouped int
	// Single has one method.
	Single interface { Only() }
)

// All of them.
const (
	One = 1
	Two = 2
)
var Three, four = 3, 4
var (
	Five = 5 // is
	Six = 6
)
`)},
		"lib/a_test.go":          {Data: []byte("package lib_test\nfunc Helper() {}\n")},
		"lib/internal/x.go":      {Data: []byte("package internal\n")},
		"cmd/main.go":            {Data: []byte("package main\n")},
		"fine/doc.go":            {Data: []byte("// Package fine has one.\npackage fine\n")},
		"fine/other.go":          {Data: []byte("package fine\n")},
		"tools.go":               {Data: []byte("package tools\n")},
		"fine/testdata/x/not.go": {Data: []byte("package x\n")},
	}
	dirs, err := publicPackages(root)
	if err != nil || !slices.Equal(dirs, []string{"fine", "lib"}) {
		t.Fatalf("packages are %q, %v", dirs, err)
	}
	if got, err := undocumented(root, "fine"); err != nil || len(got) > 0 {
		t.Errorf("fine: %q, %v", got, err)
	}
	got, err := undocumented(root, "lib")
	if err != nil {
		t.Fatal(err)
	}
	wantFindings(t, got, "lib/a.go:5:6: Bad lacks a comment", "T.Neither", "T.Nor", "T.Directive", "T.Far", "T.Deep", "T.Method", "I.Do", "Grouped", "Three", "Six",
		"lib: package lib lacks a comment")
}

func TestEveryExportedNameHasAComment(t *testing.T) {
	t.Parallel()
	root := os.DirFS(module)
	dirs, err := publicPackages(root)
	if err != nil {
		t.Fatal(err)
	}
	for _, dir := range []string{"contract", "emulator", "generated", "limiter", "limiter/redislimiter", "openapi", "ratelimited", "runner", "runner/mcptools", "sse", "tokens"} {
		if !slices.Contains(dirs, dir) {
			t.Errorf("publicPackages does not return %s: %q", dir, dirs)
		}
	}
	for _, dir := range dirs {
		findings, err := undocumented(root, dir)
		if err != nil {
			t.Fatal(err)
		}
		report(t, findings)
	}
}
