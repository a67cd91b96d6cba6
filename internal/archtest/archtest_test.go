// Package archtest_test checks which package may import which,
// and what a program that imports one of them has to build.
package archtest_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/mistral-ratelimit/mistral-ratelimit-go"

// list runs go list and returns its lines, each once, in order.
func list(t *testing.T, args ...string) []string {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), "go", append([]string{"list"}, args...)...).CombinedOutput()
	if err != nil {
		t.Fatalf("go list %v: %v\n%s", args, err, out)
	}
	lines := strings.Fields(string(out))
	slices.Sort(lines)
	return slices.Compact(lines)
}

// allowed lists, for each package, the packages of this module that it may import. The imports must
// not form a cycle, so that they point in one direction.
var allowed = map[string][]string{
	"openapi":             {},
	"generated":           {},
	"limiter":             {},
	"limiter/limitertest": {"limiter"},
	"sse":                 {"generated"},
	"tokens":              {"generated"},
	"ratelimited": {
		"generated", "internal/estimate", "limiter", "ratelimited/internal/outage", "ratelimited/internal/retry",
		"ratelimited/internal/statefile", "sse", "tokens",
	},
	"ratelimited/internal/outage":    {"limiter"},
	"ratelimited/internal/retry":     {"limiter"},
	"ratelimited/internal/statefile": {},
	"runner":                         {"generated", "limiter", "ratelimited", "runner/internal/schema"},
	"runner/internal/schema":         {"generated"},
	"bulk":                           {"generated", "internal/nearest", "ratelimited", "runner"},
	"emulator": {
		"contract", "emulator/fault", "emulator/internal/engine", "emulator/internal/inject", "emulator/internal/quota",
		"emulator/internal/schema", "emulator/internal/state", "emulator/internal/wire", "emulator/model", "generated", "internal/server", "openapi",
	},
	"emulator/fault":               {"contract", "emulator/internal/strictyaml", "emulator/internal/wire", "internal/nearest"},
	"emulator/model":               {"emulator/internal/schema", "emulator/internal/strictyaml", "emulator/internal/wire", "generated"},
	"emulator/internal/wire":       {"contract", "generated", "internal/server"},
	"emulator/internal/quota":      {"emulator/internal/wire"},
	"emulator/internal/state":      {"emulator/internal/wire", "generated"},
	"emulator/internal/schema":     {"emulator/internal/wire", "generated"},
	"emulator/internal/strictyaml": {"internal/nearest"},
	"emulator/internal/engine":     {"emulator/internal/quota", "emulator/internal/state", "emulator/internal/wire", "emulator/model", "generated"},
	"emulator/internal/inject":     {"emulator/fault", "emulator/internal/quota", "emulator/internal/wire"},
	"internal/plainflag":           {"internal/nearest"},
	"internal/nearest":             {},
	"emulatortest":                 {"contract", "emulator", "generated", "internal/memnet", "limiter", "ratelimited"},
	"contract":                     {"openapi"},
	"internal/estimate":            {},
	"internal/faultproxy":          {},
	"internal/server":              {"generated"},
	"internal/svg":                 {},
}

func TestImportsPointDownwards(t *testing.T) {
	for importer, allowed := range allowed {
		t.Run(importer, func(t *testing.T) {
			t.Parallel()
			for _, path := range list(t, "-f", `{{join .Imports "\n"}}`, module+"/"+importer) {
				imported, ours := strings.CutPrefix(path, module+"/")
				if ours && !slices.Contains(allowed, imported) {
					t.Errorf("%s imports %s; it may import %v of this module", importer, imported, allowed)
				}
			}
		})
	}
}

// Each package of the emulator is in the table above.
func TestEmulatorPackagesAreListed(t *testing.T) {
	t.Parallel()
	for _, path := range list(t, module+"/emulator/...") {
		name := strings.TrimPrefix(path, module+"/")
		if _, ok := allowed[name]; !ok && name != "emulator/interop" {
			t.Errorf("allowed has no entry for %s", name)
		}
	}
}

// A program that imports the client builds these modules and no others: nothing
// that generates, validates or tests.
func TestConsumersBuildNoTools(t *testing.T) {
	t.Parallel()
	want := []string{
		"github.com/apapsch/go-jsonmerge/v2",
		"github.com/dlclark/regexp2",
		"github.com/gofrs/flock",
		"github.com/google/uuid",
		module,
		"github.com/oapi-codegen/runtime",
		"github.com/pkoukk/tiktoken-go",
		"github.com/pkoukk/tiktoken-go-loader",
		"golang.org/x/sys",
		"golang.org/x/time",
	}
	for name, more := range map[string][]string{"ratelimited": nil, "runner": nil, "bulk": {"golang.org/x/sync"}} {
		want := slices.Sorted(slices.Values(slices.Concat(want, more)))
		got := list(t, "-deps", "-f", "{{with .Module}}{{.Path}}{{end}}", module+"/"+name)
		if !slices.Equal(got, want) {
			t.Errorf("a consumer of %s builds\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
	}
}

// Each module needs no later version of Go than the oldest that is tested. A new version of a dependency may raise it
// unnoticed.
func TestGoVersion(t *testing.T) {
	t.Parallel()
	const oldest = "1.25.0"
	var files []string
	for _, pattern := range []string{"go.mod", "*/go.mod", "*/*/go.mod"} {
		found, err := filepath.Glob("../../" + pattern)
		if err != nil {
			t.Fatal(err)
		}
		files = append(files, found...)
	}
	if len(files) < 8 {
		t.Fatalf("the modules are %q", files)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(text), "\ngo "+oldest+"\n") {
			t.Errorf("%s needs another version of Go than %s", file, oldest)
		}
	}
}
