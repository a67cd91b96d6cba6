package limiter_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// An enforcer is a server that enforces a request rate in sliding or in fixed windows.
type enforcer struct {
	window  time.Duration
	maximum int // requests in a window
	fixed   bool

	mu       sync.Mutex
	accepted []time.Duration
	rejected []time.Duration
}

// accept reports whether the server accepts a request at the given time.
func (e *enforcer) accept(now time.Duration) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	begin := now - e.window
	if e.fixed {
		begin = now.Truncate(e.window) - 1
	}
	if len(e.accepted)-e.maximum >= 0 && e.accepted[len(e.accepted)-e.maximum] > begin {
		e.rejected = append(e.rejected, now)
		return false
	}
	e.accepted = append(e.accepted, now)
	return true
}

// retryAfter returns how long it takes until the server accepts a request.
func (e *enforcer) retryAfter(now time.Duration) time.Duration {
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.fixed {
		return now.Truncate(e.window) + e.window - now
	}
	return e.accepted[len(e.accepted)-e.maximum] + e.window - now
}

// count returns how many of the times are at or after from.
func count(times []time.Duration, from time.Duration) (n int) {
	for _, t := range times {
		if t >= from {
			n++
		}
	}
	return n
}

// keepBusy lets workers make calls of 10 tokens until the given time. A request reaches the server after 20
// to 60 ms. With silent, a 429 names neither the limit nor a Retry-After.
func (b *testLimiter) keepBusy(e *enforcer, workers int, end time.Duration, silent bool) {
	var wg sync.WaitGroup
	for i := range workers {
		wg.Go(func() {
			for n := i; b.now() < end; n++ {
				p := b.acquire(10)
				for {
					time.Sleep(time.Millisecond)
					p.Sent()
					time.Sleep(time.Duration(19+17*n%40) * time.Millisecond)
					if e.accept(b.now()) {
						break
					}
					throttle := limiter.Throttle{Requests: !silent}
					if !silent {
						throttle.RetryAfter = e.retryAfter(b.now()).Truncate(time.Second) + time.Second
					}
					time.Sleep(30 * time.Millisecond)
					p.Throttled(throttle)
					if err := p.Retry(context.Background()); err != nil {
						b.Errorf("at %v: Retry: %v", b.now(), err)
					}
				}
				time.Sleep(500 * time.Millisecond)
				p.Settle(10)
			}
		})
	}
	wg.Wait()
}

// A limiter whose rate is too high learns the server's rate, with any kind of 429 response.
func TestLearnsRequestRate(t *testing.T) {
	for name, c := range map[string]struct {
		server *enforcer
		silent bool
		rps    float64
	}{
		"four of five, sliding":         {&enforcer{window: time.Second, maximum: 4}, false, 5},
		"four of five, sliding, silent": {&enforcer{window: time.Second, maximum: 4}, true, 5},
		"four of five, fixed, silent":   {&enforcer{window: time.Second, maximum: 4, fixed: true}, true, 5},
		"half, sliding":                 {&enforcer{window: 2 * time.Second, maximum: 1}, false, 1},
		"half, sliding, mute":           {&enforcer{window: 2 * time.Second, maximum: 1}, true, 1},
		"half, fixed, mute":             {&enforcer{window: 2 * time.Second, maximum: 1, fixed: true}, true, 1},
		"two of five, fixed":            {&enforcer{window: 966375423, maximum: 2, fixed: true}, false, 5},
		"a twelfth, silent":             {&enforcer{window: 12 * time.Second, maximum: 1}, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			runVirtual(t, limiter.Limit{RequestsPerSecond: c.rps, TokensPerMinute: unlimitedRate}, func(b *testLimiter) {
				const end, settled = 30 * time.Minute, 3 * time.Minute
				b.keepBusy(c.server, 8, end, c.silent)
				maximum := float64(c.server.maximum) * (end - settled).Seconds() / c.server.window.Seconds()
				if used := float64(count(c.server.accepted, settled)) / maximum; used < 0.85 {
					b.Errorf("the limiter used %.0f%% of the server's rate, want 85%%", 100*used)
				}
				if n := len(c.server.rejected); n >= 30 {
					b.Errorf("the server rejected %d requests, want fewer than 30", n)
				}
				s := b.Snapshot()
				equal(b, "RequestsFrom", s.RequestsFrom, limiter.FromRefusals)
				equal(b, "TokensFrom", s.TokensFrom, limiter.FromConfiguration)
				equal(b, "Configured", s.Configured.RequestsPerSecond, c.rps)
			}, guarded)
		})
	}
}

