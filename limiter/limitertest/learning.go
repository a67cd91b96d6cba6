package limitertest

import (
	"context"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// Learning returns the cases for a limiter that learns limits below the configured one, as
// [limiter.Guarded] says. They go beside [Cases].
func Learning() []Case {
	return []Case{
		{"a header names a lower limit of tokens", headerLowers},
		{"refusals lower the rate of requests", refusalsLowerRequests},
		{"refusals lower the rate of tokens", refusalsLowerTokens},
		{"a lowered rate rises again", risesAgain},
		{"refusals beside others teach nothing", othersTeachNothing},
		{"a new limit forgets what was learned", newLimitForgets},
	}
}

// Climbing returns the cases for a limiter whose configured limit is a beginning, as
// [limiter.LearnLimits] says. They go beside [Cases].
func Climbing() []Case {
	return []Case{
		{"a header names a higher limit of tokens", headerRaises},
		{"use raises the rate of requests", useRaises},
	}
}

// ample has tokens enough, and its rate of requests takes little time.
var ample = limiter.Limit{RequestsPerSecond: 50, TokensPerMinute: 60_000_000}

// soon is a Retry-After that takes little time.
const soon = 10 * time.Millisecond

// name lets the server name its limit of tokens, and what remains of it.
func (b *bench) name(limit, remaining int) {
	b.Observe(limiter.ServerState{LimitTokens: &limit, RemainingTokens: &remaining})
}

// refuse has the server accept some requests, and refuse one.
func (b *bench) refuse(r limiter.Throttle) {
	b.Helper()
	for range 5 {
		b.acquire(0).Settle(0)
	}
	p := b.acquire(0)
	p.Throttled(r)
	p.Settle(0)
}

// learned waits until a limit is learned, and checks what it is learned from.
func (b *bench) learned(what string, is func(limiter.Limit) bool, requests, tokens limiter.Source) limiter.Limit {
	b.Helper()
	configured := b.Snapshot().Configured
	var s limiter.Snapshot
	b.eventually(what, func() bool { s = b.Snapshot(); return is(s.Limit) })
	equal(b, "limit", b.Limit(), s.Limit)
	equal(b, "configured", s.Configured, configured)
	equal(b, "RequestsFrom", s.RequestsFrom, requests)
	equal(b, "TokensFrom", s.TokensFrom, tokens)
	return s.Limit
}

// isConfigured reports whether a limit is the configured one.
func (b *bench) isConfigured(l limiter.Limit) bool { return l == b.Snapshot().Configured }

func headerLowers(t *testing.T, open Open) {
	b := newBench(t, open, limiter.Limit{RequestsPerSecond: plenty, TokensPerMinute: 60_000})
	b.name(6000, 6000)
	b.learned("6,000 tokens are the limit", func(l limiter.Limit) bool { return l.TokensPerMinute == 6000 }, limiter.FromConfiguration, limiter.FromHeaders)
	b.available(plenty, 6000)
	if b.WaitTime(60_000) == limiter.Never {
		t.Error("a call that the configured limit allows could never start")
	}
	equal(b, "wait of a call that it does not allow", b.WaitTime(60_001), limiter.Never)
	b.acquire(6000).Settle(6000)
	if d := b.WaitTime(1000); d < 50*time.Second {
		t.Errorf("more tokens than the limit are there in %v, want in a minute", d)
	}
	b.name(1_000_000, 500_000)
	b.learned("the configured limit is in force", b.isConfigured, limiter.FromConfiguration, limiter.FromConfiguration)
	b.name(0, 0) // no limit
	b.learned("the configured limit is in force", b.isConfigured, limiter.FromConfiguration, limiter.FromConfiguration)
}

func refusalsLowerRequests(t *testing.T, open Open) {
	b := newBench(t, open, ample)
	b.refuse(limiter.Throttle{Requests: true, RetryAfter: soon})
	b.acquire(0).Settle(0)
	b.learned("one refusal lowers nothing", b.isConfigured, limiter.FromConfiguration, limiter.FromConfiguration)
	rate := b.lowered()
	if rate < 0.4*50 || rate > 0.8*50 {
		t.Errorf("%v requests a second, want 20 to 40", rate)
	}
	b.takes(time.Duration(4*0.8/rate*float64(time.Second)), "five calls, spread at the learned rate", func() {
		for range 5 {
			b.acquire(0).Settle(0)
		}
	})
}

// lowered has the server refuse requests until the rate is lowered, which it returns.
func (b *bench) lowered() float64 {
	b.Helper()
	b.refuse(limiter.Throttle{Requests: true, RetryAfter: soon})
	b.refuse(limiter.Throttle{Requests: true, RetryAfter: soon})
	is := func(l limiter.Limit) bool { return l.RequestsPerSecond < 50 }
	return b.learned("the rate is lowered", is, limiter.FromRefusals, limiter.FromConfiguration).RequestsPerSecond
}

func refusalsLowerTokens(t *testing.T, open Open) {
	b := newBench(t, open, ample)
	b.refuse(limiter.Throttle{Tokens: true, RetryAfter: soon})
	b.acquire(0).Settle(0)
	b.learned("one refusal lowers nothing", b.isConfigured, limiter.FromConfiguration, limiter.FromConfiguration)
	b.refuse(limiter.Throttle{Tokens: true, RetryAfter: soon})
	is := func(l limiter.Limit) bool { return l.TokensPerMinute < ample.TokensPerMinute }
	b.learned("the rate is lowered", is, limiter.FromConfiguration, limiter.FromRefusals)
}

// risesAgain takes the 20 s for which a rate has to be used before it is raised.
func risesAgain(t *testing.T, open Open) {
	b := newBench(t, open, ample)
	rate := b.lowered()
	b.use(2*time.Minute, func() bool { return b.Limit().RequestsPerSecond > rate })
}

// use makes calls until something is so, for a time at most.
func (b *bench) use(most time.Duration, is func() bool) {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), most)
	defer cancel()
	for !is() {
		p, err := b.Acquire(ctx, limiter.Call{})
		if err != nil {
			b.Fatalf("after %v of calls: limit %+v: %v", most, b.Limit(), err)
		}
		p.Settle(0)
	}
}

