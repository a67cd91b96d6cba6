package limiter_test

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// countingBackoff pauses n seconds after the n-th 429 and records n.
func countingBackoff(calls *[]int) limiter.Option {
	return limiter.Backoff(func(n int) time.Duration {
		*calls = append(*calls, n)
		return time.Duration(n) * time.Second
	})
}

func (b *testLimiter) retry(p *limiter.Permit) {
	b.Helper()
	if err := p.Retry(b.Context()); err != nil {
		b.Fatal(err)
	}
}

// After Retry-After the queue continues in order: the rejected call first, and each call at its distance from the
// previous one.
func TestRetryAfter(t *testing.T) {
	for name, options := range map[string][]limiter.Option{"bare": nil, "guarded": {limiter.Guarded(0)}} {
		t.Run(name, func(t *testing.T) {
			runVirtual(t, limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: unlimitedRate}, func(b *testLimiter) {
				p := b.acquire(1)
				before := b.goAcquire(b.Context(), 1)
				b.until(200 * ms)
				equal(b, "pause", p.Throttled(limiter.Throttle{RetryAfter: 7500 * ms}), 7500*ms)
				equal(b, "PausedUntil", b.Snapshot().PausedUntil.Sub(b.start), 7700*ms)
				after := b.goAcquire(b.Context(), 1)
				retry := b.goRetry(b.Context(), p)
				b.until(time.Minute)
				retry.admittedAt(7700 * ms)
				before.admittedAt(8700 * ms)
				after.admittedAt(9700 * ms)
			}, options...)
		})
	}
}

func TestRetryAfterExtendsAndNeverShortens(t *testing.T) {
	runVirtual(t, minute60k, func(b *testLimiter) {
		p := b.acquire(1)
		for _, c := range [][2]time.Duration{{5, 5}, {2, 5}, {9, 9}, {-1, 9}} { // Retry-After, and the resulting pause
			equal(b, "pause", p.Throttled(limiter.Throttle{RetryAfter: c[0] * time.Second}), c[1]*time.Second)
		}
		b.until(10 * time.Second)
		equal(b, "PausedUntil", b.Snapshot().PausedUntil, time.Time{})
	})
}

// Twenty calls wait behind a rejected one. After the pause they start five at a time.
func TestNoBurstAfterAThrottle(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 5, TokensPerMinute: unlimitedRate}, func(b *testLimiter) {
		p := b.acquire(1)
		var waiting []*asyncCall
		p.Throttled(limiter.Throttle{RetryAfter: 10 * time.Second})
		for range 20 {
			waiting = append(waiting, b.goAcquire(b.Context(), 1))
		}
		b.until(9 * time.Second)
		retry := b.goRetry(b.Context(), p)
		b.until(time.Minute)
		retry.admittedAt(10 * time.Second)
		for i, w := range waiting {
			w.admittedAt(10*time.Second + time.Duration((i+1)/5)*1050*ms)
		}
	}, guarded)
}

// Each 429 of a call that was sent after the previous pause makes the next pause longer. A settled call resets
// that.
func TestBackoffGrowsAndResets(t *testing.T) {
	var n []int
	runVirtual(t, minute60k, func(b *testLimiter) {
		p := b.acquire(1)
		for i := range time.Duration(4) {
			equal(b, "pause", p.Throttled(limiter.Throttle{}), (i+1)*time.Second)
			b.retry(p)
			equal(b, "retry", b.now(), (i+1)*(i+2)/2*time.Second)
		}
		p.Settle(1) // the last retry was sent after the latest pause
		p = b.acquire(1)
		equal(b, "pause after a success", p.Throttled(limiter.Throttle{}), time.Second)
		if want := []int{1, 2, 3, 4, 1}; !slices.Equal(n, want) {
			b.Errorf("backoff of %v, want %v", n, want)
		}
	}, countingBackoff(&n))
}

// Calls in flight at the start of a pause belong to the same incident, whether they are rejected, settled or
// cancelled, and at any time.
func TestOneIncidentCountsOnce(t *testing.T) {
	var n []int
	runVirtual(t, minute60k, func(b *testLimiter) {
		var p []*limiter.Permit
		for range 6 {
			p = append(p, b.acquire(1))
		}
		equal(b, "first", p[0].Throttled(limiter.Throttle{}), time.Second)
		b.until(300 * ms)
		equal(b, "second", p[1].Throttled(limiter.Throttle{}), 700*ms)
		equal(b, "with Retry-After", p[2].Throttled(limiter.Throttle{RetryAfter: 2 * time.Second}), 2*time.Second)
		b.until(2300 * ms) // the pause has ended
		equal(b, "late", p[3].Throttled(limiter.Throttle{}), 0)
		p[4].Settle(1) // sent before the pause, so it does not reset the backoff
		b.retry(p[0])
		equal(b, "after the pause", p[0].Throttled(limiter.Throttle{}), 2*time.Second)
		b.retry(p[0])
		p[0].Cancel() // does not reset it either
		last := b.acquire(1)
		equal(b, "after another", last.Throttled(limiter.Throttle{}), 3*time.Second)
		if want := []int{1, 2, 3}; !slices.Equal(n, want) {
			b.Errorf("backoff of %v, want %v", n, want)
		}
	}, countingBackoff(&n))
}