// When the server's rate rises again, the limiter's rate follows.
func TestRateRisesAgain(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 5, TokensPerMinute: unlimitedRate}, func(b *testLimiter) {
		b.keepBusy(&enforcer{window: time.Second, maximum: 2}, 8, 5*time.Minute, true)
		if got := b.Limit().RequestsPerSecond; got > 2.2 {
			b.Errorf("%v requests per second, want 2", got)
		}
		b.keepBusy(&enforcer{window: time.Second, maximum: 5}, 8, 25*time.Minute, true)
		if got := b.Limit().RequestsPerSecond; got < 4.5 {
			b.Errorf("%v requests per second, want 5", got)
		}
	}, guarded)
}

// Without a guard the limit stays the configured one.
func TestBucketsLearnNothing(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 5, TokensPerMinute: unlimitedRate}, func(b *testLimiter) {
		b.keepBusy(&enforcer{window: time.Second, maximum: 2}, 8, 5*time.Minute, true)
		b.reportLimit(20_000, 10_000)
		equal(b, "limit", b.Limit(), limiter.Limit{RequestsPerSecond: 5, TokensPerMinute: unlimitedRate}.WithDefaults())
	})
}

// reportLimit observes a token limit and the remaining tokens.
func (b *testLimiter) reportLimit(limit, remaining int) {
	b.Observe(limiter.ServerState{LimitTokens: &limit, RemainingTokens: &remaining})
}

// A token limit named by the server takes effect, up to the configured one. A larger call waits until no other
// tokens are in use.
func TestLearnsTokenLimitFromHeader(t *testing.T) {
	runVirtual(t, minute60k, func(b *testLimiter) {
		b.reportLimit(6000, 6000)
		equal(b, "limit", b.Limit().TokensPerMinute, 6000)
		equal(b, "TokensFrom", b.Snapshot().TokensFrom, limiter.FromHeaders)
		b.wantTokens(6000)
		b.use(2000)
		big := b.goAcquire(b.Context(), 30_000)
		b.until(time.Minute)
		big.admittedAt(time.Minute)
		_, err := b.Acquire(b.Context(), 60_001)
		if err == nil {
			b.Error("a call larger than the configured limit was admitted")
		}
		big.result.Load().permit.Cancel()

		b.reportLimit(1_000_000, 1_000_000)
		equal(b, "limit", b.Limit(), minute60k.WithDefaults())
		equal(b, "TokensFrom", b.Snapshot().TokensFrom, limiter.FromConfiguration)
		b.reportLimit(0, 0) // not a valid limit
		equal(b, "limit", b.Limit(), minute60k.WithDefaults())
	}, guarded)
}

// 429 responses that name the token limit lower it, unless the server names its limit in headers.
func TestLearnsTokenLimitFromThrottles(t *testing.T) {
	throttleRequest := func(b *testLimiter) {
		for i := range time.Duration(2) {
			b.throttleTokens()
			if b.Limit() != minute60k.WithDefaults() && i == 0 {
				b.Error("a single 429 changed the limit")
			}
		}
	}
	runVirtual(t, minute60k, func(b *testLimiter) {
		throttleRequest(b)
		s := b.Snapshot()
		equal(b, "TokensPerMinute", s.Limit.TokensPerMinute, 36_000) // 1.2 times the 30,000 used
		equal(b, "TokensFrom", s.TokensFrom, limiter.FromRefusals)
		if err := b.SetLimit(minute60k); err != nil {
			b.Fatal(err)
		}
		equal(b, "limit after SetLimit", b.Limit(), minute60k.WithDefaults())
	}, guarded)
	runVirtual(t, minute60k, func(b *testLimiter) {
		b.reportLimit(60_000, 60_000)
		throttleRequest(b)
		equal(b, "limit", b.Limit(), minute60k.WithDefaults())
	}, guarded)
}

