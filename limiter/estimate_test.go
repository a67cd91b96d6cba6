package limiter_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// hundredASecond refills 100 tokens per second. Each hundred tokens of the head's estimate is a second of
// its wait.
var hundredASecond = limiter.Limit{RequestsPerSecond: limiter.MaxRequests, TokensPerMinute: 6000}

// An estimator is a call whose estimate changes. It counts the calls of estimate.
type estimator struct {
	tokens    atomic.Int64
	estimates atomic.Int64
}

func (e *estimator) estimate() (prompt, reply int) {
	e.estimates.Add(1)
	return 0, int(e.tokens.Load())
}

// goEstimated acquires in another goroutine with an estimate of the given tokens.
func (b *testLimiter) goEstimated(tokens int) (*asyncCall, *estimator) {
	e := new(estimator)
	e.tokens.Store(int64(tokens))
	return b.goDo(func() (*limiter.Permit, error) {
		return b.AcquireCall(context.Background(), limiter.Call{Reply: tokens, Estimate: e.estimate})
	}), e
}

// A call that waited is admitted with its latest estimate, earlier or later than first expected. The permit
// holds exactly that estimate.
func TestEstimateIsRefreshed(t *testing.T) {
	for name, test := range map[string]struct {
		again int
		want  time.Duration
	}{
		"less":     {300, 5 * time.Second}, // noticed when the next call ends
		"the same": {1000, 10 * time.Second},
		"more":     {1500, 15 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			runVirtual(t, hundredASecond, func(b *testLimiter) {
				b.use(5000)
				other := b.acquire(1000)
				call, estimate := b.goEstimated(1000)
				behind := b.goAcquire(context.Background(), 1)
				b.until(5 * time.Second)
				estimate.tokens.Store(int64(test.again))
				other.Settle(1000)
				b.until(test.want)
				call.admittedAt(test.want)
				p := call.result.Load().permit
				equal(b, "tokens of the permit", p.Tokens(), test.again)
				p.Settle(test.again + 1)
				b.until(time.Minute)
				behind.result.Load().permit.Cancel()
				s := b.Snapshot()
				equal(b, "tokens that are held", s.HeldTokens, 0)
				equal(b, "calls in flight", s.InFlight, 0)
				equal(b, "tokens settled", s.TokensSettled, int64(6000+test.again+1))
				b.available(limiter.MaxRequests, 100*60-float64(test.again+1)) // a minute's refill of what the bucket held
			})
		})
	}
}

// A call that starts within a second keeps its first estimate.
func TestEstimateIsFresh(t *testing.T) {
	runVirtual(t, hundredASecond, func(b *testLimiter) {
		first, estimate := b.goEstimated(6000)
		first.admittedAt(0)
		equal(b, "estimates of a call that starts at once", estimate.estimates.Load(), 0)
		first.result.Load().permit.Settle(6000)
		soon, ofSoon := b.goEstimated(99)
		late, ofLate := b.goEstimated(2)
		b.until(990 * ms)
		soon.admittedAt(990 * ms)
		equal(b, "estimates of a call that starts soon", ofSoon.estimates.Load(), 0)
		b.until(1010 * ms)
		late.admittedAt(1010 * ms)
		equal(b, "estimates of a call that waits longer", ofLate.estimates.Load(), 1)
		b.until(10 * time.Second)
		retry := b.goRetry(context.Background(), late.result.Load().permit)
		retry.admittedAt(10 * time.Second)
		equal(b, "estimates of a retry", ofLate.estimates.Load(), 1)
	})
}

// An invalid estimate ends the wait and takes nothing, and the next call starts.
func TestInvalidEstimate(t *testing.T) {
	for name, test := range map[string]struct {
		tokens int64
		is     func(error) bool
	}{
		"too large": {6001, func(err error) bool {
			var tooLarge *limiter.TooLargeError
			return errors.As(err, &tooLarge) && tooLarge.Tokens == 6001 && tooLarge.Capacity == 6000
		}},
		"negative": {-1, func(err error) bool { return errors.Is(err, limiter.ErrNegativeTokens) }},
	} {
		t.Run(name, func(t *testing.T) {
			runVirtual(t, hundredASecond, func(b *testLimiter) {
				b.use(6000)
				call, estimate := b.goEstimated(300)
				estimate.tokens.Store(test.tokens)
				next := b.goAcquire(context.Background(), 300)
				b.until(3 * time.Second)
				if o := call.result.Load(); o == nil || o.permit != nil || !test.is(o.err) {
					b.Errorf("the call is %+v", o)
				}
				next.admittedAt(3 * time.Second)
				next.result.Load().permit.Cancel()
				s := b.Snapshot()
				equal(b, "waiting, in flight and held", s.Waiting+s.InFlight+s.HeldTokens, 0)
				equal(b, "abandoned", s.Abandoned, 1)
				b.available(limiter.MaxRequests, 300)
			})
		})
	}
}

