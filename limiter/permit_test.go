package limiter_test

import (
	"context"
	"errors"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

var minute60k = limiter.Limit{RequestsPerSecond: 100, TokensPerMinute: 60_000}

func TestSettle(t *testing.T) {
	for name, c := range map[string]struct {
		actual    int
		available float64 // of 60,000, after a call that held 10,000
		settled   int64
		refunded  int64
		charged   int64
	}{
		"equal":                 {10_000, 50_000, 10_000, 0, 0},
		"less":                  {4000, 56_000, 4000, 6000, 0},
		"nothing":               {0, 60_000, 0, 10_000, 0},
		"negative counts as 0":  {-5, 60_000, 0, 10_000, 0},
		"more":                  {12_000, 48_000, 12_000, 0, 2000},
		"more than available":   {70_000, -10_000, 70_000, 0, 60_000},
		"many times the bucket": {10_060_000, -10_000_000, 10_060_000, 0, 10_050_000},
	} {
		t.Run(name, func(t *testing.T) {
			runVirtual(t, minute60k, func(b *testLimiter) {
				p := b.acquire(10_000)
				b.available(99, 50_000)
				p.Settle(c.actual)
				b.available(99, c.available)
				s := b.Snapshot()
				equal(b, "counters", s.Counters, limiter.Counters{Admitted: 1, Settled: 1,
					TokensSettled: c.settled, TokensRefunded: c.refunded, TokensCharged: c.charged})
				equal(b, "held", s.HeldTokens, 0)
				equal(b, "in flight", s.InFlight, 0)
			})
		})
	}
}

// The refill pays off a debt before any call gets tokens.
func TestDebtIsRecordedWhole(t *testing.T) {
	runVirtual(t, minute60k, func(b *testLimiter) {
		b.acquire(10_000).Settle(660_000)
		b.acquire(1000)
		equal(b, "admission", b.now(), 601*time.Second)
	})
}

func TestSettleOfAnExtremeNumber(t *testing.T) {
	runVirtual(t, minute60k, func(b *testLimiter) {
		b.acquire(1).Settle(math.MaxInt)
		if got := b.Snapshot().AvailableTokens; got > -float64(math.MaxInt)/2 {
			b.Errorf("got %v available tokens", got)
		}
	})
}

// The bucket filled up while the call was in flight, so only a part of the surplus fits.
func TestRefundNeverAboveCapacity(t *testing.T) {
	for name, finish := range map[string]func(*limiter.Permit){
		"Settle": func(p *limiter.Permit) { p.Settle(0) },
		"Cancel": (*limiter.Permit).Cancel,
	} {
		t.Run(name, func(t *testing.T) {
			runVirtual(t, minute60k, func(b *testLimiter) {
				p := b.acquire(10_000)
				b.until(9 * time.Second)
				b.available(100, 59_000)
				finish(p)
				b.available(100, 60_000)
				b.acquire(60_000)
				b.available(99, 0) // the rest is lost
			})
		})
	}
}

// A refund lets the next call start at that instant.
func TestRefundWakesHead(t *testing.T) {
	for name, finish := range map[string]func(*limiter.Permit){
		"Settle": func(p *limiter.Permit) { p.Settle(20_000) },
		"Cancel": (*limiter.Permit).Cancel,
	} {
		t.Run(name, func(t *testing.T) {
			runVirtual(t, minute60k, func(b *testLimiter) {
				p := b.acquire(60_000)
				first := b.goAcquire(b.Context(), 30_000)
				second := b.goAcquire(b.Context(), 10_000)
				b.until(3*time.Second + 77)
				first.waiting()
				finish(p)
				b.until(3*time.Second + 77)
				first.admittedAt(3*time.Second + 77)
				second.admittedAt(3*time.Second + 77)
				equal(b, "Waited", second.result.Load().permit.WaitDuration(), 3*time.Second+77)
				equal(b, "TotalWait", b.Snapshot().TotalWait, 2*(3*time.Second+77))
			})
		})
	}
}

// A shortfall delays waiting calls: the timer is set again.
func TestShortfallDelaysHead(t *testing.T) {
	runVirtual(t, minute60k, func(b *testLimiter) {
		p := b.acquire(60_000)
		w := b.goAcquire(b.Context(), 10_000) // expected at 10 s
		b.until(5 * time.Second)
		p.Settle(65_000)
		b.until(time.Minute)
		w.admittedAt(15 * time.Second)
	})
}

func TestCancelGivesEverythingBack(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 0.5, TokensPerMinute: 600}, func(b *testLimiter) {
		p := b.acquire(600)
		w := b.goAcquire(b.Context(), 600)
		p.Cancel()
		b.until(time.Millisecond)
		w.admittedAt(0)
		equal(b, "counters", b.Snapshot().Counters, limiter.Counters{Admitted: 2, Cancelled: 1, TokensRefunded: 600})
	})
}

func TestFirstOfSettleAndCancelWins(t *testing.T) {
	runVirtual(t, minute60k, func(b *testLimiter) {
		p := b.acquire(10_000)
		p.Settle(7000)
		p.Settle(1)
		p.Cancel()
		b.available(99, 53_000)
		equal(b, "counters", b.Snapshot().Counters,
			limiter.Counters{Admitted: 1, Settled: 1, TokensSettled: 7000, TokensRefunded: 3000})
	})
	runVirtual(t, minute60k, func(b *testLimiter) {
		p := b.acquire(10_000)
		p.Cancel()
		p.Cancel()
		p.Settle(7000)
		b.available(100, 60_000)
		equal(b, "counters", b.Snapshot().Counters,
			limiter.Counters{Admitted: 1, Cancelled: 1, TokensRefunded: 10_000})
	})
}

