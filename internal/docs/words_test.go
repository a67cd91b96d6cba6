package docs_test

import (
	"fmt"
	"io/fs"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// privateWords are words and phrases that only this project used: a reader who searches for the field's terms would not
// find them. Brackets keep this file from containing them.
var privateWords = regexp.MustCompile(`(?i)manie[t]h|surpris[e]|\blarge[s]\b|incredibl[e]|hopeles[s]|prudenc[e]|untol[d]|\bhei[r]s?\b|` +
	`erran[d]|drippe[r]|invento[r]\b|\bstandI[n]\b|unsen[d]|the la[w]\b|the judg[e]\b|\b(is|are) n[o]\b`)

// wordFindings returns the lines of a file that have private words.
func wordFindings(name, text string) (findings []string) {
	for i, line := range strings.Split(text, "\n") {
		if match := privateWords.FindString(line); match != "" {
			findings = append(findings, fmt.Sprintf("%s:%d: %q: use the words of the field", name, i+1, match))
		}
	}
	return findings
}

func TestWordFindings(t *testing.T) {
	text := "a surpris" + "e\nfine: an unsent request, larger than 5\nIt is n" + "o JSON\nThe large" + "s\n"
	if found := wordFindings("x", text); len(found) != 3 || !strings.HasPrefix(found[1], `x:3: "is n`) {
		t.Errorf("the findings are %q", found)
	}
}

func TestPrivateWords(t *testing.T) {
	files := 0
	err := fs.WalkDir(os.DirFS(module), ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && slices.Contains([]string{".git", "node_modules"}, entry.Name()):
			return fs.SkipDir
		case entry.IsDir() || !slices.Contains([]string{".go", ".md", ".yaml", ".yml", ".mod", ".lua", ".mjs", ".html", ""}, path.Ext(name)):
			return nil
		}
		text, err := fs.ReadFile(os.DirFS(module), name)
		if err != nil {
			return err
		}
		files++
		for _, finding := range wordFindings(name, string(text)) {
			t.Error(finding)
		}
		return nil
	})
	if err != nil || files < 500 {
		t.Errorf("%d files were read: %v", files, err)
	}
}
