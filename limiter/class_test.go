package limiter_test

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// A callerGroup is the callers of one class and their usage.
type callerGroup struct {
	class   string
	callers int
	tokens  func(*rand.Rand) int // estimate of a call, which uses 50–100% of it

	mu    sync.Mutex
	used  float64 // account time in seconds
	calls int
	waits []time.Duration
}

// work lets the callers of all groups make calls of two seconds until the given time.
func (b *testLimiter) work(end time.Duration, crowds ...*callerGroup) {
	var all sync.WaitGroup
	for i, c := range crowds {
		for j := range c.callers {
			random := rand.New(rand.NewPCG(uint64(i), uint64(j)))
			all.Go(func() {
				for b.now() < end {
					tokens := c.tokens(random)
					p, err := b.AcquireCall(context.Background(), limiter.Call{Prompt: tokens, Class: c.class})
					if err != nil {
						b.Error(err)
						return
					}
					time.Sleep(2 * time.Second)
					actual := tokens/2 + random.IntN(tokens/2+1)
					p.Settle(actual)
					if b.now() > end {
						return // the other callers have stopped
					}
					limit := b.Limit()
					c.mu.Lock()
					c.calls++
					c.used += max(1/limit.RequestsPerSecond, 60*float64(actual)/float64(limit.TokensPerMinute))
					c.waits = append(c.waits, p.WaitDuration())
					c.mu.Unlock()
				}
			})
		}
	}
	all.Wait()
}

func small(*rand.Rand) int   { return 50 }
func big(r *rand.Rand) int   { return 4000 + r.IntN(4000) }
func mixed(r *rand.Rand) int { return []int{50, 500, 8000}[r.IntN(3)] }

// While calls of both classes wait, each class gets its share, for any mix of call sizes.
func TestClassShares(t *testing.T) {
	for name, sizes := range map[string][2]func(*rand.Rand) int{
		"small": {small, small}, "large": {big, big}, "mixed": {mixed, mixed}, "small and large": {small, big}, "large and small": {big, small},
	} {
		for kind, options := range map[string][]limiter.Option{"bare": nil, "guarded": {guarded}} {
			t.Run(name+", "+kind, func(t *testing.T) {
				runVirtual(t, limiter.Limit{RequestsPerSecond: 5, TokensPerMinute: 100_000}, func(b *testLimiter) {
					light, heavy := &callerGroup{class: "light", callers: 60, tokens: sizes[0]}, &callerGroup{class: "heavy", callers: 60, tokens: sizes[1]}
					b.work(10*time.Minute, light, heavy)
					if share := heavy.used / (light.used + heavy.used); math.Abs(share-0.8) > 0.05*0.8 {
						t.Errorf("the class of weight 4 got a share of %.3f, want 0.8", share)
					}
				}, append(options, limiter.Classes(map[string]float64{"light": 1, "heavy": 4}))...)
			})
		}
	}
}

// An interactive caller does not wait behind a batch.
func TestInteractiveBesideBatch(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 5, TokensPerMinute: 1_000_000}, func(b *testLimiter) {
		person, batch := &callerGroup{callers: 1, tokens: small}, &callerGroup{class: limiter.Batch, callers: 300, tokens: small}
		b.work(10*time.Minute, person, batch)
		slices.Sort(person.waits)
		if wait := person.waits[len(person.waits)*95/100]; wait > time.Second+50*ms+100*ms {
			t.Errorf("the 95th percentile of waits is %v, want at most a window", wait)
		}
		if total := person.calls + batch.calls; total < 5*600*95/100 {
			t.Errorf("%d calls in ten minutes: the batch does not use the remaining capacity", total)
		}
		t.Logf("person: %d calls, batch: %d", person.calls, batch.calls)
	}, guarded)
}

// A class that was idle gets its share from then on, without a credit for the idle time.
func TestClassHasNoCredit(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 10, TokensPerMinute: unlimitedRate}, func(b *testLimiter) {
		alone := &callerGroup{class: limiter.Batch, callers: 60, tokens: small}
		b.work(5*time.Minute, alone)
		if alone.calls < 2980 { // the calls of the last two seconds have not ended
			t.Errorf("the batch alone made %d calls in five minutes, want 2980", alone.calls)
		}
		batch, people := &callerGroup{class: limiter.Batch, callers: 60, tokens: small}, &callerGroup{class: limiter.Interactive, callers: 60, tokens: small}
		b.work(6*time.Minute, batch, people)
		if share := people.used / (people.used + batch.used); math.Abs(share-0.9) > 0.05 {
			t.Errorf("the class that was idle has a share of %.3f, want 0.9", share)
		}
	})
}

