package limiter_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

func TestPause(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: unlimitedRate, RequestBurst: 2}, func(b *testLimiter) {
		p := b.acquire(1)
		end := 7*time.Second + 123
		b.Pause(b.start.Add(end))
		equal(b, "PausedUntil", b.Snapshot().PausedUntil.Sub(b.start), end)
		retry := b.goRetry(b.Context(), p)
		first := b.goAcquire(b.Context(), 1)
		second := b.goAcquire(b.Context(), 1)
		b.until(end - 1)
		first.waiting()
		b.until(time.Minute)
		retry.admittedAt(end)
		first.admittedAt(end) // the bucket refilled during the pause
		second.admittedAt(end + time.Second)
		equal(b, "PausedUntil", b.Snapshot().PausedUntil, time.Time{})
	})
}

func TestPauseExtendsAndNeverShortens(t *testing.T) {
	runVirtual(t, minute60k, func(b *testLimiter) {
		at := func(s time.Duration) time.Time { return b.start.Add(s * time.Second) }
		b.Pause(at(-5))
		b.Pause(b.start)
		b.Pause(time.Time{})
		equal(b, "PausedUntil", b.Snapshot().PausedUntil, time.Time{})
		b.Pause(at(10))
		w := b.goAcquire(b.Context(), 1)
		b.Pause(at(5))
		b.until(6 * time.Second)
		w.waiting()
		b.Pause(at(20))
		b.Pause(at(15))
		b.until(time.Minute)
		w.admittedAt(20 * time.Second)
	})
}

// A pause that starts while the head waits for the bucket, and ends before that wait does, changes nothing.
func TestPauseShorterThanTheWait(t *testing.T) {
	runVirtual(t, minute60k, func(b *testLimiter) {
		b.acquire(60_000)
		w := b.goAcquire(b.Context(), 20_000)
		b.Pause(b.start.Add(10 * time.Second))
		b.until(time.Minute)
		w.admittedAt(20 * time.Second)
	})
}

// A time parsed from a header does not have a monotonic clock reading.
func TestPauseUntilAWallClockTime(t *testing.T) {
	runVirtual(t, minute60k, func(b *testLimiter) {
		b.Pause(b.start.Add(10 * time.Second).Round(0).UTC())
		b.acquire(1)
		equal(b, "admission", b.now(), 10*time.Second)
	})
}

func TestSetLimitTakesEffectOnWaiters(t *testing.T) {
	runVirtual(t, minute60k, func(b *testLimiter) {
		b.acquire(60_000)
		w := b.goAcquire(b.Context(), 30_000) // at 30 s
		b.until(10 * time.Second)
		if err := b.SetLimit(limiter.Limit{RequestsPerSecond: 100, TokensPerMinute: 600_000}); err != nil {
			b.Fatal(err)
		}
		b.until(11 * time.Second)
		w.waiting()
		b.until(time.Minute)
		w.admittedAt(12 * time.Second) // 10,000 of the old rate, 20,000 of the new
	})
}

func TestSetLimitDownDelaysWaiters(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: unlimitedRate}, func(b *testLimiter) {
		b.acquire(1)
		w := b.goAcquire(b.Context(), 1)
		b.until(500 * time.Millisecond)
		if err := b.SetLimit(limiter.Limit{RequestsPerSecond: 0.1, TokensPerMinute: unlimitedRate}); err != nil {
			b.Fatal(err)
		}
		b.until(time.Minute)
		w.admittedAt(5500 * time.Millisecond)
	})
}

func TestSetLimitKeepsTheBalance(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 10, TokensPerMinute: 60_000}, func(b *testLimiter) {
		set := func(rps float64, tpm int) {
			b.Helper()
			if err := b.SetLimit(limiter.Limit{RequestsPerSecond: rps, TokensPerMinute: tpm}); err != nil {
				b.Error(err)
			}
		}
		b.acquire(20_000)
		set(20, 120_000) // the added capacity starts empty
		b.available(9, 40_000)
		equal(b, "limit", b.Snapshot().Limit,
			limiter.Limit{RequestsPerSecond: 20, TokensPerMinute: 120_000, RequestBurst: 20, TokenBurst: 120_000})
		set(0.5, 600) // the balance is cut
		b.available(1, 600)
		set(10, 60_000) // the cut part does not return
		b.available(1, 600)
	})
}

func TestSetLimitRejectsWaitersThatNoLongerFit(t *testing.T) {
	runVirtual(t, minute60k, func(b *testLimiter) {
		b.acquire(60_000)
		large := b.goAcquire(b.Context(), 30_000)
		small := b.goAcquire(b.Context(), 2000)
		larger := b.goAcquire(b.Context(), 40_000)
		b.until(time.Second)
		if err := b.SetLimit(limiter.Limit{RequestsPerSecond: 100, TokensPerMinute: 6000}); err != nil {
			b.Fatal(err)
		}
		b.until(time.Minute)
		for _, w := range []*asyncCall{large, larger} {
			o := w.result.Load()
			if o == nil {
				b.Fatal("call still waits")
			}
			var tooLarge *limiter.TooLargeError
			if !errors.As(o.err, &tooLarge) || tooLarge.Capacity != 6000 || o.at != time.Second {
				b.Errorf("at %v: %v, want a TooLargeError for 6000 at 1 s", o.at, o.err)
			}
		}
		small.admittedAt(11 * time.Second) // 1000 at the old rate, 1000 at the new
	})
}