// The same applies to a pause with Retry-After.
func TestIncidentWithRetryAfterCountsOnce(t *testing.T) {
	var n []int
	runVirtual(t, minute60k, func(b *testLimiter) {
		first, second := b.acquire(1), b.acquire(1)
		first.Throttled(limiter.Throttle{RetryAfter: 2 * time.Second})
		b.until(3 * time.Second)
		equal(b, "late", second.Throttled(limiter.Throttle{}), 0)
		b.retry(second)
		equal(b, "after the pause", second.Throttled(limiter.Throttle{}), time.Second)
	}, countingBackoff(&n))
}

// The time of Sent counts, if the caller reports it.
func TestIncidentCountsFromTheSending(t *testing.T) {
	var n []int
	runVirtual(t, minute60k, func(b *testLimiter) {
		p, slow := b.acquire(1), b.acquire(1)
		p.Throttled(limiter.Throttle{})
		b.until(2 * time.Second)
		slow.Sent()
		equal(b, "pause", slow.Throttled(limiter.Throttle{}), 2*time.Second)
	}, countingBackoff(&n))
}

// The default backoff is random from 1 s to twice as much each time, up to 32 s.
func TestDefaultBackoff(t *testing.T) {
	runVirtual(t, minute60k, func(b *testLimiter) {
		p := b.acquire(1)
		maxPause := time.Duration(0)
		for i := range 200 {
			pause := p.Throttled(limiter.Throttle{})
			if maximum := time.Second << min(i+1, 5); pause < time.Second || pause > maximum {
				b.Errorf("pause %d is %v, want 1 s to %v", i+1, pause, maximum)
			}
			maxPause = max(maxPause, pause)
			b.retry(p)
		}
		if maxPause < 20*time.Second { // as improbable as 200 random numbers below 0.62
			b.Errorf("the maximum of 200 pauses is %v", maxPause)
		}
	})
}

// Each 429 that names the request limit adds the jitter once more, up to five times. The addition decays within
// ten minutes.
func TestLearnedJitter(t *testing.T) {
	requests := limiter.Throttle{Requests: true, RetryAfter: 1}
	for name, c := range map[string]struct {
		at       []time.Duration // times of the 429 responses
		throttle limiter.Throttle
		jitter   time.Duration
		extra    time.Duration // extra jitter after the last response
	}{
		"once":                     {[]time.Duration{0}, requests, 50 * ms, 50 * ms},
		"three times":              {make([]time.Duration, 3), requests, 50 * ms, 150 * ms},
		"up to five times":         {make([]time.Duration, 9), requests, 50 * ms, 200 * ms},
		"half decayed by then":     {[]time.Duration{0, 5 * time.Minute}, requests, 50 * ms, 75 * ms},
		"all decayed by then":      {[]time.Duration{0, time.Hour}, requests, 50 * ms, 50 * ms},
		"a jitter of 0":            {make([]time.Duration, 9), requests, 0, 0},
		"not for the token limit":  {make([]time.Duration, 9), limiter.Throttle{Tokens: true, RetryAfter: 1}, 50 * ms, 0},
		"not for an unknown limit": {make([]time.Duration, 9), limiter.Throttle{RetryAfter: 1}, 50 * ms, 0},
	} {
		t.Run(name, func(t *testing.T) {
			runVirtual(t, limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 60_000}, func(b *testLimiter) {
				p := b.acquire(0)
				for _, at := range c.at {
					b.until(at)
					p.Throttled(c.throttle)
				}
				learned := b.now()
				for _, after := range []time.Duration{5 * time.Second, 5 * time.Minute, 599 * time.Second, 11 * time.Minute, time.Hour} {
					b.until(learned + after)
					b.use(0)
					b.use(0)
					left := max(0, 10*time.Minute-after)
					want := time.Second + c.jitter + time.Duration(float64(c.extra)*left.Minutes()/10)
					if got := b.now() - learned - after; (got - want).Abs() > 2 {
						b.Errorf("after %v requests are %v apart, want %v", after, got, want)
					}
				}
			}, limiter.Guarded(c.jitter))
		})
	}
}

