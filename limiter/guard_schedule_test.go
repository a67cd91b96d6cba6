package limiter_test

import (
	"fmt"
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

const ms = time.Millisecond

// A guarded limiter admits as many requests as possible, each at the exact time.
func TestGuardedRequestTiming(t *testing.T) {
	const slow = time.Second*10/12 + 1 // a twelfth of 10 s, rounded up to a nanosecond
	for name, c := range map[string]struct {
		rps, burst float64
		jitter     time.Duration
		atOnce     int
		every      time.Duration
	}{
		"one after the other":                    {rps: 1.2, jitter: 50 * ms, atOnce: 1, every: slow + 50*ms},
		"without jitter":                         {rps: 1.2, atOnce: 1, every: slow},
		"negative jitter counts as 0":            {rps: 1.2, jitter: -time.Second, atOnce: 1, every: slow},
		"five at once":                           {rps: 5, jitter: 50 * ms, atOnce: 5, every: 1050 * ms},
		"slow":                                   {rps: 0.08, jitter: 50 * ms, atOnce: 1, every: 12550 * ms},
		"a minute's requests at once":            {rps: 1, burst: 60, jitter: 50 * ms, atOnce: 60, every: 60050 * ms},
		"rounded down":                           {rps: 0.5, burst: 2.5, jitter: 50 * ms, atOnce: 2, every: 4050 * ms},
		"default":                                {rps: 1, jitter: limiter.DefaultJitter, atOnce: 1, every: 1050 * ms},
		"more jitter than time between requests": {rps: 100, burst: 1, jitter: time.Second, atOnce: 1, every: 1010 * ms},
		"burst below RPS":                        {rps: 5, burst: 2, jitter: 50 * ms, atOnce: 2, every: 450 * ms},
	} {
		t.Run(name, func(t *testing.T) {
			runVirtual(t, limiter.Limit{RequestsPerSecond: c.rps, TokensPerMinute: unlimitedRate, RequestBurst: c.burst}, func(b *testLimiter) {
				for i := range 3*c.atOnce + 100 {
					b.use(i % 2) // calls without tokens are requests too
					equal(b, "admission", b.now(), time.Duration(i/c.atOnce)*c.every)
				}
			}, limiter.Guarded(c.jitter))
		})
	}
}

// Each request leaves the window individually, so requests keep their distances.
func TestGuardedRequestsSlide(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 5, TokensPerMinute: unlimitedRate}, func(b *testLimiter) {
		for i := range time.Duration(20) {
			b.use(1)
			at := i/5*1050*ms + i%5*100*ms
			equal(b, "admission", b.now(), at)
			if i < 4 {
				b.until(at + 100*ms)
			}
		}
	}, guarded)
}

// A snapshot's available requests can actually be taken.
func TestGuardedAvailableRequests(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 5, TokensPerMinute: unlimitedRate}, func(b *testLimiter) {
		b.use(0)
		b.use(0)
		b.available(3, unlimitedRate)
		b.until(1050*ms - 1) // the bucket has been full for long
		b.available(3, unlimitedRate)
		b.until(1050 * ms)
		b.available(5, unlimitedRate)
	}, guarded)
}

// Without a guard, 20,000 more tokens would be admitted every 20 s after the first minute's tokens were used
// at once.
func TestGuardedTokenTiming(t *testing.T) {
	for name, c := range map[string]struct {
		tpm, burst, call int
		want             []time.Duration // s
	}{
		"three per minute":                        {60_000, 0, 20_000, []time.Duration{0, 0, 0, 60, 60, 60, 120}},
		"the whole capacity":                      {60_000, 0, 60_000, []time.Duration{0, 60, 120}},
		"not quite half":                          {60_000, 0, 25_000, []time.Duration{0, 0, 60, 60, 120}},
		"three minutes' tokens at once":           {6000, 18_000, 6000, []time.Duration{0, 0, 0, 180, 180, 180, 360}},
		"a call of three minutes' tokens":         {6000, 18_000, 18_000, []time.Duration{0, 180}},
		"a bucket smaller than a minute's tokens": {60_000, 20_000, 20_000, []time.Duration{0, 20, 40, 60, 80}},
	} {
		t.Run(name, func(t *testing.T) {
			runVirtual(t, limiter.Limit{RequestsPerSecond: 100, TokensPerMinute: c.tpm, TokenBurst: c.burst}, func(b *testLimiter) {
				for _, want := range c.want {
					b.use(c.call)
					equal(b, "admission", b.now(), want*time.Second)
				}
			}, guarded)
		})
	}
}

// Tokens count from the end of a call, and leave the window a minute later.
func TestGuardedTokensCountFromTheEnd(t *testing.T) {
	runVirtual(t, minute60k, func(b *testLimiter) {
		p := b.acquire(40_000)
		w := b.goAcquire(b.Context(), 30_000)
		b.until(50 * time.Second) // the bucket is almost full
		w.waiting()
		p.Settle(40_000)
		b.until(5 * time.Minute)
		w.admittedAt(110 * time.Second)
	}, guarded)
}

