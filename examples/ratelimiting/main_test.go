package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

// The verdict follows from the figures.
func TestVerdict(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		starts  []time.Duration
		refused int
		want    string
	}{
		"kept":    {starts: []time.Duration{0, pace, 2 * pace}, want: "PASS: the limit was kept, and used."},
		"early":   {starts: []time.Duration{0, pace - 1, 2 * pace}, want: "FAIL: the limit was not kept."},
		"refused": {starts: []time.Duration{0, pace, 2 * pace}, refused: 1, want: "FAIL: the limit was not kept."},
		"late":    {starts: []time.Duration{0, 2 * pace, 4 * pace}, want: "FAIL: the limit was kept, but not used."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var table timetable
			began := time.Now()
			for _, start := range test.starts {
				table.calls = append(table.calls, &call{asked: began, start: began.Add(start), end: began.Add(start), refused: test.refused})
			}
			var out bytes.Buffer
			err := table.report(&out)
			if got := strings.TrimSpace(out.String()); !strings.HasSuffix(got, test.want) || (err == nil) != strings.HasPrefix(test.want, "PASS") {
				t.Errorf("error %v, and:\n%s\nwant: %s", err, got, test.want)
			}
		})
	}
}