// A 429 names the token limit although the guard has counted less than the limit, so the server must have charged
// for calls in flight. From the second one on, more of the tokens in flight is kept free, in four steps up to
// 100%. Several responses of one incident count once.
func TestReservedShare(t *testing.T) {
	runVirtual(t, minute60k, func(b *testLimiter) {
		p := b.acquire(1000)
		for range 19 {
			b.acquire(1000)
		}
		held := func(share float64) int { return int(math.Ceil((0.2+0.8*share)*20_000 + 3500)) }
		for i, share := range []float64{0, 0.25, 0.5, 0.75, 1, 1} {
			b.until(time.Duration(2+i) * time.Minute)
			p.Throttled(limiter.Throttle{Tokens: true, RetryAfter: 1})
			b.wantTokens(12_000 - held(share)) // assumed external usage is four fifths
			p.Throttled(limiter.Throttle{Tokens: true, RetryAfter: 1})
			b.wantTokens(12_000 - held(share))
			p.Throttled(limiter.Throttle{Requests: true, RetryAfter: 1})
			b.reportRemaining(60_000)
			b.wantTokens(60_000 - held(share))
		}
	}, guarded)
}

// reservedShare decays by a step after each half hour without such a response.
func TestReservedShareDecays(t *testing.T) {
	runVirtual(t, minute60k, func(b *testLimiter) {
		var p *limiter.Permit
		for range 20 {
			p = b.acquire(1000)
		}
		throttledAt := func(d time.Duration) {
			b.until(d)
			p.Throttled(limiter.Throttle{Tokens: true, RetryAfter: 1})
			b.reportRemaining(60_000)
		}
		held := func(d time.Duration, share float64) {
			b.Helper()
			b.until(d)
			b.wantTokens(60_000 - int(math.Ceil((0.2+0.8*share)*20_000+3500)))
		}
		for i := range time.Duration(4) {
			throttledAt((2 + i) * time.Minute)
		}
		held(35*time.Minute-1, 0.75)
		held(35*time.Minute, 0.5)
		throttledAt(50 * time.Minute) // half an hour after the last one, so it counts as the first
		held(50*time.Minute, 0.5)
		throttledAt(51 * time.Minute) // the half hour restarts
		held(81*time.Minute-1, 0.75)
		for i, share := range []float64{0.5, 0.25, 0, 0, 0} {
			held(time.Duration(81+30*i)*time.Minute, share)
		}
	}, guarded)
}

// A 429 after all tokens were used shows nothing about calls in flight.
func TestExplainedThrottleReservesNothing(t *testing.T) {
	runVirtual(t, minute60k, func(b *testLimiter) {
		b.acquire(1000).Settle(59_000)
		p := b.acquire(1000)
		b.reportRemaining(0) // other clients used the last 1000
		p.Throttled(limiter.Throttle{Tokens: true, RetryAfter: 1})
		b.until(3 * time.Minute)
		b.wantTokens(60_000 - 200 - 3500)
	}, guarded)
}

// After a 429 that names the token limit, few tokens are assumed to remain. Large calls wait until that assumption
// decays or a report corrects it. Small calls do not wait.
func TestTokenThrottleLeavesFewTokens(t *testing.T) {
	runVirtual(t, minute60k, func(b *testLimiter) {
		p := b.acquire(1000)
		p.Throttled(limiter.Throttle{Tokens: true, RetryAfter: 2 * time.Second})
		p.Cancel()
		none := b.goAcquire(b.Context(), 0)
		w := b.goAcquire(b.Context(), 50_000)
		b.until(time.Minute)
		none.admittedAt(2 * time.Second)
		w.admittedAt(19 * time.Second) // of 48,000 assumed as external usage, 10,000 remain
	}, guarded)
}

// A single 429 that names the token limit costs at most ten seconds of the quota.
func TestCostOfASingleThrottle(t *testing.T) {
	runVirtual(t, minute60k, func(b *testLimiter) {
		p := b.acquire(1000)
		p.Throttled(limiter.Throttle{Tokens: true, RetryAfter: 1})
		p.Settle(0)
		cost := 0.0 // seconds of the quota
		for i := range time.Duration(600) {
			b.until(i * 100 * ms)
			cost += 0.1 * (60_000 - b.Snapshot().AvailableTokens) / 60_000
		}
		if cost < 5 || cost > 10 {
			b.Errorf("the 429 costs %.2f s of the quota, want at most 10", cost)
		}
	}, guarded)
}
