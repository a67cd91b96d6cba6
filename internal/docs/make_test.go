package docs_test

import (
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
)

var rule = regexp.MustCompile(`(?m)^([\w./%-][\w./% -]*):(?:[^=]|$)`)

// targets returns the targets of a Makefile that a user can run.
func targets(makefile string) []string {
	var all []string
	for _, match := range rule.FindAllStringSubmatch(makefile, -1) {
		for name := range strings.FieldsSeq(match[1]) {
			if !strings.HasPrefix(name, ".") && !strings.Contains(name, "%") && !slices.Contains(all, name) {
				all = append(all, name)
			}
		}
	}
	return all
}

// unlisted returns the targets without a line and a description in the output of
// make help.
func unlisted(makefile, help string) []string {
	var missing []string
	for _, name := range targets(makefile) {
		if !regexp.MustCompile(`(?m)^\s*make ` + regexp.QuoteMeta(name) + `[ \t]+\S+`).MatchString(help) {
			missing = append(missing, fmt.Sprintf("make help does not describe make %s", name))
		}
	}
	return missing
}

func makefile(t *testing.T) string {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(module, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	return string(source)
}

// runMake runs make in this module without the environment of an outer make.
func runMake(t *testing.T, environment []string, args ...string) (string, error) {
	t.Helper()
	command := exec.CommandContext(t.Context(), "make", args...)
	command.Dir = module
	for _, variable := range os.Environ() {
		if !strings.HasPrefix(variable, "MAKE") && !strings.HasPrefix(variable, "MFLAGS") {
			command.Env = append(command.Env, variable)
		}
	}
	command.Env = append(command.Env, environment...)
	out, err := command.CombinedOutput()
	return string(out), err
}

func TestUnlistedTargetsAreReported(t *testing.T) {
	t.Parallel()
	const makefile = "VAR := 1\n.PHONY: all\nall: one two ## everything\n\techo x: y\none two_2:\n\ttrue\n%.o: %.c\nall: three\nUNSET ?= a:b\n"
	if got := targets(makefile); !slices.Equal(got, []string{"all", "one", "two_2"}) {
		t.Fatalf("targets are %q", got)
	}
	wantFindings(t, unlisted(makefile, "  make all   everything\n  make one\n  make two_2x  other\n"),
		"describe make one", "describe make two_2")
}

func TestHelpListsEveryTarget(t *testing.T) {
	t.Parallel()
	help, err := runMake(t, nil, "help")
	if err != nil {
		t.Fatalf("make help: %v\n%s", err, help)
	}
	report(t, unlisted(makefile(t), help))
	if found := targets(makefile(t)); len(found) < 15 {
		t.Errorf("%d targets %q, want at least 15", len(found), found)
	}
}

func TestMakeErrors(t *testing.T) {
	t.Parallel()
	for _, test := range []struct{ target, environment, want string }{
		{"help", "PATH=" + t.TempDir(), "go is not on the PATH: install Go"},
		{"nonsense", "X=", "unknown target nonsense: run make help to list the targets"},
		{"openapi", "UPSTREAM=", "make openapi UPSTREAM=path/to/openapi.yaml"},
		{"spec-diff", "UPSTREAM=", "make spec-diff UPSTREAM=path/to/openapi.yaml"},
		{"regenerate", "UPSTREAM=", "make regenerate UPSTREAM=path/to/openapi.yaml"},
		{"test", "CGO_ENABLED=0", "make test: the race detector needs a C compiler"},
		{"interop", "CGO_ENABLED=0", "make interop: the race detector needs a C compiler"},
		{"soak", "CGO_ENABLED=0", "make soak: the race detector needs a C compiler"},
	} {
		t.Run(test.target, func(t *testing.T) {
			t.Parallel()
			if out, err := runMake(t, []string{test.environment}, test.target); err == nil || !strings.Contains(out, test.want) {
				t.Errorf("make %s with %s: error %v and output %q, want %q", test.target, test.environment, err, out, test.want)
			}
		})
	}
}

// make test reports the skipped Redis tests, because the go command does not print them. A Redis URL
// is not sufficient for tests that need the server program.
func TestMakeReportsSkippedTests(t *testing.T) {
	t.Parallel()
	const notTested, noServer = "NOT TESTED: limiter/redislimiter with a Redis that hangs", "no test used a real Redis"
	for name, test := range map[string]struct {
		programs   []string
		url        string
		want, omit []string
	}{
		"neither": {[]string{"go"}, "", []string{notTested, noServer, "apt-get install redis-server"}, nil},
		"address": {[]string{"go"}, "redis://localhost", []string{notTested, "apt-get install redis-server"}, []string{noServer}},
		"program": {[]string{"go", "redis-server"}, "", nil, []string{notTested}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path := t.TempDir()
			for _, program := range test.programs {
				if err := os.WriteFile(filepath.Join(path, program), nil, 0o700); err != nil {
					t.Fatal(err)
				}
			}
			out, err := runMake(t, []string{"PATH=" + path, "REDIS_URL=" + test.url}, "-n", "test")
			if err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			for _, want := range test.want {
				if !strings.Contains(out, want) {
					t.Errorf("the output of make test does not contain %q:\n%s", want, out)
				}
			}
			for _, unwanted := range test.omit {
				if strings.Contains(out, unwanted) {
					t.Errorf("the output of make test contains %q:\n%s", unwanted, out)
				}
			}
		})
	}
}

// missingModules returns the nested modules that NESTED in the Makefile does not contain.
func missingModules(root fs.FS, makefile string) ([]string, error) {
	match := regexp.MustCompile(`(?m)^NESTED = (.*)$`).FindStringSubmatch(makefile)
	if match == nil {
		return []string{"the Makefile does not define NESTED"}, nil
	}
	var missing []string
	err := fs.WalkDir(root, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() && entry.Name() == "node_modules" {
			return cmp.Or(err, fs.SkipDir)
		}
		if dir := path.Dir(name); entry.Name() == "go.mod" && dir != "." && !slices.Contains(strings.Fields(match[1]), dir) {
			missing = append(missing, "NESTED in the Makefile does not contain the module "+dir)
		}
		return nil
	})
	return missing, err
}

func TestEveryModuleIsInTheMakefile(t *testing.T) {
	t.Parallel()
	small := fstest.MapFS{"go.mod": {}, "a/go.mod": {}, "b/c/go.mod": {}, "node_modules/x/go.mod": {}}
	got, err := missingModules(small, "NESTED = a d\n")
	if err != nil {
		t.Fatal(err)
	}
	wantFindings(t, got, "the module b/c")
	got, err = missingModules(os.DirFS(module), makefile(t))
	if err != nil {
		t.Fatal(err)
	}
	report(t, got)
}
