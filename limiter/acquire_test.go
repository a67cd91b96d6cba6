package limiter_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

func TestRequestTiming(t *testing.T) {
	for _, c := range []struct {
		rps  float64
		want []float64 // seconds
	}{
		{1.2, []float64{0, 0.667, 1.5, 2.333, 3.167}}, // the bucket holds 1.2
		{0.5, []float64{0, 2, 4, 6}},                  // the bucket holds one anyway
		{0.08, []float64{0, 12.5, 25, 37.5}},
		{3, []float64{0, 0, 0, 0.333, 0.667, 1}},
		{1, []float64{0, 1, 2, 3}},
	} {
		runVirtual(t, limiter.Limit{RequestsPerSecond: c.rps, TokensPerMinute: unlimitedRate}, func(b *testLimiter) {
			for _, want := range c.want {
				b.acquire(1)
				equal(b, "admission", b.now().Round(time.Millisecond), time.Duration(want*1e9).Round(time.Millisecond))
			}
		})
	}
}

func TestRequestBurst(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 0.5, TokensPerMinute: unlimitedRate, RequestBurst: 2.5}, func(b *testLimiter) {
		for _, want := range []time.Duration{0, 0, time.Second, 3 * time.Second} {
			b.acquire(0)
			equal(b, "admission", b.now(), want)
		}
	})
}

// Rounding errors must not add up, neither in time nor in needless extra waits.
func TestNoDrift(t *testing.T) {
	for _, rps := range []float64{0.3, 1.2, 3, 7} {
		runVirtual(t, limiter.Limit{RequestsPerSecond: rps, TokensPerMinute: unlimitedRate}, func(b *testLimiter) {
			for range 1000 {
				b.acquire(1).Settle(1)
			}
			want := time.Duration((1000 - max(1, rps)) / rps * 1e9)
			if d := b.now() - want; d < 0 || d > 2*time.Microsecond {
				b.Errorf("RPS %v: 1000th admission at %v, want %v", rps, b.now(), want)
			}
		})
	}
}

// At 3 requests/s an admission takes 333,333,333.3 ns. If one came a nanosecond early, a server that
// counts exactly would reject it.
func TestNeverEarly(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 3, TokensPerMinute: unlimitedRate, RequestBurst: 1}, func(b *testLimiter) {
		for i := range 100 {
			b.acquire(1)
			if earliest := (time.Duration(i)*time.Second + 2) / 3; b.now() < earliest {
				b.Fatalf("admission %d at %d ns, want %d or later", i, b.now(), earliest)
			}
		}
	})
}

func TestTokensBurstThenSteady(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 1000, TokensPerMinute: 60_000}, func(b *testLimiter) {
		for i, want := range []time.Duration{0, 0, 0, 20, 40, 60, 80} {
			p := b.acquire(20_000)
			equal(b, "admission", b.now(), want*time.Second)
			if i >= 3 {
				equal(b, "Waited", p.WaitDuration(), 20*time.Second)
			}
			p.Settle(20_000)
		}
	})
}

func TestTokenBurst(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 1000, TokensPerMinute: 60_000, TokenBurst: 5000}, func(b *testLimiter) {
		for _, want := range []time.Duration{0, 5, 10} {
			b.acquire(5000)
			equal(b, "admission", b.now(), want*time.Second)
		}
	})
}

func TestSlowerBucketDecides(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 6000}, func(b *testLimiter) {
		for _, c := range []struct {
			tokens int
			at     time.Duration
		}{
			{6000, 0},
			{50, 1000},   // tokens at 0.5 s, request at 1 s
			{400, 4500},  // request at 2 s, tokens at 4.5 s: 450 - 50 are 400 used
			{10, 5500},   // request at 5.5 s, tokens at 4.6 s
			{600, 10600}, // tokens: 6000+1060 refilled-6000-50-400-10 = 600
		} {
			b.acquire(c.tokens)
			equal(b, "admission", b.now(), c.at*time.Millisecond)
		}
	})
}

func TestBothOrNeither(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 6000, RequestBurst: 5}, func(b *testLimiter) {
		b.acquire(6000)
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
		defer cancel()
		if _, err := b.Acquire(ctx, 1000); !errors.Is(err, context.DeadlineExceeded) {
			b.Errorf("error %v, want a missed deadline", err)
		}
		b.available(5, 200) // the failed call did not take a request
	})
}

func TestFIFOWithLargeHead(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 100, TokensPerMinute: 60_000}, func(b *testLimiter) {
		b.acquire(50_000)
		large := b.goAcquire(b.Context(), 40_000) // 10,000 are left: 30 s
		small := b.goAcquire(b.Context(), 10)     // would fit at once
		free := b.goAcquire(b.Context(), 0)
		b.until(29 * time.Second)
		large.waiting()
		small.waiting()
		free.waiting()
		b.until(time.Minute)
		large.admittedAt(30 * time.Second)
		small.admittedAt(30*time.Second + 10*time.Millisecond)
		free.admittedAt(30*time.Second + 10*time.Millisecond)
	})
}

// A call without tokens, such as a listing, starts despite a debt of tokens.
func TestCallWithoutTokensIgnoresADebt(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 100, TokensPerMinute: 60_000}, func(b *testLimiter) {
		b.acquire(60_000).Settle(100_000)
		b.acquire(0).Settle(0)
		equal(b, "admission", b.now(), 0)
		b.acquire(1)
		equal(b, "admission", b.now(), 40*time.Second+time.Millisecond)
	})
}

