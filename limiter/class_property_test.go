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

// A classCall is a call of a class in a random schedule, and what became of it.
type classCall struct {
	class             string
	arrives, patience time.Duration // patience 0: for ever
	takes             time.Duration
	tokens            int
	fate              int

	admitted bool
	ended    time.Duration // its wait, since the start
}

const (
	fateExact = iota
	fateLess
	fateMore
	fateCancel
	fateReturned // then retried
	fateRefused  // then retried
	fates
)

var classWeights = map[string]float64{limiter.Interactive: 9, limiter.Batch: 1, "heavy": 100, "light": 0.2}

// drawClassCalls draws calls of all fates up to the given one, in the order in which they arrive.
func genClassCalls(r *rapid.T, lastFate int) []classCall {
	calls := rapid.SliceOfN(rapid.Custom(func(r *rapid.T) classCall {
		c := classCall{
			class:   rapid.SampledFrom([]string{limiter.Interactive, limiter.Batch, "heavy", "light"}).Draw(r, "class"),
			arrives: time.Duration(rapid.IntRange(0, 20_000).Draw(r, "arrives")) * ms,
			takes:   time.Duration(rapid.IntRange(0, 5000).Draw(r, "takes")) * ms,
			tokens:  rapid.SampledFrom([]int{0, 1, 50, 300, 1000}).Draw(r, "tokens"),
			fate:    rapid.IntRange(0, lastFate).Draw(r, "fate"),
		}
		if rapid.IntRange(0, 4).Draw(r, "patient") == 0 {
			c.patience = time.Duration(rapid.IntRange(1, 30_000).Draw(r, "patience")) * ms
		}
		return c
	}), 1, 60).Draw(r, "calls")
	slices.SortStableFunc(calls, func(a, b classCall) int { return int(a.arrives - b.arrives) })
	for i := range calls {
		calls[i].arrives += time.Duration(i) * 1009 // no two at once
	}
	return calls
}

// play makes the calls, and returns when all have ended. If one never does, all goroutines of the bubble wait for
// ever, and the test fails.
func (b *testLimiter) play(calls []classCall) {
	var all sync.WaitGroup
	for i := range calls {
		c := &calls[i]
		b.until(c.arrives)
		all.Go(func() {
			ctx, cancel := context.WithCancel(context.Background())
			defer cancel()
			if c.patience > 0 {
				ctx, cancel = context.WithTimeout(ctx, c.patience)
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
			switch c.fate {
			case fateReturned:
				p.ReturnRequest()
			case fateRefused:
				p.Throttled(limiter.Throttle{Requests: true, RetryAfter: time.Second})
			}
			if c.fate >= fateReturned {
				if err := p.Retry(context.Background()); err != nil {
					b.Errorf("retry of call %d: %v", i, err)
				}
				time.Sleep(c.takes)
			}
			switch c.fate {
			case fateCancel:
				p.Cancel()
			case fateLess:
				p.Settle(c.tokens / 3)
			case fateMore:
				p.Settle(2 * c.tokens)
			default:
				p.Settle(c.tokens)
			}
		})
		synctest.Wait()
	}
	all.Wait()
}

// inOrder returns the first call that starts before one of its class that came earlier, -1 if there is none.
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

// While calls of two classes wait, neither class gets more than its share but for one call: so no class starves. This is
// the bound that "start-time fair queueing" has (Goyal, Vin and Cheng, 1996, theorem 1).
func TestNoClassStarves(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		limit := limiter.Limit{RequestsPerSecond: rapid.SampledFrom([]float64{0.5, 2, 5}).Draw(r, "rps"), TokensPerMinute: 10_000, TokenBurst: 1000}
		calls := genClassCalls(r, fateExact)
		runVirtual(t, limit, func(b *testLimiter) { b.play(calls) }, limiter.Classes(classWeights))
		if i := inOrder(calls); i >= 0 {
			r.Fatalf("call %d starts before one that came earlier: %+v", i, calls)
		}

		share := func(c classCall) float64 {
			return max(1/limit.RequestsPerSecond, 60*float64(c.tokens)/float64(limit.TokensPerMinute)) / classWeights[c.class]
		}
		waits := func(class string, at time.Duration) bool {
			return slices.ContainsFunc(calls, func(c classCall) bool { return c.class == class && c.arrives < at && at < c.ended })
		}
		largest := map[string]float64{}
		var times []time.Duration // between two of them nothing happens
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
				both := func(i int) bool { // wait from times[i] on
					if i+1 >= len(times) {
						return false
					}
					middle := times[i] + (times[i+1]-times[i])/2
					return waits(first, middle) && waits(second, middle)
				}
				for i := range times {
					ahead := 0.0
					for j := i; both(j) && both(j+1); j++ { // at times[j+1] too, since calls of both wait still
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
							r.Fatalf("from %v to %v %q gets %v more than %q for its weight, want %v at most: %+v",
								times[i], times[j+1], first, ahead, second, largest[first]+largest[second], calls)
						}
					}
				}
			}
		}
	})
}

// Whatever happens to calls of all classes, every wait ends, those of a class start in order, and nothing is lost: no
// permit, no token, and nobody who waits.
func TestClassesConserve(t *testing.T) {
	type disturbance struct {
		kind, n int
		at      time.Duration
	}
	for kind, options := range map[string][]limiter.Option{"bare": nil, "guarded": {guarded}, "bounded": {guarded, limiter.MaxInFlight(2)}} {
		t.Run(kind, func(t *testing.T) {
			rapid.Check(t, func(r *rapid.T) {
				calls := genClassCalls(r, fates-1)
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

				var admitted, refused, taken int64
				for _, c := range calls {
					if !c.admitted {
						refused++
						continue
					}
					admitted++
					taken += int64(c.tokens)
				}
				switch {
				case end.Waiting != 0 || end.InFlight != 0 || end.HeldTokens != 0:
					r.Fatalf("something is left: %+v", end)
				case end.Admitted != admitted || end.Abandoned > refused: // one that is too large at once does not wait
					r.Fatalf("%d calls are admitted and %d are not: %+v", admitted, refused, end)
				case end.TokensSettled+end.TokensRefunded-end.TokensCharged != taken:
					r.Fatalf("%d tokens are taken: %+v", taken, end)
				}
				if i := inOrder(calls); kind == "bare" && i >= 0 {
					r.Fatalf("call %d starts before one that came earlier: %+v", i, calls)
				}
			})
		})
	}
}
