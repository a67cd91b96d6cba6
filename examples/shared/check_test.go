package main

import (
	"strings"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
)

func TestCheck(t *testing.T) {
	// In two minutes, 20 requests/s allow 2,400 requests, and 60,000 tokens/min allow
	// 120,000 tokens.
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
		load   string
		change func(*result)
		want   []string
	}{
		"used requests":                    {"requests", func(*result) {}, nil},
		"used tokens":                      {"tokens", func(*result) {}, nil},
		"too many requests":                {"requests", func(r *result) { r.server.RefusedRequests = 2 }, []string{"want 0 calls with status 429, got 2"}},
		"too many tokens":                  {"tokens", func(r *result) { r.server.RefusedTokens = 1 }, []string{"fixed-window server, limited by tokens: want 0 calls with status 429, got 1"}},
		"failed calls":                     {"tokens", func(r *result) { r.processes[0].Failed, r.processes[2].Failed = 2, 1 }, []string{"want 0 failed calls, got 3"}},
		"unused requests":                  {"requests", func(r *result) { r.server.Admitted = 2279 }, []string{"want at least 95% of the limit used, got 94.96%"}},
		"unused tokens":                    {"tokens", func(r *result) { r.server.Tokens = 60_000 }, []string{"got 50.00%"}},
		"unused tokens with used requests": {"tokens", func(r *result) { r.server.Admitted = 6_000; r.server.Tokens = 0 }, []string{"limit used, got 0.00%"}},
		"a process with too few calls":     {"requests", func(r *result) { r.processes[0].Calls = 899 }, []string{"from the mean, got 10.07%"}},
		"a process with too many calls":    {"requests", func(r *result) { r.processes[2].Calls = 1200 }, []string{"want at most 10% deviation of a process from the mean, got 16.13%"}},
		"no calls":                         {"requests", func(r *result) { r.server.Admitted = 0; clear(r.processes) }, []string{"limit used, got 0.00%"}},
		"all violations": {"requests", func(r *result) { r.server.RefusedTokens, r.server.Admitted, r.processes[1].Calls = 1, 10, 10 },
			[]string{"status 429", "limit used", "deviation"}},
		"short run":       {"requests", func(r *result) { r.server.RefusedRequests, r.duration = 9, 2*time.Minute-1 }, nil},
		"run with -break": {"requests", func(r *result) { r.server.RefusedRequests, r.broken = 9, "restart" }, nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := good(test.load)
			test.change(&r)
			err := r.check()
			if len(test.want) == 0 {
				if err != nil {
					t.Errorf("got %q, want nil", err)
				}
				return
			}
			if err == nil {
				t.Fatalf("got nil, want %q", test.want)
			}
			violations := strings.Split(err.Error(), "\n")
			if len(violations) != len(test.want) {
				t.Fatalf("got %q, want %q", violations, test.want)
			}
			for i, want := range test.want {
				if !strings.Contains(violations[i], want) {
					t.Errorf("got %q, want %q", violations[i], want)
				}
			}
		})
	}
}
