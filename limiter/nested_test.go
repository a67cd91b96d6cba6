package limiter_test

import (
	"context"
	"errors"
	"math"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter/limitertest"
)

func TestNestedConformance(t *testing.T) {
	for _, c := range limitertest.Cases() {
		if c.Name == "a new limit applies to waiting calls" {
			continue // the server names the limit: TestNestedFollowsTheServer
		}
		t.Run(c.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				c.Run(t, func(t *testing.T, limit limiter.Limit) limiter.Backend {
					b, err := limiter.NewNested(limit)
					if err != nil {
						t.Fatal(err)
					}
					return b
				})
			})
		})
	}
}

// shared returns a group whose models share a limit.
func shared(t *testing.T) *limiter.Group {
	t.Helper()
	g, err := limiter.NewGroup(limiter.Limit{RequestsPerSecond: 10, TokensPerMinute: 60_000}, nil, limiter.InProcess(limiter.Guarded(limiter.DefaultJitter)))
	if err != nil {
		t.Fatal(err)
	}
	return g
}

// reportLimit observes a token limit of a model of which nothing is used.
func reportLimit(g *limiter.Group, model string, tokens int) {
	g.Observe(model, limiter.ServerState{LimitTokens: &tokens, RemainingTokens: &tokens})
}

func TestNestedFollowsTheServer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := shared(t)
		reportLimit(g, "m", 60_000)
		reportLimit(g, "m", 100_000)
		equal(t, "limiter of a model with the default", g.For("m"), g.For(""))
		reportLimit(g, "", 6000)
		equal(t, "limiters, after a report without a model", len(g.Snapshot()), 1)
		equal(t, "default", g.For("").Limit().TokensPerMinute, 60_000)
		for _, step := range []struct{ named, want int }{{6000, 6000}, {3000, 3000}, {30_000, 30_000}, {60_000, 60_000}, {100_000, 60_000}, {6000, 6000}} {
			reportLimit(g, "m", step.named)
			limit := g.For("m").Limit()
			equal(t, "tokens of the model", limit.TokensPerMinute, step.want)
			equal(t, "requests of the model", limit.RequestsPerSecond, 10)
			equal(t, "default", g.For("").Limit().TokensPerMinute, 60_000)
		}
		s := g.Snapshot()["m"]
		equal(t, "configured", s.Configured.TokensPerMinute, 60_000)
		equal(t, "source of tokens", s.TokensFrom, limiter.FromHeaders)
		equal(t, "source of requests", s.RequestsFrom, limiter.FromConfiguration)

		if err := g.Set("", limiter.Limit{RequestsPerSecond: 10, TokensPerMinute: 4000}); err != nil {
			t.Fatal(err)
		}
		equal(t, "tokens below a lower default", g.For("m").Limit().TokensPerMinute, 4000)
		if err := g.Set("m", limiter.Limit{RequestsPerSecond: 20, TokensPerMinute: 80_000}); err != nil {
			t.Fatal(err)
		}
		equal(t, "a limit that is set", g.For("m").Limit(), limiter.Limit{RequestsPerSecond: 20, TokensPerMinute: 80_000}.WithDefaults())
	})
}

func TestNestedLimitersAreBounded(t *testing.T) {
	g := shared(t)
	for i := range 100 {
		reportLimit(g, strconv.Itoa(i), 1000)
	}
	equal(t, "limiters", len(g.Snapshot()), 65)
	equal(t, "limit of a model beyond the maximum", g.For("99").Limit().TokensPerMinute, 60_000)
}

// A call that cannot start soon enough, or never, fails at once, even if it would wait for the other limiter
// first.
func TestNestedRejectsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := shared(t)
		reportLimit(g, "m", 6000)
		m := g.For("m")
		g.For("").Pause(time.Now().Add(time.Minute))
		began := time.Now()
		var tooLarge *limiter.TooLargeError
		if _, err := m.Acquire(t.Context(), limiter.Call{Prompt: 7000}); !errors.As(err, &tooLarge) || tooLarge.Capacity != 6000 {
			t.Errorf("error %v, want a TooLargeError with capacity 6000", err)
		}
		for _, wait := range []time.Duration{limiter.NoWait, time.Second} {
			if _, err := m.Acquire(t.Context(), limiter.Call{Prompt: 10, MaxWait: wait}); !errors.Is(err, limiter.ErrWouldWait) {
				t.Errorf("error %v of a call with MaxWait %v", err, wait)
			}
		}
		equal(t, "time", time.Since(began), 0)
		equal(t, "waiting", m.Snapshot().Waiting, 0)
		equal(t, "abandoned", m.Snapshot().Abandoned, 3)
	})
}

