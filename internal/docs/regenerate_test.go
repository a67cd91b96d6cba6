package docs_test

import (
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// copyModule copies this module without its tests, so that make test does not run them.
func copyModule(t *testing.T) (dir string) {
	t.Helper()
	dir = t.TempDir()
	root := os.DirFS(module)
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && (slices.Contains([]string{"node_modules", "testdata"}, entry.Name()) || len(name) > 1 && strings.HasPrefix(name, ".")):
			return fs.SkipDir
		case entry.IsDir():
			return os.MkdirAll(filepath.Join(dir, name), 0o700)
		case strings.HasSuffix(name, "_test.go"):
			return nil
		}
		content, err := fs.ReadFile(root, name)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(dir, name), content, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// usesMoon is a test that compiles only after the new field is generated.
const usesMoon = `package generated_test

import (
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

func TestMoon(t *testing.T) { t.Log(generated.Agent{MoonPhase: "full"}) }
`

// The used part of the vendor's document is sufficient for make regenerate.
func TestRegenerate(t *testing.T) {
	if testing.Short() {
		t.Skip("compares, generates and builds a copy of this module")
	}
	t.Parallel()
	dir := copyModule(t)
	read := func(name string) string {
		t.Helper()
		content, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		return string(content)
	}
	write := func(name, content string) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const agent = "\n    Agent:\n"
	before, after, found := strings.Cut(read("openapi/upstream.yaml"), agent)
	head, properties, hasProperties := strings.Cut(after, "      properties:\n")
	if !found || !hasProperties {
		t.Fatal("upstream.yaml does not contain Agent with properties")
	}
	upstream := write("vendor.yaml", before+agent+head+"      properties:\n        moon_phase: {type: string}\n"+properties)
	overlay := read("openapi/overlay.yaml")
	write("generated/moon_test.go", usesMoon)

	// Skip the nested modules: they take long to build, and the copy does not contain their tests.
	regenerate := []string{"-C", dir, "regenerate", "UPSTREAM=" + upstream, "NESTED="}
	out, err := runMake(t, nil, regenerate...)
	if strings.Contains(out, "the race detector needs a C compiler") {
		t.Skip("make regenerate runs the tests, which need a C compiler")
	}
	if err != nil {
		t.Fatalf("make regenerate: %v\n%s", err, out)
	}
	rest := out
	for _, want := range []string{
		"added the optional property `moon_phase`", "trim: warning: property Agent.moon_phase: missing description",
		"-o generated/api.gen.go", "-o internal/server/server.gen.go", "ok  \tgithub.com/mistral-ratelimit/mistral-ratelimit-go/generated",
	} {
		_, after, found := strings.Cut(rest, want)
		if !found {
			t.Fatalf("the rest of the output of make regenerate does not contain %q:\n%s", want, out)
		}
		rest = after
	}

	// An overlay error stops make regenerate before it generates code.
	write("openapi/overlay.yaml", overlay+"- {target: $.components.schemas.Moon, update: {x-rename: Sun}}\n")
	out, err = runMake(t, nil, regenerate...)
	if err == nil || !strings.Contains(out, "$.components.schemas.Moon") || strings.Contains(out, "-o generated/api.gen.go") {
		t.Errorf("make regenerate with an unmatched action: error %v and output\n%s", err, out)
	}
}
