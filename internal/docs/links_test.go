package docs_test

import (
	"fmt"
	"io/fs"
	"net/url"
	"os"
	"path"
	"regexp"
	"strings"
	"testing"
	"testing/fstest"
	"unicode"
)

var (
	// [text](target "title"), [label]: target, and HTML attributes.
	links   = regexp.MustCompile(`(?m)\]\(\s*<?([^()\s<>]+)>?[^()]*\)|^ {0,3}\[[^\]]+\]:\s+(\S+)|(?:href|src)="([^"]+)"`)
	heading = regexp.MustCompile(`(?m)^ {0,3}#{1,6}[ \t]+(.*?)[ \t#]*$`)
	named   = regexp.MustCompile(`<\w+ (?:id|name)="([^"]+)"`)
	linked  = regexp.MustCompile(`!?\[([^\]]*)\]\([^)]*\)`)
)

// deadLinks returns the relative links of a document whose file below root or whose
// heading does not exist. It ignores links with a scheme.
func deadLinks(root fs.FS, d document) []string {
	var dead []string
	for _, at := range links.FindAllStringSubmatchIndex(d.prose, -1) {
		var target string
		for group := 2; group < len(at); group += 2 {
			if at[group] >= 0 {
				target = d.prose[at[group]:at[group+1]]
			}
		}
		line := 1 + strings.Count(d.prose[:at[0]], "\n")
		if reason := deadReason(root, d, target); reason != "" {
			dead = append(dead, fmt.Sprintf("%s:%d: dead link %s: %s", d.path, line, target, reason))
		}
	}
	return dead
}

// deadReason returns why a link is dead, or "".
func deadReason(root fs.FS, d document, target string) string {
	u, err := url.Parse(target)
	if err != nil {
		return err.Error()
	}
	if u.Scheme != "" || u.Host != "" {
		return ""
	}
	if u.Path != "" {
		name := path.Join(path.Dir(d.path), u.Path)
		if _, err := fs.Stat(root, name); err != nil {
			return err.Error()
		}
		if u.Fragment == "" || path.Ext(name) != ".md" {
			return ""
		}
		source, err := fs.ReadFile(root, name)
		if err != nil {
			return err.Error()
		}
		d = parse(name, string(source))
	}
	if !anchors(d)[u.Fragment] {
		return fmt.Sprintf("%s does not contain the heading #%s", d.path, u.Fragment)
	}
	return ""
}

// anchors returns the fragments of a document by GitHub's rule: the heading in lowercase,
// without punctuation, with hyphens for spaces, and with a number if the same heading
// already occurred.
func anchors(d document) map[string]bool {
	found := map[string]bool{}
	for _, match := range heading.FindAllStringSubmatch(d.text, -1) {
		slug := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
				return unicode.ToLower(r)
			}
			return -1
		}, linked.ReplaceAllString(match[1], "$1"))
		unique := slug
		for n := 1; found[unique]; n++ {
			unique = fmt.Sprintf("%s-%d", slug, n)
		}
		found[unique] = true
	}
	for _, match := range named.FindAllStringSubmatch(d.prose, -1) {
		found[match[1]] = true
	}
	return found
}

func TestDeadLinksAreReported(t *testing.T) {
	t.Parallel()
	root := fstest.MapFS{
		"README.md": {Data: []byte("# The `first` one\n\n## Twice, it's\n## Twice, it's\n```\n# none\n```\n<a id=\"own\"></a>\n" +
			"[a](#the-first-one) [b](#twice-its-1) [c](#own) [d](docs/a%20b.md#sub) [e](docs) ![f](<docs/a%20b.md> \"title\") [g](https://example.com/#x) `[h](code)`\n" +
			"[x](#none) [`y`](docs/none.md) [z](docs/a%20b.md#first)\n[up](../outside)\n<img src=\"gone.svg\">\n\n[label]: gone.md\n")},
		"docs/a b.md": {Data: []byte("## [Sub](../README.md) ##\n[home](../README.md#own) [code](../main.go#L3)\n[away](README.md)")},
		"main.go":     {},
	}
	all := documents(t, root)
	wantFindings(t, deadLinks(root, all[0]),
		"README.md:10: dead link #none: README.md does not contain the heading #none",
		"README.md:10: dead link docs/none.md",
		"README.md:10: dead link docs/a%20b.md#first: docs/a b.md does not contain the heading #first",
		"README.md:11: dead link ../outside",
		"README.md:12: dead link gone.svg",
		"README.md:14: dead link gone.md",
	)
	wantFindings(t, deadLinks(root, all[1]), "docs/a b.md:3: dead link README.md")
}

func TestLinks(t *testing.T) {
	t.Parallel()
	for _, d := range moduleDocuments(t) {
		report(t, deadLinks(os.DirFS(module), d))
	}
}
