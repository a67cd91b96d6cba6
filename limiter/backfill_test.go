package limiter_test

import (
	"context"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// A large call waits until the first 50,000 tokens leave the window, at 60 s. Until then smaller calls use
// the tokens that are too few for it. The large call starts at the same time in both cases.
func TestBackfillBehindALargeHead(t *testing.T) {
	for name, small := range map[string]bool{"without small calls": false, "with small calls": true} {
		t.Run(name, func(t *testing.T) {
			runVirtual(t, minute60k, func(b *testLimiter) {
				b.use(50_000)
				b.until(time.Second)
				head := b.goAcquire(b.Context(), 40_000)
				if small {
					b.until(2 * time.Second)
					b.use(1000)
					equal(b, "first", b.now(), 2*time.Second)
					next := b.goAcquire(b.Context(), 9500) // 51,000 are used, so it waits
					b.until(4 * time.Second)
					b.use(1000) // goes ahead of both
					equal(b, "second", b.now(), 4*time.Second)
					equal(b, "backfilled", b.Snapshot().Backfilled, 2)
					b.until(61 * time.Second)
					next.waiting()
					head.result.Load().permit.Settle(40_000)
					b.until(2 * time.Minute)
					next.admittedAt(61 * time.Second)
					equal(b, "backfilled", b.Snapshot().Backfilled, 2)
				}
				b.until(2 * time.Minute)
				head.admittedAt(time.Minute)
			}, guarded)
		})
	}
}

// Without a guard no call is backfilled.
func TestNoBackfillWithoutGuard(t *testing.T) {
	runVirtual(t, minute60k, func(b *testLimiter) {
		b.use(50_000)
		b.until(time.Second)
		head := b.goAcquire(b.Context(), 40_000)
		small := b.goAcquire(b.Context(), 100)
		none := b.goAcquire(b.Context(), 0)
		b.until(2 * time.Minute)
		head.admittedAt(30 * time.Second)
		small.admittedAt(30*time.Second + 100*ms)
		none.admittedAt(30*time.Second + 100*ms)
		equal(b, "backfilled", b.Snapshot().Backfilled, 0)
	})
}

// Calls of one size start in order, at exact times.
func TestGuardedFirstComeFirstServed(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 600, RequestBurst: 2}, func(b *testLimiter) {
		b.use(300)
		var calls []*asyncCall
		for i := range 6 {
			calls = append(calls, b.goDo(func() (*limiter.Permit, error) {
				p, err := b.Acquire(context.Background(), 300)
				if err == nil {
					p.Settle(300)
				}
				return p, err
			}))
			b.until(time.Duration(i+1) * time.Second)
		}
		b.until(time.Hour)
		for i, want := range []time.Duration{0, 60, 60, 120, 120, 180} {
			calls[i].admittedAt(want * time.Second)
		}
		equal(b, "backfilled", b.Snapshot().Backfilled, 0)
	}, guarded)
}