func TestTooLarge(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 600, TokenBurst: 500}, func(b *testLimiter) {
		b.acquire(500)
		waiting := b.goAcquire(b.Context(), 500)
		_, err := b.Acquire(context.Background(), 501)
		var tooLarge *limiter.TooLargeError
		if !errors.As(err, &tooLarge) || *tooLarge != (limiter.TooLargeError{Tokens: 501, Capacity: 500}) {
			b.Errorf("error %v, want a TooLargeError of 501 and 500", err)
		}
		equal(b, "time of the error", b.now(), 0)
		b.until(time.Hour)
		waiting.admittedAt(50 * time.Second)
	})
}

func TestNegativeTokens(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 600}, func(b *testLimiter) {
		if _, err := b.Acquire(context.Background(), -1); !errors.Is(err, limiter.ErrNegativeTokens) {
			b.Errorf("error %v, want ErrNegativeTokens", err)
		}
		b.available(1, 600)
	})
}

func TestCancelTakesNothingAndWakesTheNext(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 100, TokensPerMinute: 60_000}, func(b *testLimiter) {
		b.acquire(60_000)
		ctx, cancel := context.WithCancelCause(context.Background())
		large := b.goAcquire(ctx, 50_000)
		small := b.goAcquire(b.Context(), 1000)
		next := b.goAcquire(b.Context(), 20_000)
		b.until(10 * time.Second)
		small.waiting()
		reason := errors.New("no longer needed")
		cancel(reason)
		b.until(30 * time.Second)
		large.failedAt(10*time.Second, context.Canceled)
		large.failedAt(10*time.Second, reason)
		var waitError *limiter.WaitError
		if !errors.As(large.result.Load().err, &waitError) || waitError.Tokens != 50_000 || waitError.WaitDuration != 10*time.Second {
			b.Errorf("error %#v, want a WaitError for 50000 tokens after 10 s", large.result.Load().err)
		}
		equal(b, "text", large.result.Load().err.Error(), "limiter: gave up waiting for 1 request and 50000 tokens after 10s: no longer needed")
		small.admittedAt(10 * time.Second)
		next.admittedAt(21 * time.Second) // 21,000 refilled by then, as if the large call had not been made
		s := b.Snapshot()
		equal(b, "waiting", s.Waiting, 0)
		equal(b, "held", s.HeldTokens, 81_000)
		equal(b, "in flight", s.InFlight, 3)
		equal(b, "abandoned", s.Abandoned, 1)
		b.available(100, 9000)
	})
}

// A waiter in the middle of the queue leaves. The others are not affected.
func TestCancelInTheMiddle(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: unlimitedRate}, func(b *testLimiter) {
		b.acquire(1)
		first := b.goAcquire(b.Context(), 1)
		ctx, cancel := context.WithCancel(context.Background())
		middle := b.goAcquire(ctx, 1)
		last := b.goAcquire(b.Context(), 1)
		cancel()
		b.until(time.Minute)
		first.admittedAt(time.Second)
		middle.failedAt(0, context.Canceled)
		last.admittedAt(2 * time.Second)
	})
}

func TestDoneAtEntry(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 600}, func(b *testLimiter) {
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if _, err := b.Acquire(ctx, 10); !errors.Is(err, context.Canceled) {
			b.Errorf("error %v, want context.Canceled", err)
		}
		b.available(1, 600)
		equal(b, "admitted", b.Snapshot().Admitted, 0)
	})
}

// The deadline is before the expected admission, but a refund comes in time.
func TestWaitsForARefundDespiteTheDeadline(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 100, TokensPerMinute: 60_000}, func(b *testLimiter) {
		p := b.acquire(60_000)
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		hopeful := b.goAcquire(ctx, 60_000)
		b.until(5 * time.Second)
		p.Settle(5000)
		b.until(time.Minute)
		hopeful.admittedAt(5 * time.Second)
	})
}

// Admission and cancellation happen at the same instant, in either order. The call either returns its
// permit or has taken nothing.
func TestAdmissionAndCancelTogether(t *testing.T) {
	for i := range 200 {
		runVirtual(t, limiter.Limit{RequestsPerSecond: 100, TokensPerMinute: 60_000}, func(b *testLimiter) {
			p := b.acquire(60_000)
			ctx, cancel := context.WithCancel(context.Background())
			w := b.goAcquire(ctx, 1000)
			if i%2 == 0 {
				go cancel()
				go p.Settle(59_000)
			} else { // usually cancelled, but admitted before its goroutine runs
				cancel()
				p.Settle(59_000)
			}
			b.until(time.Millisecond)
			s := b.Snapshot()
			switch o := w.result.Load(); {
			case o == nil:
				b.Error("call still waits")
			case o.err == nil:
				equal(b, "tokens", o.permit.Tokens(), 1000)
				equal(b, "held", s.HeldTokens, 1000)
				b.available(98+0.1, 1)
			default:
				equal(b, "held", s.HeldTokens, 0)
				b.available(99+0.1, 1001)
			}
		})
	}
}

// An admission remains valid even if ctx is done before the goroutine runs.
func TestAdmittedThenCancelled(t *testing.T) {
	for range 50 { // select chooses at random
		runVirtual(t, limiter.Limit{RequestsPerSecond: 100, TokensPerMinute: 60_000}, func(b *testLimiter) {
			p := b.acquire(60_000)
			ctx, cancel := context.WithCancel(context.Background())
			w := b.goAcquire(ctx, 1000)
			p.Settle(0)
			cancel()
			b.until(time.Millisecond)
			w.admittedAt(0)
		})
	}
}
