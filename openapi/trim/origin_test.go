package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/openapi/internal/tree"
)

// The date is the flag -date, or else the date in UPSTREAM for the same document, or else the
// modification time of the file.
func TestOrigin(t *testing.T) {
	dir := t.TempDir()
	upstream, out := filepath.Join(dir, "vendor.yaml"), filepath.Join(dir, "openapi.yaml")
	write := func(content string) {
		t.Helper()
		if err := os.WriteFile(upstream, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(upstream, time.Time{}, time.Date(2026, 5, 6, 7, 8, 9, 0, time.UTC)); err != nil {
			t.Fatal(err)
		}
	}
	trim := func(from, date string) string {
		t.Helper()
		if err := run(inputs{upstream: from, overlay: "testdata/overlay.yaml", goPackage: "../../generated", out: out, date: date}, io.Discard); err != nil {
			t.Fatal(err)
		}
		written, err := os.ReadFile(filepath.Join(dir, "UPSTREAM"))
		if err != nil {
			t.Fatal(err)
		}
		document, err := os.ReadFile(out)
		if err != nil {
			t.Fatal(err)
		}
		date, sum, _ := strings.Cut(strings.TrimSpace(string(written)), "\n")
		date = strings.TrimPrefix(date, "date: ")
		if want := "  x-upstream:\n    date: \"" + date + "\"\n    " + sum + "\n"; !bytes.Contains(document, []byte(want)) {
			t.Errorf("the document does not contain\n%s", want)
		}
		return date
	}
	write(upstreamText)
	for _, step := range []struct{ name, from, date, want string }{
		{"the modification time", upstream, "", "2026-05-06"},
		{"the flag", upstream, "2026-01-02", "2026-01-02"},
		{"the date in UPSTREAM", upstream, "", "2026-01-02"},
		{"the date in the kept part", filepath.Join(dir, "upstream.yaml"), "", "2026-01-02"},
	} {
		if have := trim(step.from, step.date); have != step.want {
			t.Errorf("%s: date %s, want %s", step.name, have, step.want)
		}
	}
	write(upstreamText + "\n")
	if have := trim(upstream, ""); have != "2026-05-06" {
		t.Errorf("another document has the date %s, want the modification time", have)
	}
	err := run(inputs{upstream: upstream, overlay: "testdata/overlay.yaml", goPackage: "../../generated", out: out, date: "13 August"}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "13 August") {
		t.Errorf("error %v, want one with the invalid date", err)
	}
}

// Trim generates the same document from the kept part as from the full document. The kept part
// does not contain the vendor's prose.
func TestKeptPart(t *testing.T) {
	full, err := Trim([]byte(upstreamText), []byte(overlayText), generatedPackage(t), "2026-01-02")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(full.kept, []byte("rose of the vendor")) || bytes.Contains(full.kept, []byte("speakeasy")) || bytes.Contains(full.kept, []byte("Chat")) {
		t.Errorf("the kept part contains prose, extensions or unused parts:\n%s", full.kept)
	}
	part, err := Trim(full.kept, []byte(overlayText), generatedPackage(t), "")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(part.document, full.document) || !bytes.Equal(part.kept, full.kept) {
		t.Errorf("the document of the kept part is\n%s\nwant\n%s", part.document, full.document)
	}
	reworded, err := Trim([]byte(edit(t, upstreamText, "title: Stream,", "title: Streaming,")), []byte(overlayText), generatedPackage(t), "2026-01-02")
	if err != nil {
		t.Fatal(err)
	}
	title := func(text []byte) string {
		var doc yaml.Node
		if err := yaml.Unmarshal(text, &doc); err != nil {
			t.Fatal(err)
		}
		return tree.Get(doc.Content[0], "components", "schemas", "RequestBase", "properties", "stream", "title").Value
	}
	if title(reworded.kept) == title(full.kept) {
		t.Error("a reworded title has the same tree.Fingerprint")
	}
}
