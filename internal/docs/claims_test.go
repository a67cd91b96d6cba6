package docs_test

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var (
	namedTests = regexp.MustCompile("((?:`(?:Test|Fuzz|Benchmark)\\w+`(?:, )?)+) in \\[[^]]+\\]\\(([^)]+)\\)")
	testName   = regexp.MustCompile("`(\\w+)`")
)

// missingTests returns the tests that a document in dir names but that do not exist in the linked
// package, and the number of all named tests.
func missingTests(t *testing.T, dir, text string) (missing []string, count int) {
	t.Helper()
	for _, match := range namedTests.FindAllStringSubmatch(text, -1) {
		files, err := filepath.Glob(filepath.Join(dir, match[2], "*_test.go"))
		if err != nil {
			t.Fatal(err)
		}
		var source strings.Builder
		for _, file := range files {
			content, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			source.Write(content)
		}
		for _, name := range testName.FindAllStringSubmatch(match[1], -1) {
			count++
			if !strings.Contains(source.String(), "func "+name[1]+"(") {
				missing = append(missing, name[1]+" in "+match[2])
			}
		}
	}
	return missing, count
}

// Every security claim names existing tests.
func TestClaimsHaveTests(t *testing.T) {
	const dir = "../../docs"
	text, err := os.ReadFile(filepath.Join(dir, "security.md"))
	if err != nil {
		t.Fatal(err)
	}
	missing, count := missingTests(t, dir, string(text))
	if len(missing) > 0 || count < 40 {
		t.Errorf("the document names %d tests, want at least 40; these do not exist: %q", count, missing)
	}
	for _, line := range strings.Split(string(text), "\n") {
		if strings.Count(line, "`Test")+strings.Count(line, "`Fuzz") > 0 && !namedTests.MatchString(line) {
			t.Errorf("a line names tests without a link to their package: %s", line)
		}
	}
	if missing, _ := missingTests(t, dir, "`TestThatDoesNotExist` in [limiter](../limiter)"); len(missing) != 1 {
		t.Error("missingTests does not report a test that does not exist")
	}
}