// A 429 because of a model's tokens pauses only that model. Any other 429 pauses all models.
func TestNestedThrottles(t *testing.T) {
	for name, test := range map[string]struct {
		throttle limiter.Throttle
		use      int // tokens before
		pauses   bool
	}{
		"tokens":                              {limiter.Throttle{RetryAfter: time.Second, Tokens: true}, 0, false},
		"requests":                            {limiter.Throttle{RetryAfter: time.Second, Requests: true}, 0, true},
		"neither":                             {limiter.Throttle{RetryAfter: time.Second}, 0, true},
		"neither, when few tokens were left":  {limiter.Throttle{RetryAfter: time.Second}, 5000, false},
		"requests, when few tokens were left": {limiter.Throttle{RetryAfter: time.Second, Requests: true}, 5000, true},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := shared(t)
				reportLimit(g, "m", 6000)
				m := g.For("m")
				p, err := m.Acquire(t.Context(), limiter.Call{Prompt: 10})
				if err != nil {
					t.Fatal(err)
				}
				if test.use > 0 {
					before, err := m.Acquire(t.Context(), limiter.Call{Prompt: test.use})
					if err != nil {
						t.Fatal(err)
					}
					before.Settle(test.use)
				}
				if wait := p.Throttled(test.throttle); wait < time.Second {
					t.Errorf("the pause lasts %v", wait)
				}
				equal(t, "other models wait", g.For("").WaitTime(1) > 0, test.pauses)
				began := time.Now()
				if err := p.Retry(t.Context()); err != nil {
					t.Fatal(err)
				}
				equal(t, "the retry waited", p.WaitDuration() >= time.Second && time.Since(began) >= time.Second, true)
				p.Settle(10)
				equal(t, "in flight", g.For("").Snapshot().InFlight+m.Snapshot().InFlight, 0)
			})
		})
	}
}

// After any calls to a model, both limiters have the same balance and all permits have ended.
func TestNestedBalance(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var snapshots [2]map[string]limiter.Snapshot
		synctest.Test(t, func(t *testing.T) {
			g := shared(t)
			reportLimit(g, "m", 30_000)
			var all sync.WaitGroup
			for range rapid.IntRange(1, 40).Draw(r, "calls") {
				tokens, used := rapid.IntRange(0, 8000).Draw(r, "tokens"), rapid.IntRange(0, 8000).Draw(r, "used")
				begins, takes := time.Duration(rapid.IntRange(0, 60_000).Draw(r, "begins"))*time.Millisecond, time.Duration(rapid.IntRange(0, 20_000).Draw(r, "takes"))*time.Millisecond
				lasts := time.Duration(rapid.IntRange(1, 200).Draw(r, "lasts")) * time.Second
				end := rapid.IntRange(0, 4).Draw(r, "end")
				model := rapid.SampledFrom([]string{"m", "other"}).Draw(r, "model")
				all.Go(func() {
					time.Sleep(begins)
					ctx, cancel := context.WithTimeout(t.Context(), lasts)
					defer cancel()
					p, err := g.For(model).Acquire(ctx, limiter.Call{Prompt: tokens})
					if err != nil {
						return
					}
					time.Sleep(takes)
					switch end {
					case 0:
						p.Cancel()
						return
					case 1:
						p.ReturnRequest()
						if p.Retry(ctx) != nil {
							p.Cancel()
							return
						}
					case 2:
						p.Throttled(limiter.Throttle{Tokens: used%2 == 0})
						_ = p.Retry(ctx) // if the context ends, the call has failed
					}
					p.Settle(used)
				})
			}
			all.Wait()
			snapshots[0] = g.Snapshot()
			time.Sleep(10 * time.Minute) // debts of 40 calls
			snapshots[1] = g.Snapshot()
		})
		for model, s := range snapshots[0] {
			if s.InFlight != 0 || s.HeldTokens != 0 || s.Waiting != 0 || s.Admitted != s.Settled+s.Cancelled {
				r.Errorf("limiter %q: %+v", model, s)
			}
		}
		for model, s := range snapshots[1] {
			if s.AvailableTokens != float64(s.Limit.TokensPerMinute) || s.AvailableRequests < math.Floor(s.Limit.RequestBurst) {
				r.Errorf("limiter %q in the end: %+v", model, s)
			}
		}
	})
}

// While calls wait for their model's tokens, they do not hold anything that other models could use.
func TestNestedWaitHoldsNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := shared(t)
		reportLimit(g, "m", 6000)
		m := g.For("m")
		p, err := m.Acquire(t.Context(), limiter.Call{Prompt: 6000})
		if err != nil {
			t.Fatal(err)
		}
		p.Settle(6000)
		var all sync.WaitGroup
		for i := range 5 {
			all.Go(func() {
				call := limiter.Call{Prompt: 1000}
				if i == 0 {
					call.MaxWait = 2 * time.Minute
				}
				p, err := m.Acquire(t.Context(), call)
				if err != nil {
					t.Error(err)
					return
				}
				p.Settle(1000)
			})
		}
		time.Sleep(30 * time.Second)
		d := g.Snapshot()[""]
		equal(t, "in flight", d.InFlight, 0)
		equal(t, "waiting for all", d.Waiting, 0)
		equal(t, "waiting for the model", m.Snapshot().Waiting, 5)
		g.For("").Pause(time.Now().Add(5 * time.Minute)) // MaxWait does not end a wait that has started
		all.Wait()
	})
}