func othersTeachNothing(t *testing.T, open Open) {
	b := newBench(t, open, ample)
	b.acquire(1000).Settle(1000)
	b.name(ample.TokensPerMinute, ample.TokensPerMinute/2)
	for range 4 {
		b.refuse(limiter.Throttle{Requests: true, RetryAfter: soon})
	}
	b.acquire(0).Settle(0)
	b.learned("nothing is lowered", b.isConfigured, limiter.FromConfiguration, limiter.FromConfiguration)
}

func newLimitForgets(t *testing.T, open Open) {
	b := newBench(t, open, ample)
	b.lowered()
	b.name(6000, 6000)
	b.learned("both limits are lower", func(l limiter.Limit) bool { return l.TokensPerMinute == 6000 }, limiter.FromRefusals, limiter.FromHeaders)
	if err := b.SetLimit(ample); err != nil {
		t.Fatal(err)
	}
	b.learned("the new limit is in force", b.isConfigured, limiter.FromConfiguration, limiter.FromConfiguration)
	equal(b, "configured", b.Snapshot().Configured, ample.WithDefaults())
	b.refuse(limiter.Throttle{Requests: true, RetryAfter: soon})
	b.acquire(0).Settle(0)
	b.learned("one refusal lowers nothing", b.isConfigured, limiter.FromConfiguration, limiter.FromConfiguration)
}

func headerRaises(t *testing.T, open Open) {
	b := newBench(t, open, limiter.Limit{RequestsPerSecond: plenty, TokensPerMinute: 6000})
	b.name(60_000, 60_000)
	l := b.learned("60,000 tokens are the limit", func(l limiter.Limit) bool { return l.TokensPerMinute == 60_000 }, limiter.FromConfiguration, limiter.FromHeaders)
	equal(b, "TokenBurst", l.TokenBurst, 60_000)
	if b.WaitTime(50_000) == limiter.Never {
		t.Error("a call that the server allows could never start")
	}
	b.name(600, 600)
	l = b.learned("600 tokens are the limit", func(l limiter.Limit) bool { return l.TokensPerMinute == 600 }, limiter.FromConfiguration, limiter.FromHeaders)
	equal(b, "TokenBurst, for calls that wait", l.TokenBurst, 60_000)
}

// useRaises takes the 5 s for which a rate has to be used before it is raised.
func useRaises(t *testing.T, open Open) {
	b := newBench(t, open, limiter.Limit{RequestsPerSecond: 20, TokensPerMinute: 60_000_000})
	b.use(2*time.Minute, func() bool { return b.Limit().RequestsPerSecond > 20 })
	b.learned("the rate is higher", func(l limiter.Limit) bool { return l.RequestsPerSecond > 20 }, limiter.FromUse, limiter.FromConfiguration)
}