func TestUnknownClass(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 1000}, func(b *testLimiter) {
		_, err := b.AcquireCall(b.Context(), limiter.Call{Class: "bulk"})
		var unknown *limiter.ClassError
		if !errors.As(err, &unknown) || unknown.Class != "bulk" || !slices.Equal(unknown.Known, []string{"batch", "interactive", "night"}) {
			t.Errorf("error %v", err)
		}
		equal(b, "abandoned", b.Snapshot().Abandoned, 0)
		for _, class := range []string{"", limiter.Interactive, limiter.Batch, "night"} {
			if p, err := b.AcquireCall(b.Context(), limiter.Call{Class: class}); err != nil {
				t.Errorf("class %q: %v", class, err)
			} else {
				p.Cancel()
			}
		}
	}, limiter.Classes(map[string]float64{"night": 0.1}))
	for _, weights := range []map[string]float64{{"": 1}, {"a": 0}, {"a": -1}, {"a": math.NaN()}, {"a": math.Inf(1)}, {"a": 1e7}, {limiter.Batch: 0}} {
		if l, err := limiter.New(limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 1}, limiter.Classes(weights)); err == nil {
			t.Errorf("New accepted the classes %v: limit %v", weights, l.Limit())
		}
	}
}

// A retry already holds its tokens. It never waits behind a call that waits for tokens.
func TestRetriesGoFirst(t *testing.T) {
	for name, ahead := range map[string]func(b *testLimiter, early context.Context) *asyncCall{
		"a call of another class": func(b *testLimiter, _ context.Context) *asyncCall { return b.goAcquire(b.Context(), 50_000) },
		"a call of an earlier run": func(b *testLimiter, early context.Context) *asyncCall {
			return b.goDo(func() (*limiter.Permit, error) {
				return b.AcquireCall(early, limiter.Call{Prompt: 50_000, Class: limiter.Batch})
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			runVirtual(t, limiter.Limit{RequestsPerSecond: 100, TokensPerMinute: 60_000}, func(b *testLimiter) {
				early := limiter.WithPlace(b.Context())
				limiter.PlaceOf(early)
				var permits []*limiter.Permit
				for range 20 {
					p, err := b.AcquireCall(b.Context(), limiter.Call{Prompt: 2900, Class: limiter.Batch})
					if err != nil {
						b.Fatal(err)
					}
					permits = append(permits, p)
				}
				large := ahead(b, early)
				var retries []*asyncCall
				for _, p := range permits {
					p.Throttled(limiter.Throttle{Requests: true, RetryAfter: time.Second})
					retries = append(retries, b.goRetry(b.Context(), p))
				}
				b.until(time.Minute)
				for i, retry := range retries {
					if retry.result.Load() == nil {
						b.Fatalf("retry %d still waits: %v", i, b.Snapshot())
					}
					permits[i].Settle(0)
				}
				b.until(3 * time.Minute)
				if large.result.Load() == nil {
					b.Errorf("the large call still waits: %v", b.Snapshot())
				}
			}, guarded)
		})
	}
}

// A refund of a class is at most the charge of its calls, even if the limit was lowered in between.
func TestClassHasNoCreditFromALowerLimit(t *testing.T) {
	for name, end := range map[string]func(*limiter.Permit){
		"cancelled": (*limiter.Permit).Cancel, "settled": func(p *limiter.Permit) { p.Settle(0) },
	} {
		t.Run(name, func(t *testing.T) {
			runVirtual(t, limiter.Limit{RequestsPerSecond: 100, TokensPerMinute: 6_000_000, RequestBurst: 100}, func(b *testLimiter) {
				var permits []*limiter.Permit
				for range 100 {
					permits = append(permits, b.acquire(10_000)) // 0.1 s of account time
				}
				low := limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 60_000, RequestBurst: 1, TokenBurst: 60_000} // now 10 s
				if err := b.SetLimit(low); err != nil {
					b.Fatal(err)
				}
				time.AfterFunc(time.Second, func() { // while calls wait
					for _, p := range permits {
						end(p)
					}
				})
				people, batch := &callerGroup{callers: 200, tokens: small}, &callerGroup{class: limiter.Batch, callers: 30, tokens: small}
				b.work(10*time.Minute, people, batch)
				if share := batch.used / (people.used + batch.used); share < 0.09 {
					b.Errorf("the batch has a share of %.3f, want 0.1", share)
				}
			})
		})
	}
}