// Exactly the tokens to spare when the head starts may be used by backfilled calls.
func TestBackfillUsesOnlySpareTokens(t *testing.T) {
	at := func(s time.Duration) time.Duration { return s * time.Second }
	for name, c := range map[string]struct {
		limit limiter.Limit
		setup func(*testLimiter)
		head  int
		spare int // tokens to spare
	}{
		"besides tokens still in the window then": {minute60k, func(b *testLimiter) {
			b.use(30_000)
			b.until(at(10))
			b.use(10_000)
			b.until(at(20))
		}, 35_000, 60_000 - 35_000 - 10_000},
		"besides external usage then": {minute60k, func(b *testLimiter) {
			b.use(30_000)
			b.until(at(20))
			b.reportRemaining(20_000) // other clients used 10,000, of which two thirds count at 60 s
			b.until(at(21))
		}, 45_000, 60_000 - 45_000 - 6667},
		"tokens in the bucket then": {limiter.Limit{RequestsPerSecond: 100, TokensPerMinute: 60_000, TokenBurst: 20_000}, func(b *testLimiter) {
			b.use(20_000)
			b.until(at(20))
			b.use(20_000)
			b.until(at(30))
			b.use(10_000)
			b.until(at(40))
		}, 15_000, 20_000 - 15_000},
		"besides all tokens in flight": {minute60k, func(b *testLimiter) {
			b.acquire(100).Settle(200) // calls use twice their estimate
			b.use(30_000)
			b.until(at(1))
			b.acquire(100)
			b.acquire(8000)
		}, 35_000, 60_000 - 35_000 - 2*100 - 8000 - int(math.Ceil(3.5*math.Sqrt(100*100+(200*200-100*100)/64.0)))},
		"calls that use less than their estimate count in full": {minute60k, func(b *testLimiter) {
			b.acquire(100).Settle(50)
			b.use(30_000)
			b.until(at(1))
			b.acquire(100)
		}, 55_000, 60_000 - 55_000 - 100 - int(math.Ceil(3.5*math.Sqrt(100*100+(50*50-100*100)/64.0)))},
		"the head waits for a call in flight": {minute60k, func(b *testLimiter) {
			b.acquire(40_000)
		}, 55_000, 60_000 - 55_000},
		"the head waits for the larger of two calls": {minute60k, func(b *testLimiter) {
			b.acquire(10_000)
			b.acquire(20_000)
		}, 45_000, 60_000 - 45_000 - 10_000},
		"the larger call came first": {minute60k, func(b *testLimiter) {
			b.acquire(20_000)
			b.acquire(10_000)
		}, 45_000, 60_000 - 45_000 - 10_000},
		"one of three calls has ended": {minute60k, func(b *testLimiter) {
			b.acquire(9000)
			p := b.acquire(12_000)
			b.acquire(8000)
			p.Cancel()
		}, 50_000, 60_000 - 50_000 - 8000},
		"the larger call has ended": {minute60k, func(b *testLimiter) {
			b.acquire(9000)
			b.acquire(8000)
			b.acquire(12_000).Cancel()
		}, 50_000, 60_000 - 50_000 - 8000},
		"the head waits for both calls": {minute60k, func(b *testLimiter) {
			b.acquire(10_000)
			b.acquire(20_000)
		}, 55_000, 0},
		"the head waits for the bucket": {limiter.Limit{RequestsPerSecond: 100, TokensPerMinute: 60_000, TokenBurst: 10_000}, func(b *testLimiter) {
			b.use(10_000)
			b.until(at(2))
		}, 10_000, 0},
		"the head waits for the whole capacity": {minute60k, func(b *testLimiter) {
			b.use(10_000)
			b.until(at(2))
		}, 60_000, 0},
	} {
		for what, d := range map[string]int{"just enough": 0, "one more": 1} {
			if c.spare+d == 0 {
				continue // does not apply to a call without tokens
			}
			t.Run(name+"/"+what, func(t *testing.T) {
				runVirtual(t, c.limit, func(b *testLimiter) {
					c.setup(b)
					head := b.goAcquire(b.Context(), c.head)
					call := b.goAcquire(b.Context(), c.spare+d)
					head.waiting()
					if d == 0 {
						call.admittedAt(b.now())
					} else {
						call.waiting()
					}
				}, guarded)
			})
		}
	}
}

// Many small calls share 5000 spare tokens, minus the headroom of 350 for calls of that size.
func TestSpareIsUsedUp(t *testing.T) {
	runVirtual(t, minute60k, func(b *testLimiter) {
		b.use(30_000)
		b.until(time.Second)
		head := b.goAcquire(b.Context(), 55_000)
		for i := range time.Duration(46) {
			b.until((2 + i) * time.Second)
			b.use(100)
			equal(b, "admission", b.now(), (2+i)*time.Second)
		}
		b.until(48 * time.Second)
		late := b.goAcquire(b.Context(), 100)
		none := b.goAcquire(b.Context(), 0) // needs no tokens, so it is backfilled as well
		b.until(70 * time.Second)
		head.admittedAt(time.Minute)
		late.waiting()
		head.result.Load().permit.Settle(55_000)
		b.until(2 * time.Minute)
		late.admittedAt(70 * time.Second)
		none.admittedAt(48 * time.Second)
	}, guarded)
}

// The request of a backfilled call must have left the window when the head starts. A call that waits for
// its own request is backfilled as soon as one is available.
func TestBackfillNeedsASpareRequest(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 60_000}, func(b *testLimiter) {
		b.use(50_000)
		b.until(10 * time.Second)
		head := b.goAcquire(b.Context(), 40_000)
		first := b.goAcquire(b.Context(), 100)
		second := b.goAcquire(b.Context(), 100)
		b.until(58*time.Second + 950*ms)
		third := b.goAcquire(b.Context(), 100) // leaves the window as the head starts
		b.until(59 * time.Second)
		fourth := b.goAcquire(b.Context(), 100)
		b.until(2 * time.Minute)
		head.admittedAt(time.Minute)
		first.admittedAt(10 * time.Second)
		second.admittedAt(11*time.Second + 50*ms)
		third.admittedAt(58*time.Second + 950*ms)
		fourth.admittedAt(61*time.Second + 50*ms)
		equal(b, "backfilled", b.Snapshot().Backfilled, 3)
	}, guarded)
}

