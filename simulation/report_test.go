package main

import (
	"bytes"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"
)

// shortReport returns the report of runs of 20 s.
func shortReport(t *testing.T, args ...string) string {
	t.Helper()
	o, err := parse(append(args, "-seeds", "1"), io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	o.length = 20 * time.Second
	var out strings.Builder
	if err := report(t, o, &out); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

var number = regexp.MustCompile(`^<?[0-9]+(\.[0-9])?$`)

func TestTableHasEveryCell(t *testing.T) {
	out := shortReport(t, "-only", ".", "-o", filepath.Join(t.TempDir(), "chart.svg"))
	lines := strings.Split(out, "\n")
	next := func(prefix string) []string {
		i := slices.IndexFunc(lines, func(line string) bool { return strings.HasPrefix(line, prefix) })
		if i < 0 {
			t.Fatalf("a line with the prefix %q is missing or out of order in\n%s", prefix, out)
		}
		line := lines[i]
		lines = lines[i+1:]
		if len(line) > 120 {
			t.Errorf("%d columns: %s", len(line), line)
		}
		return strings.Fields(line[len(prefix):])
	}
	for _, l := range allLimits {
		next(l.String())
		next("               ") // titles
		next("               ") // servers
		for _, work := range workloads {
			name := work.name
			for _, c := range contenders {
				cells := next(name + strings.Repeat(" ", 8-len(name)) + c.name + " ")
				if want := 2*len(serverKinds) + 6; len(cells) != want {
					t.Errorf("%v, %s, %s: %d cells, want %d", l, work.name, c.name, len(cells), want)
				}
				for _, cell := range cells {
					if !number.MatchString(cell) {
						t.Errorf("%v, %s, %s: %q is not a number", l, work.name, c.name, cell)
					}
				}
				name = ""
			}
		}
	}
	for _, name := range []string{"goodput ", "429s ", "lost ", "wait ", "turn ", "limiter ", "pacing ", "retry "} {
		next(name)
	}
}

func TestChart(t *testing.T) {
	dir := t.TempDir()
	svg := filepath.Join(dir, "chart.svg")
	shortReport(t, "-limits", "tpm", "-o", svg)
	text, err := os.ReadFile(svg)
	if err != nil {
		t.Fatal(err)
	}
	want := []string{"5 requests/s and 100,000 tokens/min", "token bucket, fixed window, sliding window", "<title", "<desc", "dashed: 100%"}
	for _, c := range contenders {
		want = append(want, c.caption)
	}
	for _, work := range workloads {
		if work.caption != "" {
			want = append(want, work.caption)
		}
	}
	for _, m := range measures {
		want = append(want, m.title)
	}
	for _, s := range want {
		if !bytes.Contains(text, []byte(s)) {
			t.Errorf("the chart does not say %q", s)
		}
	}
}

func TestChartThatCannotBe(t *testing.T) {
	o, err := parse([]string{"-limits", "tpm", "-only", "uniform", "-seeds", "1", "-o", filepath.Join(t.TempDir(), "chart.doc")}, io.Discard)
	if err != nil {
		t.Fatal(err)
	}
	o.length = time.Second
	if err := report(t, o, io.Discard); err == nil || !strings.Contains(err.Error(), "doc") {
		t.Errorf("error %v, want one about the format", err)
	}
}
