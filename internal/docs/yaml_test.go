package docs_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
)

// readers are who reads the files that a block of YAML may be, by its first line.
var readers = map[string]func([]byte) error{
	"# replies.yaml": func(data []byte) error { _, err := emulator.ParseScript(data); return err },
	"rules:":         func(data []byte) error { _, err := emulator.ParseScript(data); return err }, // in a comment
	"# faults.yaml":  func(data []byte) error { _, err := emulator.ParseFaults(data); return err },
}

var content = regexp.MustCompile(`(?m)^\s*[^\s#]`)

// unreadable finds the blocks of YAML that are not what the emulator's command would
// take, or of which nobody can say who would.
func unreadable(d document) []string {
	var bad []string
	for _, s := range d.snippets {
		if s.lang != "yaml" {
			continue
		}
		find := func(format string, args ...any) {
			bad = append(bad, fmt.Sprintf("%s:%d: ", d.path, s.line)+fmt.Sprintf(format, args...))
		}
		title, _, _ := strings.Cut(s.code, "\n")
		read := readers[title]
		if read == nil {
			find("the block begins with %q: want the name of a file, as # replies.yaml or # faults.yaml", title)
		} else if !content.MatchString(s.code) {
			find("%s is empty", title)
		} else if err := read([]byte(s.code)); err != nil {
			find("%v", err)
		}
	}
	return bad
}

func TestUnreadableYAMLIsFound(t *testing.T) {
	t.Parallel()
	const good = "```yaml\n# replies.yaml\nrules:\n  - {match: a, reply: b}\n```\n```yaml\n# faults.yaml\n- {kind: 500}\n```\n"
	if got := unreadable(parse("docs.md", good)); len(got) > 0 {
		t.Errorf("of what is right it says %q", got)
	}
	const bad = "```yaml\n# replies.yaml\nrules:\n  - {match: a, answer: b}\n```\n" +
		"```yaml\n# replies.yaml\nrules: [\n```\n" +
		"```yaml\n# faults.yaml\n- {kind: none}\n```\n" +
		"```yaml\n# faults.yaml\nrules: []\n```\n" +
		"```yaml\n# faults.yaml\n\n```\n" +
		"```yaml\n- {kind: 500}\n```\n"
	wantFindings(t, unreadable(parse("docs.md", bad)),
		"docs.md:2: ", "docs.md:7: ", "docs.md:11: ", "docs.md:15: ", "docs.md:19: # faults.yaml is empty",
		`docs.md:23: the block begins with "- {kind: 500}": want the name of a file`)
}

func TestYAML(t *testing.T) {
	t.Parallel()
	count := 0
	for _, d := range ours(t) {
		report(t, unreadable(d))
		for _, s := range d.snippets {
			if d.path == "docs/testing.md" && s.lang == "yaml" {
				count++
			}
		}
	}
	if count < 2 {
		t.Errorf("docs/testing.md has %d blocks of YAML, want the script and the faults", count)
	}
}
