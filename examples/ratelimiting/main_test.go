package main

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestReportResult(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		starts    []time.Duration
		throttled int
		want      string
	}{
		"kept":      {starts: []time.Duration{0, interval, 2 * interval}, want: "PASS: the calls used the limit and did not exceed it."},
		"early":     {starts: []time.Duration{0, interval - 1, 2 * interval}, want: "FAIL: the calls exceeded the limit."},
		"throttled": {starts: []time.Duration{0, interval, 2 * interval}, throttled: 1, want: "FAIL: the calls exceeded the limit."},
		"late":      {starts: []time.Duration{0, 2 * interval, 4 * interval}, want: "FAIL: the calls waited longer than necessary."},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var table timetable
			began := time.Now()
			for _, start := range test.starts {
				table.calls = append(table.calls, &call{called: began, start: began.Add(start), end: began.Add(start), throttled: test.throttled})
			}
			var out bytes.Buffer
			err := table.report(&out)
			if got := strings.TrimSpace(out.String()); !strings.HasSuffix(got, test.want) || (err == nil) != strings.HasPrefix(test.want, "PASS") {
				t.Errorf("error %v, and:\n%s\nwant: %s", err, got, test.want)
			}
		})
	}
}