// An Estimate function that does not return ends only its own call.
func TestEstimateDoesNotReturn(t *testing.T) {
	for name, end := range map[string]func(){
		"it panics":        func() { panic("estimate") },
		"it ends the test": runtime.Goexit,
	} {
		t.Run(name, func(t *testing.T) {
			runVirtual(t, hundredASecond, func(b *testLimiter) {
				b.use(6000)
				recovered := make(chan any, 1)
				go func() {
					defer func() { recovered <- recover() }()
					p, err := b.AcquireCall(context.Background(), limiter.Call{Prompt: 300, Estimate: func() (int, int) { end(); return 1, 1 }})
					t.Errorf("Acquire returns %v, %v", p, err)
				}()
				synctest.Wait()
				next := b.goAcquire(context.Background(), 300)
				b.until(3 * time.Second)
				next.admittedAt(3 * time.Second)
				if got := <-recovered; got != nil && got != "estimate" {
					b.Errorf("the caller's panic is %v", got)
				}
				equal(b, "waiting", b.Snapshot().Waiting, 0)
			})
		})
	}
}

// An Estimate function may use the limiter, and may even end its own wait.
func TestEstimateUsesTheLimiter(t *testing.T) {
	runVirtual(t, hundredASecond, func(b *testLimiter) {
		b.use(6000)
		ctx, cancel := context.WithCancel(context.Background())
		call := b.goDo(func() (*limiter.Permit, error) {
			return b.AcquireCall(ctx, limiter.Call{Prompt: 300, Estimate: func() (int, int) {
				s := b.Snapshot()
				b.WaitTime(100)
				if err := b.SetLimit(s.Limit); err != nil {
					b.Error(err)
				}
				cancel()
				return 10 * s.Waiting, 0
			}})
		})
		next := b.goAcquire(context.Background(), 300)
		b.until(4 * time.Second)
		if o := call.result.Load(); o == nil || o.err == nil && o.permit.Tokens() != 20 {
			b.Errorf("the call is %+v", o)
		}
		if o := next.result.Load(); o == nil || o.err != nil {
			b.Errorf("the next call is %+v", o)
		}
		equal(b, "waiting", b.Snapshot().Waiting, 0)
	})
}

// A lower limit ends the wait of a call only if its new estimate does not fit, anywhere in the queue.
func TestEstimateUnderALowerLimit(t *testing.T) {
	runVirtual(t, hundredASecond, func(b *testLimiter) {
		b.use(6000)
		head, ofHead := b.goEstimated(3000)
		second, ofSecond := b.goEstimated(3000)
		third, _ := b.goEstimated(3000)
		plain := b.goAcquire(context.Background(), 3000)
		ofHead.tokens.Store(600)
		ofSecond.tokens.Store(600)
		if err := b.SetLimit(limiter.Limit{RequestsPerSecond: limiter.MaxRequests, TokensPerMinute: 600}); err != nil {
			b.Fatal(err)
		}
		synctest.Wait()
		third.wantTooLarge()
		plain.wantTooLarge()
		b.until(2 * time.Minute)
		head.admittedAt(time.Minute)
		second.admittedAt(2 * time.Minute)
	})
}

// A call is estimated again before it is backfilled.
func TestEstimateBeforeBackfill(t *testing.T) {
	for name, test := range map[string]struct {
		again int64
		want  time.Duration
	}{"it still fits": {2000, 10 * time.Second}, "it no longer fits": {12_000, time.Minute}} {
		t.Run(name, func(t *testing.T) {
			runVirtual(t, minute60k, func(b *testLimiter) {
				b.use(50_000)
				other := b.acquire(8000)
				b.until(time.Second)
				head := b.goAcquire(context.Background(), 40_000)
				small, estimate := b.goEstimated(4000)
				small.waiting()
				estimate.tokens.Store(test.again)
				b.until(10 * time.Second)
				other.Settle(1000) // 4000 fit now
				synctest.Wait()
				if test.want < time.Minute {
					small.admittedAt(test.want)
				} else {
					small.waiting()
				}
				b.until(time.Minute)
				head.admittedAt(time.Minute)
				head.result.Load().permit.Cancel()
				synctest.Wait()
				small.admittedAt(test.want)
				if n := estimate.estimates.Load(); n < 1 || n > 3 {
					b.Errorf("estimated %d times", n)
				}
			}, guarded)
		})
	}
}

