package openapi_test

import (
	"bytes"
	"errors"
	"flag"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/speakeasy-api/openapi/overlay"
	"gopkg.in/yaml.v3"
)

var update = flag.Bool("update", false, "write the results to testdata/changes.yaml; review them before the commit")

// A vendorChange is a possible change of the vendor's document with its expected results.
type vendorChange struct {
	Name string `yaml:"name"`
	// Actions holds the overlay actions that change upstream.yaml.
	Actions string `yaml:"actions"`
	// Report is the output of spec-diff, without the lines that identify the documents.
	Report string `yaml:"report"`
	// Outcome is "compiles", or the errors of trim. If each error contains an overlay action, the
	// last line is the outcome with these actions.
	Outcome string `yaml:"outcome"`
}

// Each change of the vendor's document has exactly the expected report and outcome.
func TestVendorChanges(t *testing.T) {
	if testing.Short() {
		t.Skip("compares, trims, generates and compiles about 70 documents")
	}
	t.Parallel()
	const file = "testdata/changes.yaml"
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var cases []*vendorChange
	if err := yaml.Unmarshal(content, &cases); err != nil {
		t.Fatal(err)
	}
	if len(cases) < 60 {
		t.Errorf("%d documents, want 60 or more", len(cases))
	}
	tools := buildTools(t)
	check := newTypeChecker(t)
	t.Run("documents", func(t *testing.T) {
		for _, c := range cases {
			t.Run(c.Name, func(t *testing.T) {
				t.Parallel()
				dir := t.TempDir()
				upstream := filepath.Join(dir, "vendor.yaml")
				writeChanged(t, c.Actions, upstream)
				report, outcome := tools.specDiff(t, upstream), tools.outcome(t, check, upstream, dir)
				if *update {
					c.Report, c.Outcome = report, outcome
					return
				}
				if report != c.Report {
					t.Errorf("the report is\n%s\nwant\n%s", report, c.Report)
				}
				if outcome != c.Outcome {
					t.Errorf("the outcome is\n%s\nwant\n%s", outcome, c.Outcome)
				}
			})
		}
	})
	if *update {
		var out bytes.Buffer
		encoder := yaml.NewEncoder(&out)
		encoder.SetIndent(2)
		if err := errors.Join(encoder.Encode(cases), encoder.Close(), os.WriteFile(file, out.Bytes(), 0o600)); err != nil {
			t.Fatal(err)
		}
	}
}

