package limiter_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// A classCall is a call of a class in a random schedule, and its result.
type classCall struct {
	class            string
	arrives, timeout time.Duration // timeout 0: no timeout
	takes            time.Duration
	tokens           int
	ending           int

	admitted bool
	ended    time.Duration // when its wait ended, since the start
}

const (
	endExact = iota
	endLess
	endMore
	endCancel
	endReturned  // then retried
	endThrottled // then retried
	endings
)

var classWeights = map[string]float64{limiter.Interactive: 9, limiter.Batch: 1, "heavy": 100, "light": 0.2}

// genClassCalls generates calls with endings up to the given one, in the order of arrival.
func genClassCalls(r *rapid.T, lastEnding int) []classCall {
	calls := rapid.SliceOfN(rapid.Custom(func(r *rapid.T) classCall {
		c := classCall{
			class:   rapid.SampledFrom([]string{limiter.Interactive, limiter.Batch, "heavy", "light"}).Draw(r, "class"),
			arrives: time.Duration(rapid.IntRange(0, 20_000).Draw(r, "arrives")) * ms,
			takes:   time.Duration(rapid.IntRange(0, 5000).Draw(r, "takes")) * ms,
			tokens:  rapid.SampledFrom([]int{0, 1, 50, 300, 1000}).Draw(r, "tokens"),
			ending:  rapid.IntRange(0, lastEnding).Draw(r, "ending"),
		}
		if rapid.IntRange(0, 4).Draw(r, "has timeout") == 0 {
			c.timeout = time.Duration(rapid.IntRange(1, 30_000).Draw(r, "timeout")) * ms
		}
		return c
	}), 1, 60).Draw(r, "calls")
	slices.SortStableFunc(calls, func(a, b classCall) int { return int(a.arrives - b.arrives) })
	for i := range calls {
		calls[i].arrives += time.Duration(i) * 1009 // distinct arrival times
	}
	return calls
}

// play makes the calls and returns when all have ended. If one never ends, all goroutines are blocked and
// synctest fails the test.
func (b *testLimiter) play(calls []classCall) {
	var all sync.WaitGroup
	for i := range calls {
		c := &calls[i]
		b.until(c.arrives)
		all.Go(func() {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if c.timeout > 0 {
				ctx, cancel = context.WithTimeout(ctx, c.timeout)
				defer cancel()
			}
			p, err := b.AcquireCall(ctx, limiter.Call{Prompt: c.tokens, Class: c.class})
			c.admitted, c.ended = err == nil, b.now()
			if err != nil {
				if tooLarge := new(limiter.TooLargeError); ctx.Err() == nil && !errors.As(err, &tooLarge) {
					b.Errorf("call %d: %v", i, err)
				}
				return
			}
			time.Sleep(c.takes)
			switch c.ending {
			case endReturned:
				p.ReturnRequest()
			case endThrottled:
				p.Throttled(limiter.Throttle{Requests: true, RetryAfter: time.Second})
			}
			if c.ending >= endReturned {
				if err := p.Retry(context.Background()); err != nil {
					b.Errorf("retry of call %d: %v", i, err)
				}
				time.Sleep(c.takes)
			}
			switch c.ending {
			case endCancel:
				p.Cancel()
			case endLess:
				p.Settle(c.tokens / 3)
			case endMore:
				p.Settle(2 * c.tokens)
			default:
				p.Settle(c.tokens)
			}
		})
		synctest.Wait()
	}
	all.Wait()
}

// inOrder returns the first call that starts before an earlier call of its class, or -1.
func inOrder(calls []classCall) int {
	latest := map[string]time.Duration{}
	for i, c := range calls {
		if !c.admitted {
			continue
		}
		if c.ended < latest[c.class] {
			return i
		}
		latest[c.class] = c.ended
	}
	return -1
}

