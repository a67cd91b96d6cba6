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

// The SHA-256 of testdata/upstream.yaml is that of its bytes; the date is what the tool is
// told, then what UPSTREAM says of the same document, then the time of the file.
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
		if err := run(inputs{upstream: from, overlay: "testdata/overlay.yaml", into: "../../generated", out: out, date: date}, io.Discard); err != nil {
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
			t.Errorf("the document does not have\n%s", want)
		}
		return date
	}
	write(upstreamText)
	for _, step := range []struct{ name, from, date, want string }{
		{"the time of the file", upstream, "", "2026-05-06"},
		{"a date that is given", upstream, "2026-01-02", "2026-01-02"},
		{"a date that is known", upstream, "", "2026-01-02"},
		{"that of the kept part", filepath.Join(dir, "upstream.yaml"), "", "2026-01-02"},
	} {
		if have := trim(step.from, step.date); have != step.want {
			t.Errorf("%s: dated %s, want %s", step.name, have, step.want)
		}
	}
	write(upstreamText + "\n")
	if have := trim(upstream, ""); have != "2026-05-06" {
		t.Errorf("another document is dated %s, want the time of its file", have)
	}
	err := run(inputs{upstream: upstream, overlay: "testdata/overlay.yaml", into: "../../generated", out: out, date: "13 August"}, io.Discard)
	if err == nil || !strings.Contains(err.Error(), "13 August") {
		t.Errorf("a date in another form gives %v", err)
	}
}

// The kept part makes the same document as the whole, and has no prose of the vendor's.
func TestKeptPart(t *testing.T) {
	whole, err := Trim([]byte(upstreamText), []byte(overlayText), into(t), "2026-01-02")
	if err != nil {
		t.Fatal(err)
	}
	if bytes.Contains(whole.kept, []byte("rose of the vendor")) || bytes.Contains(whole.kept, []byte("speakeasy")) || bytes.Contains(whole.kept, []byte("Chat")) {
		t.Errorf("the kept part has more than is used:\n%s", whole.kept)
	}
	part, err := Trim(whole.kept, []byte(overlayText), into(t), "")
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(part.document, whole.document) || !bytes.Equal(part.kept, whole.kept) {
		t.Errorf("the kept part makes\n%s\nwant\n%s", part.document, whole.document)
	}
	reworded, err := Trim([]byte(doctor(t, upstreamText, "title: Stream,", "title: Streaming,")), []byte(overlayText), into(t), "2026-01-02")
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
	if title(reworded.kept) == title(whole.kept) {
		t.Error("a reworded title has the same tree.Fingerprint")
	}
}