// TestGuardedHolds checks the tokens kept free for calls in flight, by the available tokens once the buckets
// are full.
func TestGuardedHolds(t *testing.T) {
	repeat := func(n, tokens int) []int {
		calls := make([]int, n)
		for i := range calls {
			calls[i] = tokens
		}
		return calls
	}
	for name, c := range map[string]struct {
		past     [][2]int // estimate and actual usage
		inFlight []int
		held     float64
	}{
		"nothing":                        {nil, nil, 0},
		"no tokens":                      {nil, repeat(10, 0), 0},
		"a fifth, and 3.5 of their size": {nil, repeat(20, 1000), 0.2*20_000 + 3500},
		"large calls, and a quarter":     {nil, repeat(2, 20_000), 50_000},
		"an eighth is not large":         {nil, []int{7500}, 0.2*7500 + 3.5*7500},
		"more than an eighth is large":   {nil, []int{7501}, 1.25 * 7501},
		"both":                           {nil, []int{1000, 20_000}, 0.2*1000 + 3500 + 25_000},
		"the mean square of sizes is learned by a sixty-fourth": {[][2]int{{1000, 200}}, []int{1000},
			200 + 3.5*math.Sqrt(1000*1000+(200*200-1000*1000)/64.0)},
		"from actual usage, also above the estimate": {[][2]int{{1000, 7500}}, []int{1000},
			200 + 3.5*math.Sqrt(1000*1000+(7500*7500-1000*1000)/64.0)},
		"not from large calls":                         {[][2]int{{1000, 1000}, {8000, 10}}, []int{1000}, 200 + 3500},
		"not from calls that turned out to be large":   {[][2]int{{1000, 7501}}, []int{1000}, 200 + 3500},
		"not from calls without tokens":                {[][2]int{{1000, 1000}, {0, 50}}, []int{1000}, 200 + 3500},
		"a call that used 0 tokens counts":             {[][2]int{{1000, 0}}, []int{1000}, 200 + 3.5*math.Sqrt(1000*1000*63/64.0)},
		"the size of the second does not count at all": {nil, []int{1000, 3000}, 0.2*4000 + 3500},
	} {
		t.Run(name, func(t *testing.T) {
			runVirtual(t, minute60k, func(b *testLimiter) {
				for _, call := range c.past {
					b.acquire(call[0]).Settle(call[1])
				}
				var permits []*limiter.Permit
				for _, tokens := range c.inFlight {
					permits = append(permits, b.acquire(tokens))
				}
				b.until(2 * time.Minute)
				left := 60_000 - int(math.Ceil(c.held))
				b.wantTokens(left)
				equal(b, "calls that wait for the available tokens", b.Snapshot().Waiting, 0)
				one := b.goAcquire(b.Context(), left)
				one.admittedAt(2 * time.Minute)
				one.result.Load().permit.Cancel()
				if left < 60_000 {
					more := b.goAcquire(b.Context(), left+1)
					b.until(time.Hour)
					more.waiting() // until the calls in flight have ended
				}
				for _, p := range permits {
					p.Cancel()
				}
				b.until(2 * time.Hour)
				equal(b, "waiting", b.Snapshot().Waiting, 0)
			}, guarded)
		})
	}
}

// Sequential calls never use more than a minute's tokens in a minute, for any sizes and any pauses between
// them. A bucket alone would admit twice as many.
func TestGuardedSequentialCallsKeepToTheMinute(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		limit := limiter.Limit{RequestsPerSecond: 50, TokensPerMinute: rapid.SampledFrom([]int{600, 6000, 60_001}).Draw(r, "tpm")}
		type call struct {
			after        time.Duration
			tokens, used int
		}
		calls := make([]call, rapid.IntRange(1, 60).Draw(r, "calls"))
		for i := range calls {
			tokens := rapid.IntRange(0, limit.TokensPerMinute/rapid.SampledFrom([]int{1, 3, 20}).Draw(r, "part")).Draw(r, "tokens")
			calls[i] = call{
				after:  time.Duration(rapid.SampledFrom([]int{0, 0, 0, 30, 1000, 20_000}).Draw(r, "after")) * ms,
				tokens: tokens,
				used:   rapid.IntRange(tokens/2, tokens).Draw(r, "used"),
			}
		}
		var failure error
		runVirtual(t, limit, func(b *testLimiter) {
			var at []time.Duration
			for i, c := range calls {
				time.Sleep(c.after)
				p := b.acquire(c.tokens)
				at = append(at, b.now())
				p.Settle(c.used)
				minute := c.tokens
				for j := range i {
					if at[j]+time.Minute > at[i] {
						minute += calls[j].used
					}
				}
				if minute > limit.TokensPerMinute && c.tokens > 0 {
					failure = fmt.Errorf("call %d at %v: %d tokens in a minute", i, at[i], minute)
				}
			}
		}, guarded)
		if failure != nil {
			r.Fatal(failure)
		}
	})
}
