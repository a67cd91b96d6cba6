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

var update = flag.Bool("update", false, "write what is found into testdata/doctored.yaml, to be read before it is committed")

// A doctored document is upstream.yaml after some actions of an overlay: what the vendor may
// change some day.
type doctored struct {
	Name string `yaml:"name"`
	// Doctor is the actions.
	Doctor string `yaml:"doctor"`
	// Report is what spec-diff says, but for the lines that name the documents.
	Report string `yaml:"report"`
	// Outcome is "compiles", or the sentences with which trim refuses the document. Where each
	// of these has an action for the overlay, the last line says what follows from them.
	Outcome string `yaml:"outcome"`
}

// Each doctored document has exactly the report and the outcome expected.
func TestDoctoredDocuments(t *testing.T) {
	if testing.Short() {
		t.Skip("it compares, trims, generates and compiles some 70 documents")
	}
	t.Parallel()
	const file = "testdata/doctored.yaml"
	content, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var cases []*doctored
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
				doctor(t, c.Doctor, upstream)
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

// doctor writes upstream.yaml after some actions.
func doctor(t *testing.T, actions, out string) {
	t.Helper()
	content, err := os.ReadFile("upstream.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var document yaml.Node
	if err := yaml.Unmarshal(content, &document); err != nil {
		t.Fatal(err)
	}
	o, err := overlay.ParseReader(strings.NewReader("overlay: 1.1.0\ninfo: {title: Doctor, version: 1.0.0}\nactions:\n" + actions))
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

// tools is the directory of the programs, built once.
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

var answer = regexp.MustCompile(`add to the overlay (\{.*\})$`)

// outcome trims a document and makes code of it; refused, it does what the refusals say.
func (dir tools) outcome(t *testing.T, check *typeChecker, upstream, scratch string) string {
	t.Helper()
	refusals := dir.trim(t, upstream, filepath.Join("openapi", "overlay.yaml"), scratch)
	if refusals == "" {
		return dir.generate(t, check, scratch)
	}
	var answers strings.Builder
	for line := range strings.SplitSeq(refusals, "\n") {
		match := answer.FindStringSubmatch(line)
		if match == nil || strings.Contains(match[1], "/…") || strings.Contains(match[1], "{…") {
			return refusals
		}
		answers.WriteString("- " + strings.ReplaceAll(match[1], "…", "Answer") + "\n")
	}
	content, err := os.ReadFile("overlay.yaml")
	if err != nil {
		t.Fatal(err)
	}
	answered := filepath.Join(scratch, "overlay.yaml")
	if err := os.WriteFile(answered, append(content, answers.String()...), 0o600); err != nil {
		t.Fatal(err)
	}
	if again := dir.trim(t, upstream, answered, scratch); again != "" {
		return refusals + "\nwith these actions: " + again
	}
	return refusals + "\nwith these actions: " + dir.generate(t, check, scratch)
}

// trim returns the sentences with which trim refuses a document; none if it does not.
func (dir tools) trim(t *testing.T, upstream, overlayPath, scratch string) string {
	t.Helper()
	_, stderr, status := dir.run(t, "trim", "-upstream", upstream, "-overlay", overlayPath, "-o", filepath.Join(scratch, "openapi.yaml"))
	if status == 0 {
		return ""
	}
	var sentences []string
	for line := range strings.Lines(stderr) {
		if line = strings.TrimSpace(line); !strings.HasPrefix(line, "trim: warning: ") {
			sentences = append(sentences, strings.TrimPrefix(line, "trim: "))
		}
	}
	return strings.Join(sentences, "\n")
}

// generate makes code of the trimmed document.
func (dir tools) generate(t *testing.T, check *typeChecker, scratch string) string {
	t.Helper()
	api, server := filepath.Join(scratch, "api.gen.go"), filepath.Join(scratch, "server.gen.go")
	for _, args := range [][]string{
		{"oapi-codegen", "-config", "generated/client.cfg.yaml", "-o", api, filepath.Join(scratch, "openapi.yaml")},
		{"oapi-codegen", "-config", "generated/server.cfg.yaml", "-o", server, filepath.Join(scratch, "openapi.yaml")},
		{"comments", api, server},
	} {
		if _, stderr, status := dir.run(t, args[0], args[1:]...); status != 0 {
			return "cannot be generated: " + strings.TrimSpace(stderr)
		}
	}
	return check.compile(api, server)
}