// A server that rejects all requests for minutes has not lowered its limits.
func TestRejectionOfAllRequestsKeepsTheLimit(t *testing.T) {
	for _, throttle := range []limiter.Throttle{{}, {Requests: true}, {Requests: true, RetryAfter: time.Second}} {
		runVirtual(t, limiter.Limit{RequestsPerSecond: 5, TokensPerMinute: unlimitedRate}, func(b *testLimiter) {
			works := enforcer{window: time.Second, maximum: 5}
			b.keepBusy(&works, 8, time.Minute, true)
			p := b.acquire(10)
			for b.now() < 4*time.Minute {
				b.until(b.now() + ms)
				p.Sent()
				b.until(b.now() + 50*ms)
				p.Throttled(throttle)
				if err := p.Retry(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			p.Settle(10)
			equal(b, "limit", b.Limit(), b.Snapshot().Configured)
			if n := len(works.rejected); n > 0 {
				b.Errorf("the server rejected %d requests before", n)
			}
		}, guarded)
	}
}

// A request that waited for Retry-After and is rejected again shows that other clients use the account. Then
// 429 responses do not lower the limit.
func TestExternalUsageKeepsTheLimit(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: unlimitedRate}, func(b *testLimiter) {
		for range 100 {
			p := b.acquire(10)
			for range 2 { // every second request is rejected after its Retry-After
				b.until(b.now() + ms)
				p.Sent()
				b.until(b.now() + 50*ms)
				p.Throttled(limiter.Throttle{Requests: true, RetryAfter: time.Second})
				if err := p.Retry(b.Context()); err != nil {
					b.Fatal(err)
				}
			}
			p.Settle(10)
			b.use(10)
		}
		equal(b, "limit", b.Limit(), b.Snapshot().Configured)
	}, guarded)
}

// Headers of responses also show that other clients use the account.
func TestExternalUsageInHeadersKeepsTheLimit(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 60_000}, func(b *testLimiter) {
		for range 20 {
			b.use(100)
			b.reportLimit(60_000, 30_000)
			p := b.acquire(10)
			p.Throttled(limiter.Throttle{Requests: true})
			p.Settle(0)
		}
		equal(b, "limit", b.Limit(), b.Snapshot().Configured)
	}, guarded)
}

// For any limits and responses of the server: every call ends, and the limit in force is between 0 and the
// configured one.
func TestLearnedLimitsAreBounded(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		configured := limiter.Limit{RequestsPerSecond: rapid.SampledFrom([]float64{1, 2, 5}).Draw(r, "rps"), TokensPerMinute: unlimitedRate}
		share := rapid.Float64Range(0.1, 1.5).Draw(r, "share")
		rate := configured.RequestsPerSecond * share
		server := enforcer{maximum: max(1, int(rate)), fixed: rapid.Bool().Draw(r, "fixed")}
		server.window = time.Duration(float64(server.maximum) / rate * float64(time.Second))
		silent := rapid.Bool().Draw(r, "mute")
		workers := rapid.IntRange(1, 12).Draw(r, "workers")
		runVirtual(t, configured, func(b *testLimiter) {
			b.keepBusy(&server, workers, 10*time.Minute, silent)
			s := b.Snapshot()
			if got := s.Limit.RequestsPerSecond; got <= 0 || got > configured.RequestsPerSecond {
				r.Fatalf("%v requests per second", got)
			}
			if s.InFlight != 0 || s.Waiting != 0 || s.Admitted != s.Settled {
				r.Fatalf("%+v", s)
			}
			if rejected, all := len(server.rejected), len(server.rejected)+len(server.accepted); rejected > max(40, all/10) {
				r.Fatalf("the server rejected %d of %d requests", rejected, all)
			}
		}, guarded)
	})
}