// writeChanged applies overlay actions to upstream.yaml and writes the result.
func writeChanged(t *testing.T, actions, out string) {
	t.Helper()
	content, err := os.ReadFile("upstream.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(content, &document); err != nil {
		t.Fatal(err)
	}
	o, err := overlay.ParseReader(strings.NewReader("overlay: 1.1.0\ninfo: {title: Change, version: 1.0.0}\nactions:\n" + actions))
	if err != nil {
		t.Fatal(err)
	}
	if warnings, err := o.ApplyToStrict(document.Content[0]); err != nil || len(warnings) > 0 {
		t.Fatal(err, warnings)
	}
	var changed bytes.Buffer
	if err := yaml.NewEncoder(&changed).Encode(&document); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(out, changed.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
}

// tools is the directory of the built programs.
type tools string

func buildTools(t *testing.T) tools {
	t.Helper()
	dir := t.TempDir()
	for _, args := range [][]string{
		{"-C", "..", "build", "-o", dir + "/", "./openapi/trim", "./openapi/comments", "github.com/oapi-codegen/oapi-codegen/v2/cmd/oapi-codegen"},
		{"-C", "specdiff", "build", "-o", dir + "/", "."},
		{"-C", "specdiff", "build", "-modfile=oasdiff.mod", "-o", dir + "/", "github.com/oasdiff/oasdiff"},
	} {
		if out, err := exec.CommandContext(t.Context(), "go", args...).CombinedOutput(); err != nil {
			t.Fatalf("go %v: %v\n%s", args, err, out)
		}
	}
	return tools(dir)
}

// run runs a program in the root of the module and returns its exit status.
func (dir tools) run(t *testing.T, program string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	command := exec.CommandContext(t.Context(), filepath.Join(string(dir), program), args...)
	command.Dir = ".."
	var out, errs bytes.Buffer
	command.Stdout, command.Stderr = &out, &errs
	err := command.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return out.String(), errs.String(), command.ProcessState.ExitCode()
}

func (dir tools) specDiff(t *testing.T, upstream string) string {
	t.Helper()
	report, stderr, status := dir.run(t, "specdiff", "-repo", ".", "-programs", string(dir), "-upstream", upstream)
	if stderr != "" {
		t.Fatalf("specdiff: %s", stderr)
	}
	if want := strings.Contains(report, "\nno changes"); want != (status == 0) {
		t.Errorf("specdiff exits with %d and reports\n%s", status, report)
	}
	lines := strings.SplitN(report, "\n", 3)
	return strings.TrimRight(lines[2], "\n")
}

// fix matches the overlay action in an error of trim.
var fix = regexp.MustCompile(`add to the overlay (\{.*\})$`)

// outcome trims a document and generates code. After errors, it applies the actions in the errors
// and tries again.
func (dir tools) outcome(t *testing.T, check *typeChecker, upstream, scratch string) string {
	t.Helper()
	trimErrors := dir.trim(t, upstream, filepath.Join("openapi", "overlay.yaml"), scratch)
	if trimErrors == "" {
		return dir.generate(t, check, scratch)
	}
	var actions strings.Builder
	for line := range strings.SplitSeq(trimErrors, "\n") {
		match := fix.FindStringSubmatch(line)
		if match == nil || strings.Contains(match[1], "/…") || strings.Contains(match[1], "{…") {
			return trimErrors
		}
		actions.WriteString("- " + strings.ReplaceAll(match[1], "…", "Fixed") + "\n")
	}
	content, err := os.ReadFile("overlay.yaml")
	if err != nil {
		t.Fatal(err)
	}
	fixed := filepath.Join(scratch, "overlay.yaml")
	if err := os.WriteFile(fixed, append(content, actions.String()...), 0o600); err != nil {
		t.Fatal(err)
	}
	if again := dir.trim(t, upstream, fixed, scratch); again != "" {
		return trimErrors + "\nwith these actions: " + again
	}
	return trimErrors + "\nwith these actions: " + dir.generate(t, check, scratch)
}

// trim returns the errors of trim, or "".
func (dir tools) trim(t *testing.T, upstream, overlayPath, scratch string) string {
	t.Helper()
	_, stderr, status := dir.run(t, "trim", "-upstream", upstream, "-overlay", overlayPath, "-o", filepath.Join(scratch, "openapi.yaml"))
	if status == 0 {
		return ""
	}
	var messages []string
	for line := range strings.Lines(stderr) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "trim: warning: ") {
			messages = append(messages, strings.TrimPrefix(line, "trim: "))
		}
	}
	return strings.Join(messages, "\n")
}

// generate generates code from the trimmed document and compiles it.
func (dir tools) generate(t *testing.T, check *typeChecker, scratch string) string {
	t.Helper()
	api, server := filepath.Join(scratch, "api.gen.go"), filepath.Join(scratch, "server.gen.go")
	for _, args := range [][]string{
		{"oapi-codegen", "-config", "generated/client.cfg.yaml", "-o", api, filepath.Join(scratch, "openapi.yaml")},
		{"oapi-codegen", "-config", "generated/server.cfg.yaml", "-o", server, filepath.Join(scratch, "openapi.yaml")},
		{"comments", api, server},
	} {
		if _, stderr, status := dir.run(t, args[0], args[1:]...); status != 0 {
			return "generator error: " + strings.TrimSpace(stderr)
		}
	}
	return check.compile(api, server)
}