func TestNestedPermit(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := shared(t)
		reportLimit(g, "m", 6000)
		m := g.For("m")
		var permits []limiter.Admission
		for range 10 {
			p, err := m.Acquire(t.Context(), limiter.Call{Prompt: 10})
			if err != nil {
				t.Fatal(err)
			}
			permits = append(permits, p)
		}
		time.Sleep(500 * time.Millisecond)
		for _, p := range permits {
			p.Sent()
		}
		equal(t, "wait after ten requests sent now", g.For("").WaitTime(1), time.Second+limiter.DefaultJitter)

		permits[0].ReturnRequest()
		equal(t, "requests returned to the shared limiter", g.Snapshot()[""].ReturnedRequests, 1)
		g.For("").Pause(time.Now().Add(time.Minute))
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := permits[0].Retry(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v of a retry with a timeout of 1 s, want DeadlineExceeded", err)
		}
		equal(t, "requests returned to the model's limiter", m.Snapshot().ReturnedRequests, 2)
		for _, p := range permits {
			p.Settle(10)
		}
	})
}

// After a panic of Estimate or OnQueue no permit and no waiter remains, wherever the call waited.
func TestNestedPanics(t *testing.T) {
	for name, call := range map[string]limiter.Call{
		"Estimate": {Prompt: 1000, Estimate: func() (int, int) { panic("no") }},
		"OnQueue":  {Prompt: 1000, OnQueue: func(limiter.QueueStatus) { panic("no") }},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				g := shared(t)
				reportLimit(g, "m", 6000)
				m := g.For("m")
				p, err := m.Acquire(t.Context(), limiter.Call{Prompt: 6000})
				if err != nil {
					t.Fatal(err)
				}
				p.Settle(6000)
				func() {
					defer func() { equal(t, "panic", recover(), any("no")) }()
					_, err := m.Acquire(t.Context(), call)
					t.Errorf("the call returns %v", err)
				}()
				for model, s := range g.Snapshot() {
					if s.InFlight != 0 || s.Waiting != 0 || s.HeldTokens != 0 {
						t.Errorf("limiter %q: %v", model, s)
					}
				}
			})
		})
	}
}

// While a call waits for the end of its model's pause, it does not count as in flight for other models.
func TestNestedMaxInFlight(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g, err := limiter.NewGroup(limiter.Limit{RequestsPerSecond: 10, TokensPerMinute: 60_000}, nil, limiter.InProcess(guarded, limiter.MaxInFlight(1)))
		if err != nil {
			t.Fatal(err)
		}
		reportLimit(g, "m", 6000)
		acquire := func(model string, tokens int) limiter.Admission {
			p, err := g.For(model).Acquire(t.Context(), limiter.Call{Prompt: tokens})
			if err != nil {
				t.Fatal(err)
			}
			return p
		}
		acquire("m", 3000).Settle(3000)
		small := acquire("m", 10)
		var all sync.WaitGroup
		all.Go(func() {
			p, err := g.For("m").Acquire(t.Context(), limiter.Call{Prompt: 5000})
			if err != nil {
				t.Error(err)
				return
			}
			p.Settle(5000)
		})
		synctest.Wait()
		small.Throttled(limiter.Throttle{Tokens: true, RetryAfter: 70 * time.Second})
		all.Go(func() {
			if err := small.Retry(t.Context()); err != nil {
				t.Error(err)
			}
			small.Settle(10)
		})
		synctest.Wait()
		began := time.Now()
		acquire("other", 10).Settle(10)
		equal(t, "another model waits", time.Since(began), 0)
		all.Wait()
	})
}

// A call with NoWait does not wait, in either limiter.
func TestNestedNoWait(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := shared(t)
		reportLimit(g, "m", 6000)
		m := g.For("m")
		p, err := m.Acquire(t.Context(), limiter.Call{Prompt: 3000})
		if err != nil {
			t.Fatal(err)
		}
		p.Settle(3000)
		ctx, cancel := context.WithCancel(t.Context())
		go func() { _, _ = m.Acquire(ctx, limiter.Call{Prompt: 5000, Class: limiter.Batch}) }() // until the end of the test
		synctest.Wait()
		g.For("").Pause(time.Now().Add(time.Minute))
		began := time.Now()
		if _, err := m.Acquire(t.Context(), limiter.Call{Prompt: 10, MaxWait: limiter.NoWait}); !errors.Is(err, limiter.ErrWouldWait) || time.Since(began) > 0 {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		cancel()
		synctest.Wait()
	})
}

// A 429 because of the number of calls in flight pauses all models.
func TestNestedConcurrency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		g := shared(t)
		reportLimit(g, "m", 6000)
		m := g.For("m")
		for _, tokens := range []int{5990, 1} {
			p, err := m.Acquire(t.Context(), limiter.Call{Prompt: tokens})
			if err != nil {
				t.Fatal(err)
			}
			if tokens == 1 {
				p.Throttled(limiter.Throttle{Concurrent: true, RetryAfter: time.Second})
			}
			p.Settle(tokens)
		}
		equal(t, "other models are not paused", g.For("").Snapshot().PausedUntil.IsZero(), false)
	})
}
