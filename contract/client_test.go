package contract_test

import (
	"fmt"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
)

// fakeTB records the errors and the cleanup functions of a test.
type fakeTB struct {
	helped  bool
	errors  []string
	cleanup []func()
}

func (f *fakeTB) Helper() { f.helped = true }
func (f *fakeTB) Errorf(format string, args ...any) {
	f.errors = append(f.errors, fmt.Sprintf(format, args...))
}
func (f *fakeTB) Cleanup(fn func()) { f.cleanup = append(f.cleanup, fn) }

func TestReporterIgnoresViolationsAfterTheTest(t *testing.T) {
	t.Parallel()
	tb := &fakeTB{}
	report := contract.Reporter(tb)
	v := contract.Violation{In: "body", Rule: "json", Message: "must be JSON"}
	report(v)
	for _, fn := range tb.cleanup {
		fn()
	}
	report(v)
	if want := []string{"contract: body: json: must be JSON"}; !tb.helped || !slices.Equal(tb.errors, want) {
		t.Errorf("%v %q", tb.helped, tb.errors)
	}
}

func TestReporterDoesNotNeedCleanup(t *testing.T) {
	t.Parallel()
	tb := &fakeTB{}
	report := contract.Reporter(struct{ contract.TB }{tb})
	report(contract.Violation{In: "body"})
	if len(tb.errors) != 1 {
		t.Errorf("%q", tb.errors)
	}
}

// The emulator command imports this package, so the package must not link testing.
func TestPackageTestingIsNotLinked(t *testing.T) {
	t.Parallel()
	out, err := exec.CommandContext(t.Context(), "go", "list", "-deps", ".").Output()
	if err != nil {
		t.Fatal(err)
	}
	const module = "github.com/mistral-ratelimit/mistral-ratelimit-go/"
	for dep := range strings.FieldsSeq(string(out)) {
		if dep == "testing" {
			t.Error("testing is linked")
		}
		if rest, ok := strings.CutPrefix(dep, module); ok && rest != "openapi" && rest != "contract" {
			t.Errorf("imports %s, want only openapi: the validator must not share code with the packages it validates", rest)
		}
	}
}