// With LearnLimits the configured limit is only a starting point.
func TestLearnLimits(t *testing.T) {
	for name, server := range map[string]*enforcer{
		"sliding": {window: time.Second, maximum: 6},
		"fixed":   {window: time.Second, maximum: 6, fixed: true},
		"slower":  {window: 12 * time.Second, maximum: 1},
	} {
		t.Run(name, func(t *testing.T) {
			runVirtual(t, limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 10_000}, func(b *testLimiter) {
				b.reportLimit(1_000_000, 1_000_000)
				equal(b, "TokensPerMinute", b.Limit().TokensPerMinute, 1_000_000)
				equal(b, "TokenBurst", b.Limit().TokenBurst, 1_000_000)
				const end, settled = 30 * time.Minute, 3 * time.Minute
				b.keepBusy(server, 12, end, false)
				maximum := float64(server.maximum) * (end - settled).Seconds() / server.window.Seconds()
				if used := float64(count(server.accepted, settled)) / maximum; used < 0.85 {
					b.Errorf("the limiter used %.0f%% of the server's rate, want 85%%", 100*used)
				}
				if n := len(server.rejected); n > 20 {
					b.Errorf("the server rejected %d requests", n)
				}
				from := limiter.FromUse
				if server.maximum == 1 {
					from = limiter.FromRefusals
				}
				equal(b, "RequestsFrom", b.Snapshot().RequestsFrom, from)
				equal(b, "TokensFrom", b.Snapshot().TokensFrom, limiter.FromHeaders)
			}, limiter.LearnLimits(), guarded)
		})
	}
}

// Requests that were not sent do not count as accepted. Otherwise an outage would look like usage of other
// clients.
func TestReturnedRequestIsNotAccepted(t *testing.T) {
	server := &enforcer{window: 2 * time.Second, maximum: 1}
	runVirtual(t, limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: unlimitedRate}, func(b *testLimiter) {
		for range 20 {
			p := b.acquire(10)
			p.ReturnRequest()
			p.Cancel()
		}
		b.keepBusy(server, 4, 5*time.Minute, true)
		if got := b.Limit().RequestsPerSecond; got > 0.6 {
			b.Errorf("%v requests per second, want 0.5", got)
		}
	}, guarded)
}

// A waiting call does not become too large when the server names a lower limit.
func TestLearnedBurstNeverFalls(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 10, TokensPerMinute: 1000}, func(b *testLimiter) {
		b.reportLimit(100_000, 100_000)
		b.use(100_000)
		w := b.goAcquire(b.Context(), 90_000)
		b.reportLimit(10_000, 0)
		b.until(b.now() + 10*time.Minute) // nine minutes' tokens
		if o := w.result.Load(); o == nil || o.err != nil {
			b.Fatalf("the waiting call: %+v", o)
		}
		w.result.Load().permit.Cancel()
		equal(b, "limit", b.Limit(), limiter.Limit{RequestsPerSecond: 10, TokensPerMinute: 10_000, RequestBurst: 10, TokenBurst: 100_000})
	}, limiter.LearnLimits(), guarded)
}

// A 429 that arrives after later requests were accepted does not make the rate negative.
func TestLateThrottle(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: unlimitedRate}, func(b *testLimiter) {
		for range 10 {
			b.use(10)
		}
		r := limiter.Throttle{Requests: true, RetryAfter: 1100 * ms}
		p := b.acquire(10)
		b.until(b.now() + 50*ms)
		p.Throttled(r)
		p.Settle(0)
		b.use(10)
		slow := b.acquire(10)
		for range 3 {
			b.use(10)
		}
		slow.Throttled(r)
		slow.Settle(0)
		if err := b.Limit().Validate(); err != nil {
			b.Error(err)
		}
	}, guarded)
}

// throttleTokens rejects a request because of the token limit after 30,000 tokens were used in a minute.
func (b *testLimiter) throttleTokens() {
	b.until(b.now() + time.Minute)
	p := b.acquire(1000)
	for range 10 {
		b.use(3000)
	}
	b.until(b.now() + time.Second)
	p.Throttled(limiter.Throttle{Tokens: true, RetryAfter: time.Second})
	p.Settle(0)
}

// cutRequests rejects requests until the request rate is below the configured one.
func (b *testLimiter) cutRequests() {
	for b.Limit().RequestsPerSecond == b.Snapshot().Configured.RequestsPerSecond {
		for range 5 {
			b.use(1)
		}
		p := b.acquire(1)
		b.until(b.now() + 50*ms)
		p.Throttled(limiter.Throttle{Requests: true})
		p.Settle(0)
	}
}

// After both rates were cut, the calls use only the request rate. It rises again.
func TestCutOfBothRates(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 5, TokensPerMinute: 60_000}, func(b *testLimiter) {
		for b.Limit().TokensPerMinute == 60_000 {
			b.throttleTokens()
		}
		b.cutRequests()
		for end := b.now() + time.Hour; b.now() < end; {
			b.use(1)
		}
		if got := b.Limit().RequestsPerSecond; got < 4.5 {
			b.Errorf("%v requests per second after an hour without 429 responses", got)
		}
	}, guarded)
}