// If a request becomes available only shortly before the head starts, no call is backfilled.
func TestNoBackfillShortlyBeforeTheHead(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 60_000}, func(b *testLimiter) {
		b.use(50_000)
		b.until(58*time.Second + 500*ms)
		b.use(100)
		head := b.goAcquire(b.Context(), 40_000)
		call := b.goAcquire(b.Context(), 100) // its request is available at 59.55 s
		b.until(2 * time.Minute)
		head.admittedAt(time.Minute)
		call.admittedAt(61*time.Second + 50*ms)
	}, guarded)
}

// A call is not backfilled if it would take the head's request.
func TestBackfillNeverTakesTheHeadsRequest(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 60_000}, func(b *testLimiter) {
		b.use(50_000)
		b.until(59 * time.Second)
		head := b.goAcquire(b.Context(), 40_000)
		call := b.goAcquire(b.Context(), 100)
		b.until(2 * time.Minute)
		head.admittedAt(time.Minute)
		call.admittedAt(61*time.Second + 50*ms)
	}, guarded)
}

// No call is backfilled during a pause.
func TestNoBackfillDuringAPause(t *testing.T) {
	runVirtual(t, minute60k, func(b *testLimiter) {
		b.use(50_000)
		b.Pause(b.start.Add(10 * time.Second))
		head := b.goAcquire(b.Context(), 40_000)
		call := b.goAcquire(b.Context(), 100)
		b.until(10*time.Second - 1)
		call.waiting()
		b.until(2 * time.Minute)
		head.admittedAt(time.Minute)
	}, guarded)
}

// A head without tokens waits only for a request, so no call is backfilled.
func TestNoBackfillForAHeadWithoutTokens(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 0.08, TokensPerMinute: 60_000}, func(b *testLimiter) {
		b.use(100)
		head := b.goAcquire(b.Context(), 0)
		call := b.goAcquire(b.Context(), 100)
		b.until(time.Minute)
		head.admittedAt(12550 * ms)
		call.admittedAt(25100 * ms)
		equal(b, "backfilled", b.Snapshot().Backfilled, 0)
	}, guarded)
}

// Backfilling examines 32 waiters behind the head.
func TestBackfillDepth(t *testing.T) {
	for behind, passes := range map[int]bool{31: true, 32: false} {
		t.Run(fmt.Sprint(behind), func(t *testing.T) {
			runVirtual(t, minute60k, func(b *testLimiter) {
				b.use(50_000)
				for range 1 + behind {
					b.goAcquire(b.Context(), 40_000).waiting()
				}
				call := b.goAcquire(b.Context(), 100)
				equal(b, "backfilled", call.result.Load() != nil, passes)
			}, guarded)
		})
	}
}

// A flood of small calls, each followed by another, with some large calls among them. A large call starts
// at the latest when all tokens used before it have left the window and all calls in flight before it
// have ended.
func TestLargeCallIsNotStarved(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		var (
			small       = rapid.IntRange(50, 2000).Draw(r, "small")
			large       = rapid.IntRange(7501, 50_000).Draw(r, "large")
			callers     = rapid.IntRange(1, 20).Draw(r, "callers")
			maxDuration = time.Duration(rapid.IntRange(10, 5000).Draw(r, "max duration")) * ms
			arrives     = time.Duration(rapid.IntRange(1, 200_000).Draw(r, "arrives")) * ms
			accuracy    = rapid.IntRange(50, 100).Draw(r, "accuracy") // percent
		)
		var waited time.Duration
		runVirtual(t, minute60k, func(b *testLimiter) {
			done := make(chan struct{})
			var wg sync.WaitGroup
			defer wg.Wait()
			for i := range time.Duration(callers) {
				wg.Go(func() {
					for n := i; ; n++ {
						select {
						case <-done:
							return
						default:
						}
						p := b.acquire(small)
						time.Sleep(maxDuration*(n%7+1)/7 + i)
						p.Settle(small * accuracy / 100)
					}
				})
			}
			time.Sleep(arrives)
			p := b.acquire(large)
			waited = p.WaitDuration()
			p.Settle(large)
			close(done)
		}, guarded)
		// The calls of the flood that came earlier start earlier and fit in another minute. A tenth
		// of a second allows for merged window entries.
		if maximum := 2*(time.Minute+maxDuration) + 200*ms; waited > maximum {
			r.Fatalf("waited %v, more than %v", waited, maximum)
		}
	})
}