func TestSetLimitRejectsAnInvalidLimit(t *testing.T) {
	runVirtual(t, minute60k, func(b *testLimiter) {
		before := b.Snapshot()
		var limitError *limiter.LimitError
		if err := b.SetLimit(limiter.Limit{RequestsPerSecond: -1, TokensPerMinute: 1}); !errors.As(err, &limitError) {
			b.Errorf("error %v, want a LimitError", err)
		}
		equal(b, "state", b.Snapshot(), before)
	})
}

func TestObserve(t *testing.T) {
	n := func(i int) *int { return &i }
	for name, c := range map[string]struct {
		state            limiter.ServerState
		requests, tokens float64 // available afterwards; before: 98 and 48,000, with 1 and 10,000 in flight
	}{
		"nothing":                    {limiter.ServerState{}, 98, 48_000},
		"negative":                   {limiter.ServerState{RemainingRequests: n(-1), RemainingTokens: n(-1)}, 98, 48_000},
		"more than counted locally":  {limiter.ServerState{RemainingRequests: n(500), RemainingTokens: n(100_000)}, 98, 48_000},
		"as many as counted locally": {limiter.ServerState{RemainingRequests: n(99), RemainingTokens: n(58_000)}, 98, 48_000},
		"fewer tokens":               {limiter.ServerState{RemainingTokens: n(30_000)}, 98, 20_000},
		"fewer requests":             {limiter.ServerState{RemainingRequests: n(3)}, 2, 48_000},
		"less than in flight":        {limiter.ServerState{RemainingTokens: n(4000)}, 98, -6000},
		"nothing of either":          {limiter.ServerState{RemainingRequests: n(0), RemainingTokens: n(0)}, -1, -10_000},
		"tokens, no requests":        {limiter.ServerState{RemainingRequests: n(-7), RemainingTokens: n(10_001)}, 98, 1},
		"a zero number counts":       {limiter.ServerState{RemainingTokens: n(0)}, 98, -10_000},
	} {
		t.Run(name, func(t *testing.T) {
			runVirtual(t, minute60k, func(b *testLimiter) {
				b.acquire(2000).Settle(2000)
				b.acquire(10_000)
				b.Observe(c.state)
				b.available(c.requests, c.tokens)
				b.Observe(c.state) // repeating the report changes nothing
				b.available(c.requests, c.tokens)
			})
		})
	}
}

func TestObserveDelaysHead(t *testing.T) {
	runVirtual(t, minute60k, func(b *testLimiter) {
		b.acquire(50_000).Settle(50_000)
		w := b.goAcquire(b.Context(), 20_000) // at 10 s
		remaining := 0
		b.Observe(limiter.ServerState{RemainingTokens: &remaining})
		b.until(time.Minute)
		w.admittedAt(20 * time.Second)
	})
}

func TestWaitTime(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 0.5, TokensPerMinute: 6000}, func(b *testLimiter) {
		equal(b, "full", b.WaitTime(6000), 0)
		equal(b, "too large", b.WaitTime(6001), limiter.Never)
		b.acquire(6000)
		equal(b, "the request decides", b.WaitTime(10), 2*time.Second)
		equal(b, "no tokens", b.WaitTime(0), 2*time.Second)
		equal(b, "negative", b.WaitTime(-10), 2*time.Second)
		equal(b, "the tokens decide", b.WaitTime(500), 5*time.Second)
		b.goAcquire(b.Context(), 3000) // at 30 s
		equal(b, "behind another", b.WaitTime(100), 32*time.Second)
		b.Pause(b.start.Add(45 * time.Second))
		equal(b, "after a pause", b.WaitTime(100), 47*time.Second)
		equal(b, "after a pause, tokens", b.WaitTime(6000), 90*time.Second)
		equal(b, "taken", b.Snapshot().Admitted, 1)
	})
}

func TestWaitTimeOverflow(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 1e-300, TokensPerMinute: 6000}, func(b *testLimiter) {
		b.acquire(1)
		ctx, cancel := context.WithCancel(context.Background())
		for range 3 {
			b.goAcquire(ctx, 1)
		}
		equal(b, "wait", b.WaitTime(1), limiter.Never)
		cancel()
	})
}

func TestSnapshot(t *testing.T) {
	limit := limiter.Limit{RequestsPerSecond: 1.2, TokensPerMinute: 6000, TokenBurst: 3000}
	runVirtual(t, limit, func(b *testLimiter) {
		b.acquire(1000).Settle(1500)
		b.goAcquire(b.Context(), 500)
		b.until(time.Second)
		b.goAcquire(b.Context(), 2000).waiting()
		b.Pause(b.start.Add(time.Minute))
		got := b.Snapshot()
		b.available(1.2-2+1.2, 3000-1500-500+100)
		got.AvailableRequests, got.AvailableTokens = 0, 0
		wait := b.Snapshot().TotalWait
		equal(b, "TotalWait", wait.Round(time.Microsecond), 666667*time.Microsecond)
		equal(b, "snapshot", got, limiter.Snapshot{
			Limit:        limit.WithDefaults(),
			Configured:   limit.WithDefaults(),
			RequestsFrom: limiter.FromConfiguration,
			TokensFrom:   limiter.FromConfiguration,
			HeldTokens:   500,
			InFlight:     1,
			Waiting:      1,
			NextStart:    b.start.Add(time.Minute),
			PausedUntil:  b.start.Add(time.Minute),
			Counters: limiter.Counters{Admitted: 2, Settled: 1, TokensSettled: 1500, TokensCharged: 500,
				TotalWait: wait},
		})
		b.until(time.Hour)
	})
}