// A token limit that the server names is not exceeded, even by streams between two responses with headers. When
// the server has not named it for some time, 429 responses lower it again.
func TestNamedTokenLimitIsKept(t *testing.T) {
	runVirtual(t, minute60k, func(b *testLimiter) {
		for range 30 {
			b.reportLimit(6000, 6000)
			for range 10 {
				b.use(100)
			}
			if got := b.Limit().TokensPerMinute; got != 6000 {
				b.Fatalf("at %v %d tokens per minute, want the 6000 that the server names", b.now(), got)
			}
		}
	}, guarded, limiter.LearnLimits())
}

// With a large jitter the guard admits less than the learned rate. The rate is raised anyway.
func TestRateRisesAgainWithLargeJitter(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 5, TokensPerMinute: unlimitedRate}, func(b *testLimiter) {
		b.keepBusy(&enforcer{window: time.Second, maximum: 2}, 8, 5*time.Minute, true)
		b.keepBusy(&enforcer{window: time.Second, maximum: 50}, 8, time.Hour, true)
		if got := b.Limit().RequestsPerSecond; got < 4.5 {
			b.Errorf("%v requests per second, want 5", got)
		}
	}, limiter.Guarded(200*ms))
}

// WaitTime and MaxWait account for the spacing of requests at a learned rate.
func TestWaitTimeOfSpreadRequests(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 10, RequestBurst: 100, TokensPerMinute: unlimitedRate}, func(b *testLimiter) {
		b.cutRequests()
		b.until(b.now() + 5*time.Minute)
		b.use(1)
		var last *asyncCall
		for range 30 {
			last = b.goAcquire(b.Context(), 1)
		}
		want := b.now() + b.WaitTime(1)
		next := b.goAcquire(b.Context(), 1)
		b.until(b.now() + time.Minute)
		if last.result.Load() == nil || next.result.Load() == nil || (next.result.Load().at-want).Abs() > ms {
			b.Errorf("admitted at %v, WaitTime returned %v", next.result.Load().at, want)
		}
	}, guarded)
}

// A request that was in flight when the server sent Retry-After for another one may take its turn. That does not
// show usage of other clients, and the limiter learns.
func TestOwnRequestTakesTheTurn(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 5, TokensPerMinute: unlimitedRate}, func(b *testLimiter) {
		server := &enforcer{window: 1151843904, maximum: 1, fixed: true}
		b.keepBusy(server, 11, 10*time.Minute, false)
		if n := len(server.rejected); n > 30 {
			b.Errorf("the server rejected %d of %d requests", n, n+len(server.accepted))
		}
	}, guarded)
}

// A rate learned from 429 responses does not change configured capacities and keeps within the configured limit.
// The snapshot shows the spacing of requests.
func TestLearnedRateKeepsConfiguredLimit(t *testing.T) {
	configured := limiter.Limit{RequestsPerSecond: 0.08, TokensPerMinute: 600, RequestBurst: 4, TokenBurst: 100}
	runVirtual(t, configured, func(b *testLimiter) {
		first := b.acquire(0)
		b.acquire(0)
		b.acquire(0)
		equal(t, "pause after the first 429", first.Throttled(limiter.Throttle{}), time.Second)
		second := b.acquire(0)
		waits := b.goAcquire(b.Context(), 0)
		b.until(5 * time.Second)
		second.Throttled(limiter.Throttle{})
		learned := configured
		learned.RequestsPerSecond = 0.8 * configured.RequestsPerSecond
		equal(t, "limit after the second 429", b.Limit(), learned)

		next := b.goAcquire(b.Context(), 0)
		b.until(62_501 * ms) // 4 requests at the learned rate
		waits.admittedAt(62_500 * ms)
		next.waiting()
		if n := b.Snapshot().AvailableRequests; n > 0.01 {
			t.Errorf("%v requests are available although the next one must be spaced", n)
		}
		b.until(80 * time.Second)
		next.admittedAt(75 * time.Second)
	}, limiter.Guarded(0), limiter.Backoff(func(int) time.Duration { return time.Second }))
}
