package limitertest

import (
	"context"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// Learning returns the cases for a limiter that learns limits below the configured one: see
// [limiter.Guarded]. Run them together with [Cases].
func Learning() []Case {
	return []Case{
		{"a header lowers the token limit", headerLowers},
		{"throttled requests lower the request rate", throttlingLowersRequests},
		{"throttled requests lower the token rate", throttlingLowersTokens},
		{"a lowered rate rises again", rateRisesAgain},
		{"throttled requests lower no rate beside external usage", externalUsageKeepsRates},
		{"a new limit discards the learned rates", newLimitForgets},
	}
}

// Climbing returns the cases for a limiter that raises its rates above the configured limit: see
// [limiter.LearnLimits]. Run them together with [Cases].
func Climbing() []Case {
	return []Case{
		{"a header raises the token limit", headerRaises},
		{"use raises the request rate", useRaises},
	}
}

// manyTokens allows 50 requests/s. Its token limit never limits.
var manyTokens = limiter.Limit{RequestsPerSecond: 50, TokensPerMinute: 60_000_000}

// shortRetryAfter keeps the pauses of the cases short.
const shortRetryAfter = 10 * time.Millisecond

// reportLimit reports a header with the server's token limit and the remaining tokens.
func (b *fixture) reportLimit(limit, remaining int) {
	b.Observe(limiter.ServerState{LimitTokens: &limit, RemainingTokens: &remaining})
}

// throttle makes five calls that the server accepts and one that it throttles.
func (b *fixture) throttle(r limiter.Throttle) {
	b.Helper()
	for range 5 {
		b.acquire(0).Settle(0)
	}
	p := b.acquire(0)
	p.Throttled(r)
	p.Settle(0)
}

// learned waits until the limit fulfills a condition, and checks the sources of its rates.
func (b *fixture) learned(what string, is func(limiter.Limit) bool, requests, tokens limiter.Source) limiter.Limit {
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
func (b *fixture) isConfigured(l limiter.Limit) bool { return l == b.Snapshot().Configured }

func headerLowers(t *testing.T, open Open) {
	b := newFixture(t, open, limiter.Limit{RequestsPerSecond: plenty, TokensPerMinute: 60_000})
	b.reportLimit(6000, 6000)
	b.learned("the token limit is 6000", func(l limiter.Limit) bool { return l.TokensPerMinute == 6000 }, limiter.FromConfiguration, limiter.FromHeaders)
	b.available(plenty, 6000)
	if b.WaitTime(60_000) == limiter.Never {
		t.Error("WaitTime returns Never for a call that the configured limit allows")
	}
	equal(b, "wait of a call beyond the configured limit", b.WaitTime(60_001), limiter.Never)
	b.acquire(6000).Settle(6000)
	if d := b.WaitTime(1000); d < 50*time.Second {
		t.Errorf("the wait for tokens beyond the limit is %v, want about a minute", d)
	}
	b.reportLimit(1_000_000, 500_000)
	b.learned("the configured limit is in force", b.isConfigured, limiter.FromConfiguration, limiter.FromConfiguration)
	b.reportLimit(0, 0) // not a valid limit
	b.learned("the configured limit is in force", b.isConfigured, limiter.FromConfiguration, limiter.FromConfiguration)
}

func throttlingLowersRequests(t *testing.T, open Open) {
	b := newFixture(t, open, manyTokens)
	b.throttle(limiter.Throttle{Requests: true, RetryAfter: shortRetryAfter})
	b.acquire(0).Settle(0)
	b.learned("one throttled request does not lower the rate", b.isConfigured, limiter.FromConfiguration, limiter.FromConfiguration)
	rate := b.lowered()
	if rate < 0.4*50 || rate > 0.8*50 {
		t.Errorf("the learned rate is %v requests/s, want 20–40", rate)
	}
	b.takes(time.Duration(4*0.8/rate*float64(time.Second)), "five calls at the learned rate", func() {
		for range 5 {
			b.acquire(0).Settle(0)
		}
	})
}

// lowered throttles requests until the limiter has lowered the request rate. It returns that rate.
func (b *fixture) lowered() float64 {
	b.Helper()
	b.throttle(limiter.Throttle{Requests: true, RetryAfter: shortRetryAfter})
	b.throttle(limiter.Throttle{Requests: true, RetryAfter: shortRetryAfter})
	is := func(l limiter.Limit) bool { return l.RequestsPerSecond < 50 }
	return b.learned("the rate is lowered", is, limiter.FromRefusals, limiter.FromConfiguration).RequestsPerSecond
}

func throttlingLowersTokens(t *testing.T, open Open) {
	b := newFixture(t, open, manyTokens)
	b.throttle(limiter.Throttle{Tokens: true, RetryAfter: shortRetryAfter})
	b.acquire(0).Settle(0)
	b.learned("one throttled request does not lower the rate", b.isConfigured, limiter.FromConfiguration, limiter.FromConfiguration)
	b.throttle(limiter.Throttle{Tokens: true, RetryAfter: shortRetryAfter})
	is := func(l limiter.Limit) bool { return l.TokensPerMinute < manyTokens.TokensPerMinute }
	b.learned("the rate is lowered", is, limiter.FromConfiguration, limiter.FromRefusals)
}

// rateRisesAgain takes 20 s: a limiter raises a rate after it was used for that long.
func rateRisesAgain(t *testing.T, open Open) {
	b := newFixture(t, open, manyTokens)
	rate := b.lowered()
	b.use(2*time.Minute, func() bool { return b.Limit().RequestsPerSecond > rate })
}

// use makes calls until a condition holds. It fails the test after the given time.
func (b *fixture) use(timeout time.Duration, is func() bool) {
	b.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	for !is() {
		p, err := b.Acquire(ctx, limiter.Call{})
		if err != nil {
			b.Fatalf("after %v of calls the limit is %+v: %v", timeout, b.Limit(), err)
		}
		p.Settle(0)
	}
}

func externalUsageKeepsRates(t *testing.T, open Open) {
	b := newFixture(t, open, manyTokens)
	b.acquire(1000).Settle(1000)
	b.reportLimit(manyTokens.TokensPerMinute, manyTokens.TokensPerMinute/2)
	for range 4 {
		b.throttle(limiter.Throttle{Requests: true, RetryAfter: shortRetryAfter})
	}
	b.acquire(0).Settle(0)
	b.learned("the configured limit stays in force", b.isConfigured, limiter.FromConfiguration, limiter.FromConfiguration)
}

func newLimitForgets(t *testing.T, open Open) {
	b := newFixture(t, open, manyTokens)
	b.lowered()
	b.reportLimit(6000, 6000)
	b.learned("both limits are lower", func(l limiter.Limit) bool { return l.TokensPerMinute == 6000 }, limiter.FromRefusals, limiter.FromHeaders)
	if err := b.SetLimit(manyTokens); err != nil {
		t.Fatal(err)
	}
	b.learned("the new limit is in force", b.isConfigured, limiter.FromConfiguration, limiter.FromConfiguration)
	equal(b, "configured", b.Snapshot().Configured, manyTokens.WithDefaults())
	b.throttle(limiter.Throttle{Requests: true, RetryAfter: shortRetryAfter})
	b.acquire(0).Settle(0)
	b.learned("one throttled request does not lower the rate", b.isConfigured, limiter.FromConfiguration, limiter.FromConfiguration)
}

func headerRaises(t *testing.T, open Open) {
	b := newFixture(t, open, limiter.Limit{RequestsPerSecond: plenty, TokensPerMinute: 6000})
	b.reportLimit(60_000, 60_000)
	l := b.learned("the token limit is 60,000", func(l limiter.Limit) bool { return l.TokensPerMinute == 60_000 }, limiter.FromConfiguration, limiter.FromHeaders)
	equal(b, "TokenBurst", l.TokenBurst, 60_000)
	if b.WaitTime(50_000) == limiter.Never {
		t.Error("WaitTime returns Never for a call that the server allows")
	}
	b.reportLimit(600, 600)
	l = b.learned("the token limit is 600", func(l limiter.Limit) bool { return l.TokensPerMinute == 600 }, limiter.FromConfiguration, limiter.FromHeaders)
	equal(b, "TokenBurst, which stays for waiting calls", l.TokenBurst, 60_000)
}

// useRaises takes 5 s: a limiter raises a rate after it was used for that long.
func useRaises(t *testing.T, open Open) {
	b := newFixture(t, open, limiter.Limit{RequestsPerSecond: 20, TokensPerMinute: 60_000_000})
	b.use(2*time.Minute, func() bool { return b.Limit().RequestsPerSecond > 20 })
	b.learned("the rate is higher", func(l limiter.Limit) bool { return l.RequestsPerSecond > 20 }, limiter.FromUse, limiter.FromConfiguration)
}
