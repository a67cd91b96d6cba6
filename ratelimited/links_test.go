package ratelimited_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"

	"gopkg.in/yaml.v3"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/openapi"
)

// The comment of each operation links its page on docs.mistral.ai. The page of a streaming operation has
// the suffix _stream.
func TestEveryOperationLinksItsPage(t *testing.T) {
	t.Parallel()
	pages := pagesOf(t)
	comments := map[string]string{}
	files := token.NewFileSet()
	for _, name := range []string{"conversations.go", "agents.go"} {
		file, err := parser.ParseFile(files, name, nil, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, decl := range file.Decls {
			if method, ok := decl.(*ast.FuncDecl); ok && method.Recv != nil && method.Name.IsExported() {
				service := method.Recv.List[0].Type.(*ast.StarExpr).X.(*ast.Ident).Name
				comments[service+"."+method.Name.Name] = method.Doc.Text()
			}
		}
	}
	for _, step := range steps {
		operation, stream := strings.CutSuffix(step.operation, "Stream")
		page := pages[operation]
		if stream {
			page += "_stream"
		}
		if !slices.Contains(strings.Fields(comments[step.method]), page) || pages[operation] == "" {
			t.Errorf("the comment of %s does not link %s: %q", step.method, page, comments[step.method])
		}
	}
	if len(pages) != 20 {
		t.Errorf("the OpenAPI document links %d pages, want 20", len(pages))
	}
}

// pagesOf returns the page of each operation in the OpenAPI document.
func pagesOf(t *testing.T) map[string]string {
	t.Helper()
	var document struct {
		Paths map[string]map[string]struct {
			OperationID  string `yaml:"operationId"`
			ExternalDocs struct {
				URL string `yaml:"url"`
			} `yaml:"externalDocs"`
		}
	}
	if err := yaml.Unmarshal(openapi.Document(), &document); err != nil {
		t.Fatal(err)
	}
	pages := map[string]string{}
	for _, item := range document.Paths {
		for _, operation := range item {
			pages[operation.OperationID] = operation.ExternalDocs.URL
		}
	}
	return pages
}
