package limiter_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// Small calls that repeatedly use more than their estimates do not delay a large call forever.
func TestLargeCallIsNotStarvedByUnderestimates(t *testing.T) {
	runVirtual(t, minute60k, func(b *testLimiter) {
		done := make(chan struct{})
		var wg sync.WaitGroup
		defer wg.Wait()
		for i := range time.Duration(10) {
			wg.Go(func() {
				for n := i; ; n++ {
					select {
					case <-done:
						return
					default:
					}
					p := b.acquire(200)
					time.Sleep(time.Second*(n%7+1)/7 + i)
					p.Settle(220)
				}
			})
		}
		b.until(100 * time.Second)
		ctx, cancel := context.WithTimeout(context.Background(), time.Hour)
		defer cancel()
		p, err := b.Acquire(ctx, 50_000)
		close(done)
		if err != nil {
			b.Fatal(err)
		}
		if p.WaitDuration() > 2*time.Minute {
			b.Errorf("the large call waited %v", p.WaitDuration())
		}
		p.Settle(50_000)
	}, guarded)
}

// After a pause, calls that can be backfilled start at once.
func TestBackfillAfterAPause(t *testing.T) {
	runVirtual(t, minute60k, func(b *testLimiter) {
		b.use(50_000)
		b.Pause(b.start.Add(10 * time.Second))
		head := b.goAcquire(b.Context(), 40_000)
		call := b.goAcquire(b.Context(), 100)
		b.until(2 * time.Minute)
		call.admittedAt(10 * time.Second)
		head.admittedAt(time.Minute)
	}, guarded)
}

// Snapshot changes nothing.
func TestSnapshotForgetsNoRequest(t *testing.T) {
	runVirtual(t, onePerSecond, func(b *testLimiter) {
		b.acquire(0).Throttled(limiter.Throttle{Requests: true, RetryAfter: 1}) // the window is now 1.1 s
		b.until(1060 * ms)
		b.Snapshot()
		b.use(0)
		if at := b.now(); at < 1099*ms {
			b.Errorf("admitted at %v, want 1.1 s", at)
		}
	}, guarded)
}

// Average sizes learned under a large limit do not make the calls of a lower limit wait for each other.
func TestLowerLimitForgetsLargeSizes(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 100, TokensPerMinute: 1_000_000_000}, func(b *testLimiter) {
		for range 200 {
			b.use(100_000_000)
		}
		if err := b.SetLimit(limiter.Limit{RequestsPerSecond: 100, TokensPerMinute: 1_000_000}); err != nil {
			b.Fatal(err)
		}
		b.until(b.now() + 24*time.Hour) // all debts are paid
		for i := range 50 {
			b.goAcquire(b.Context(), 1000)
			if n := b.Snapshot().InFlight; n != i+1 {
				b.Fatalf("%d calls are in flight, want %d", n, i+1)
			}
		}
	}, guarded)
}
