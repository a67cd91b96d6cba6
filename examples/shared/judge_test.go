package main

import (
	"strings"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
)

func TestJudgement(t *testing.T) {
	// At 20 requests a second 2400 may pass in two minutes, and at 60000 tokens a
	// minute 120000.
	good := func(load string) result {
		r := result{
			options: options{processes: 3, duration: 2 * time.Minute}, mode: emulator.FixedWindow, load: load, limit: loads[load],
			processes: []outcome{{Calls: 900}, {Calls: 1000}, {Calls: 1100}},
		}
		if load == "requests" {
			r.server.Admitted = 2280
		} else {
			r.server.Tokens = 114_000
		}
		return r
	}
	for name, test := range map[string]struct {
		load  string
		spoil func(*result)
		want  []string
	}{
		"requests are used":      {"requests", func(*result) {}, nil},
		"tokens are used":        {"tokens", func(*result) {}, nil},
		"too many requests":      {"requests", func(r *result) { r.server.RefusedRequests = 2 }, []string{"2 calls were refused with a 429"}},
		"too many tokens":        {"tokens", func(r *result) { r.server.RefusedTokens = 1 }, []string{"fixed-window server, tokens: 1 calls were refused with a 429"}},
		"calls fail":             {"tokens", func(r *result) { r.processes[0].Failed, r.processes[2].Failed = 2, 1 }, []string{"3 calls failed"}},
		"requests are left":      {"requests", func(r *result) { r.server.Admitted = 2279 }, []string{"94.96 % of the limit was used: want at least 95 %"}},
		"tokens are left":        {"tokens", func(r *result) { r.server.Tokens = 60_000 }, []string{"50.00 % of the limit was used"}},
		"the other limit is not": {"tokens", func(r *result) { r.server.Admitted = 6_000; r.server.Tokens = 0 }, []string{"0.00 % of the limit was used"}},
		"one gets less":          {"requests", func(r *result) { r.processes[0].Calls = 899 }, []string{"differ from the mean by 10.07 %"}},
		"one gets more":          {"requests", func(r *result) { r.processes[2].Calls = 1200 }, []string{"differ from the mean by 16.13 %: want at most 10 %"}},
		"nobody gets anything":   {"requests", func(r *result) { r.server.Admitted = 0; clear(r.processes) }, []string{"0.00 % of the limit was used"}},
		"all of it": {"requests", func(r *result) { r.server.RefusedTokens, r.server.Admitted, r.processes[1].Calls = 1, 10, 10 },
			[]string{"refused", "was used", "differ"}},
		"short":  {"requests", func(r *result) { r.server.RefusedRequests, r.duration = 9, 2*time.Minute-1 }, nil},
		"broken": {"requests", func(r *result) { r.server.RefusedRequests, r.broken = 9, "restart" }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := good(test.load)
			test.spoil(&r)
			err := r.judge()
			if len(test.want) == 0 {
				if err != nil {
					t.Errorf("it says %q, want nothing", err)
				}
				return
			}
			if err == nil {
				t.Fatalf("it says nothing, want %q", test.want)
			}
			findings := strings.Split(err.Error(), "\n")
			if len(findings) != len(test.want) {
				t.Fatalf("it says %q, want %q", findings, test.want)
			}
			for i, want := range test.want {
				if !strings.Contains(findings[i], want) {
					t.Errorf("it says %q, want %q", findings[i], want)
				}
			}
		})
	}
}