// While calls of two classes wait, neither class exceeds its share by more than one call. So no class
// starves. Start-time fair queueing has this bound: theorem 1 of Goyal, Vin and Cheng, 1996.
func TestNoClassStarves(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		limit := limiter.Limit{RequestsPerSecond: rapid.SampledFrom([]float64{0.5, 2, 5}).Draw(r, "rps"), TokensPerMinute: 10_000, TokenBurst: 1000}
		calls := genClassCalls(r, endExact)
		runVirtual(t, limit, func(b *testLimiter) { b.play(calls) }, limiter.Classes(classWeights))
		if i := inOrder(calls); i >= 0 {
			r.Fatalf("call %d starts before an earlier call of its class: %+v", i, calls)
		}

		share := func(c classCall) float64 {
			return max(1/limit.RequestsPerSecond, 60*float64(c.tokens)/float64(limit.TokensPerMinute)) / classWeights[c.class]
		}
		waits := func(class string, at time.Duration) bool {
			return slices.ContainsFunc(calls, func(c classCall) bool { return c.class == class && c.arrives < at && at < c.ended })
		}
		largest := map[string]float64{}
		var times []time.Duration // of all events
		for _, c := range calls {
			largest[c.class] = max(largest[c.class], share(c))
			times = append(times, c.arrives, c.ended)
		}
		slices.Sort(times)
		times = slices.Compact(times)
		for first := range classWeights {
			for second := range classWeights {
				if first == second {
					continue
				}
				both := func(i int) bool { // whether both classes wait from times[i] on
					if i+1 >= len(times) {
						return false
					}
					middle := times[i] + (times[i+1]-times[i])/2
					return waits(first, middle) && waits(second, middle)
				}
				for i := range times {
					ahead := 0.0
					for j := i; both(j) && both(j+1); j++ { // also at times[j+1], because both still wait
						for _, c := range calls {
							switch {
							case !c.admitted || c.ended != times[j+1]:
							case c.class == first:
								ahead += share(c)
							case c.class == second:
								ahead -= share(c)
							}
						}
						if ahead > largest[first]+largest[second]+1e-9 {
							r.Fatalf("from %v to %v class %q gets %v more per weight than %q, want at most %v: %+v",
								times[i], times[j+1], first, ahead, second, largest[first]+largest[second], calls)
						}
					}
				}
			}
		}
	})
}

// For any schedule of calls of all classes: every wait ends, calls of a class start in order, and all
// permits and tokens are accounted for.
func TestClassesConserve(t *testing.T) {
	type disturbance struct {
		kind, n int
		at      time.Duration
	}
	for kind, options := range map[string][]limiter.Option{"bare": nil, "guarded": {guarded}, "bounded": {guarded, limiter.MaxInFlight(2)}} {
		t.Run(kind, func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) {
				calls := genClassCalls(r, endings-1)
				disturbances := rapid.SliceOfN(rapid.Custom(func(r *rapid.T) disturbance {
					return disturbance{rapid.IntRange(0, 3).Draw(r, "kind"), rapid.IntRange(0, 2).Draw(r, "n"), time.Duration(rapid.IntRange(0, 30_000).Draw(r, "at"))*ms + 503}
				}), 0, 8).Draw(r, "disturbances")
				var end limiter.Snapshot
				runVirtual(t, limiter.Limit{RequestsPerSecond: 2, TokensPerMinute: 10_000, TokenBurst: 2000}, func(b *testLimiter) {
					conserved := func() {
						if s := b.Snapshot(); s.Admitted != s.Settled+s.Cancelled+int64(s.InFlight) || s.HeldTokens < 0 || s.InFlight < 0 || s.Waiting < 0 {
							b.Errorf("at %v: %+v", b.now(), s)
						}
					}
					for _, d := range disturbances {
						time.AfterFunc(d.at, func() {
							switch d.kind {
							case 0:
								b.Pause(time.Now().Add(time.Duration(d.n) * time.Second))
							case 1:
								if err := b.SetLimit(limiter.Limit{RequestsPerSecond: []float64{0.5, 2, 20}[d.n], TokensPerMinute: 10_000, TokenBurst: []int{900, 2000, 5000}[d.n]}); err != nil {
									b.Error(err)
								}
							case 2:
								b.reportRemaining(1000 * d.n)
							}
							conserved()
						})
					}
					b.play(calls)
					conserved()
					time.Sleep(31 * time.Second)
					end = b.Snapshot()
				}, append(options, limiter.Classes(classWeights))...)

				var admitted, rejected, taken int64
				for _, c := range calls {
					if !c.admitted {
						rejected++
						continue
					}
					admitted++
					taken += int64(c.tokens)
				}
				switch {
				case end.Waiting != 0 || end.InFlight != 0 || end.HeldTokens != 0:
					r.Fatalf("calls or tokens remain: %+v", end)
				case end.Admitted != admitted || end.Abandoned > rejected: // a call that is too large on arrival does not wait
					r.Fatalf("want %d calls admitted and %d abandoned: %+v", admitted, rejected, end)
				case end.TokensSettled+end.TokensRefunded-end.TokensCharged != taken:
					r.Fatalf("want %d tokens taken: %+v", taken, end)
				}
				if i := inOrder(calls); kind == "bare" && i >= 0 {
					r.Fatalf("call %d starts before an earlier call of its class: %+v", i, calls)
				}
			})
		})
	}
}
