package docs_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
)

// parsers holds the functions that parse a YAML block, by its first line.
var parsers = map[string]func([]byte) error{
	"# replies.yaml": func(data []byte) error { _, err := emulator.ParseScript(data); return err },
	"rules:":         func(data []byte) error { _, err := emulator.ParseScript(data); return err }, // in a comment
	"# faults.yaml":  func(data []byte) error { _, err := emulator.ParseFaults(data); return err },
}

var content = regexp.MustCompile(`(?m)^\s*[^\s#]`)

// invalidYAML returns the YAML blocks that the emulator's command would reject, and those of an unknown
// kind.
func invalidYAML(d document) []string {
	var bad []string
	for _, s := range d.snippets {
		if s.lang != "yaml" {
			continue
		}
		add := func(format string, args ...any) {
			bad = append(bad, fmt.Sprintf("%s:%d: ", d.path, s.line)+fmt.Sprintf(format, args...))
		}
		title, _, _ := strings.Cut(s.code, "\n")
		parse := parsers[title]
		if parse == nil {
			add("the first line must be a file name such as # replies.yaml or # faults.yaml, got %q", title)
		} else if !content.MatchString(s.code) {
			add("%s is empty", title)
		} else if err := parse([]byte(s.code)); err != nil {
			add("%v", err)
		}
	}
	return bad
}

func TestInvalidYAMLIsReported(t *testing.T) {
	t.Parallel()
	const good = "```yaml\n# replies.yaml\nrules:\n  - {match: a, reply: b}\n```\n```yaml\n# faults.yaml\n- {kind: 500}\n```\n"
	if got := invalidYAML(parse("docs.md", good)); len(got) > 0 {
		t.Errorf("findings for valid YAML are %q", got)
	}
	const bad = "```yaml\n# replies.yaml\nrules:\n  - {match: a, answer: b}\n```\n" +
		"```yaml\n# replies.yaml\nrules: [\n```\n" +
		"```yaml\n# faults.yaml\n- {kind: none}\n```\n" +
		"```yaml\n# faults.yaml\nrules: []\n```\n" +
		"```yaml\n# faults.yaml\n\n```\n" +
		"```yaml\n- {kind: 500}\n```\n"
	wantFindings(t, invalidYAML(parse("docs.md", bad)),
		"docs.md:2: ", "docs.md:7: ", "docs.md:11: ", "docs.md:15: ", "docs.md:19: # faults.yaml is empty",
		`docs.md:23: the first line must be a file name`)
}

func TestYAML(t *testing.T) {
	t.Parallel()
	count := 0
	for _, d := range moduleDocuments(t) {
		report(t, invalidYAML(d))
		for _, s := range d.snippets {
			if d.path == "docs/testing.md" && s.lang == "yaml" {
				count++
			}
		}
	}
	if count < 2 {
		t.Errorf("docs/testing.md contains %d YAML blocks, want a script and a list of faults", count)
	}
}