func TestConcurrentSettleAndCancel(t *testing.T) {
	runVirtual(t, minute60k, func(b *testLimiter) {
		b.acquire(50_000) // so that no balance reaches the capacity
		p := b.acquire(5000)
		var wg sync.WaitGroup
		for range 20 {
			wg.Go(func() { p.Settle(1000) })
			wg.Go(p.Cancel)
		}
		wg.Wait()
		s := b.Snapshot()
		equal(b, "finished", s.Settled+s.Cancelled, 1)
		equal(b, "in flight", s.InFlight, 1)
		equal(b, "held", s.HeldTokens, 50_000)
		b.available(98+float64(s.Cancelled), 10_000-float64(s.TokensSettled))
	})
}

func TestRetryOrder(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: unlimitedRate, RequestBurst: 3}, func(b *testLimiter) {
		p1, p2, p3 := b.acquire(1), b.acquire(1), b.acquire(1)
		newcomer := b.goAcquire(b.Context(), 1)
		b.until(100 * time.Millisecond)
		r3 := b.goRetry(b.Context(), p3)
		r1 := b.goRetry(b.Context(), p1)
		r2 := b.goRetry(b.Context(), p2)
		later := b.goAcquire(b.Context(), 1)
		equal(b, "waiting", b.Snapshot().Waiting, 5)
		b.until(time.Minute)
		r1.admittedAt(1 * time.Second)
		r2.admittedAt(2 * time.Second)
		r3.admittedAt(3 * time.Second)
		newcomer.admittedAt(4 * time.Second)
		later.admittedAt(5 * time.Second)
		equal(b, "Waited", p2.WaitDuration(), 1900*time.Millisecond)
		s := b.Snapshot()
		equal(b, "admitted", s.Admitted, 5)
		equal(b, "retried", s.Retried, 3)
		equal(b, "in flight", s.InFlight, 5)
	})
}

// A retry takes a request and no tokens. It waits neither for its own tokens, which it holds, nor for those of
// the head.
func TestRetryTakesARequestOnly(t *testing.T) {
	runVirtual(t, minute60k, func(b *testLimiter) {
		p := b.acquire(60_000)
		head := b.goAcquire(b.Context(), 30_000)
		b.until(time.Second)
		if err := p.Retry(context.Background()); err != nil {
			b.Fatal(err)
		}
		equal(b, "admission", b.now(), time.Second)
		b.available(99, 1000)
		equal(b, "held", b.Snapshot().HeldTokens, 60_000)
		b.until(time.Minute)
		head.admittedAt(30 * time.Second)
	})
}

// A retry ahead of the head takes the request that the head waited for. The timer is set for the retry, then for
// the head again.
func TestRetryDelaysHead(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 0.5, TokensPerMinute: unlimitedRate}, func(b *testLimiter) {
		p := b.acquire(1)
		head := b.goAcquire(b.Context(), 1)
		b.until(time.Second)
		retry := b.goRetry(b.Context(), p)
		b.until(time.Minute)
		retry.admittedAt(2 * time.Second)
		head.admittedAt(4 * time.Second)
	})
}

func TestAbandonedRetryLeavesThePermitUnchanged(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 0.1, TokensPerMinute: 6000}, func(b *testLimiter) {
		p := b.acquire(6000)
		head := b.goAcquire(b.Context(), 0)
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		err := p.Retry(ctx)
		if !errors.Is(err, context.DeadlineExceeded) {
			b.Errorf("error %v, want a missed deadline", err)
		}
		equal(b, "text", err.Error(), "limiter: gave up waiting for 1 request and 0 tokens after 3s: context deadline exceeded")
		if err := p.Retry(ctx); !errors.Is(err, context.DeadlineExceeded) {
			b.Errorf("error %v at entry, want a missed deadline", err)
		}
		equal(b, "Waited", p.WaitDuration(), 0)
		equal(b, "held", b.Snapshot().HeldTokens, 6000)
		p.Settle(6000)
		b.available(0.3, 300)
		b.until(time.Minute)
		head.admittedAt(10 * time.Second)
	})
}

// The first attempt reached the server, so its request remains spent.
func TestCancelAfterRetry(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 0.001, TokensPerMinute: 6000, RequestBurst: 5}, func(b *testLimiter) {
		p := b.acquire(1000)
		for range 2 {
			if err := p.Retry(context.Background()); err != nil {
				b.Fatal(err)
			}
		}
		b.available(2, 5000)
		p.Cancel()
		b.available(3, 6000)
	})
}

func TestRetryWithContextDoneTakesNothing(t *testing.T) {
	runVirtual(t, minute60k, func(b *testLimiter) {
		p := b.acquire(1000)
		ctx, cancel := context.WithCancel(context.Background())
		cancel()
		if err := p.Retry(ctx); !errors.Is(err, context.Canceled) {
			b.Errorf("error %v, want context.Canceled", err)
		}
		b.available(99, 59_000)
	})
}

func TestRetryOfAFinishedPermit(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 0.1, TokensPerMinute: 6000}, func(b *testLimiter) {
		p := b.acquire(1)
		newcomer := b.goAcquire(b.Context(), 1)
		retry := b.goRetry(b.Context(), p)
		if err := p.Retry(context.Background()); !errors.Is(err, limiter.ErrRetrying) {
			b.Errorf("second retry: %v, want ErrRetrying", err)
		}
		b.until(time.Second)
		p.Settle(1)
		if err := p.Retry(context.Background()); !errors.Is(err, limiter.ErrFinished) {
			b.Errorf("retry after Settle: %v, want ErrFinished", err)
		}
		b.until(time.Minute)
		retry.failedAt(time.Second, limiter.ErrFinished)
		newcomer.admittedAt(10 * time.Second) // the retry took nothing
	})
}