// A small change of the estimate is ignored for a large call at the head, for which other calls were
// backfilled or held back.
func TestEstimateChangesSlightly(t *testing.T) {
	for name, test := range map[string]struct{ again, want int }{
		"much less":     {34_999, 34_999},
		"slightly less": {35_000, 40_000},
		"slightly more": {45_000, 40_000},
		"much more":     {45_001, 45_001},
	} {
		t.Run(name, func(t *testing.T) {
			runVirtual(t, minute60k, func(b *testLimiter) {
				b.use(50_000)
				b.until(time.Second)
				head, estimate := b.goEstimated(40_000)
				estimate.tokens.Store(int64(test.again))
				b.until(5 * time.Second)
				b.use(1000) // backfilled
				b.until(time.Minute)
				head.admittedAt(time.Minute)
				p := head.result.Load().permit
				equal(b, "tokens of the permit", p.Tokens(), test.want)
				equal(b, "tokens that are held", b.Snapshot().HeldTokens, test.want)
				p.Settle(test.want)
				equal(b, "tokens that are held at the end", b.Snapshot().HeldTokens, 0)
			}, guarded)
		})
	}
}

// The limiter estimates only the calls whose turn it is, regardless of the number of waiters.
func TestEstimatesOfManyWaiters(t *testing.T) {
	const waiters = 3000
	runVirtual(t, limiter.Limit{RequestsPerSecond: 100, TokensPerMinute: unlimitedRate}, func(b *testLimiter) {
		e := new(estimator)
		e.tokens.Store(5)
		var kept atomic.Int64
		var wg sync.WaitGroup
		for range waiters {
			wg.Go(func() {
				p, err := b.AcquireCall(context.Background(), limiter.Call{Prompt: 7, Estimate: e.estimate})
				if err != nil {
					b.Error(err)
					return
				}
				if p.Tokens() == 7 {
					kept.Add(1)
				}
				p.Settle(1)
			})
		}
		wg.Wait()
		equal(b, "calls of the first burst, which keep their estimate", kept.Load(), 100)
		// Of each hundred between the first and the last, one is estimated twice: as the head, and
		// a second later, when it starts.
		equal(b, "estimates", e.estimates.Load(), waiters-100+waiters/100-2)
		s := b.Snapshot()
		equal(b, "settled", s.Settled, waiters)
		equal(b, "in flight, held and waiting", s.InFlight+s.HeldTokens+s.Waiting, 0)
	}, guarded)
}

// wantTooLarge checks that the call failed with a TooLargeError at the start.
func (p *asyncCall) wantTooLarge() {
	p.b.Helper()
	if o := p.result.Load(); o == nil || o.at != 0 || !errors.As(o.err, new(*limiter.TooLargeError)) {
		p.b.Errorf("the call is %+v, want a TooLargeError at 0", o)
	}
}

// A small change of the estimate counts if the bucket could not hold the previous estimate.
func TestEstimateThatALowerLimitCuts(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 10, TokensPerMinute: 60_000}, func(b *testLimiter) {
		b.use(30_000)
		b.until(5 * time.Second)
		head := b.goDo(func() (*limiter.Permit, error) {
			return b.AcquireCall(b.Context(), limiter.Call{Prompt: 60_000, Estimate: func() (int, int) { return b.Limit().TokenBurst, 0 }})
		})
		next := b.goAcquire(b.Context(), 10)
		b.until(8 * time.Second)
		if err := b.SetLimit(limiter.Limit{RequestsPerSecond: 10, TokensPerMinute: 55_000}); err != nil {
			b.Fatal(err)
		}
		b.until(time.Hour)
		if head.result.Load() == nil {
			b.Fatalf("the head still waits: %v", b.Snapshot())
		}
		head.result.Load().permit.Settle(0)
		b.until(2 * time.Hour)
		if next.result.Load() == nil {
			b.Errorf("the next call still waits: %v", b.Snapshot())
		}
	}, guarded)
}
