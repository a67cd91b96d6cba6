package limiter

import (
	"testing"
	"time"

	"pgregory.net/rapid"
)

// TestTokenWaitAgainstFit compares tokenWait with a direct check: after the wait the tokens fit, just before
// its end they do not.
func TestTokenWaitAgainstFit(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		limit := Limit{RequestsPerSecond: 1, TokensPerMinute: 1000, TokenBurst: rapid.SampledFrom([]int{100, 1000, 3000}).Draw(t, "burst")}
		g := newGuard(time.Now(), limit.WithDefaults(), 0)
		var now time.Duration
		pass := func() {
			now += time.Duration(rapid.IntRange(0, 30_000).Draw(t, "after")) * time.Millisecond
		}
		for range rapid.IntRange(0, 10).Draw(t, "uses") {
			pass()
			g.tokens.add(now, rapid.IntRange(1, 700).Draw(t, "used"))
		}
		if rapid.Bool().Draw(t, "others") {
			pass()
			g.observe(now, rapid.IntRange(0, g.tokens.limit).Draw(t, "remaining"))
		}
		pass()
		n := rapid.IntRange(1, g.tokens.limit).Draw(t, "n")
		held := rapid.SampledFrom([]int{0, 0, 1, 200, 900}).Draw(t, "held")
		fits := func(at time.Duration) bool {
			return n+held+g.tokens.usedAt(at)+g.externalUsageAt(at) <= g.tokens.limit
		}

		d := g.tokenWait(now, n, held)
		switch {
		case n+held > g.tokens.limit:
			if d != Never {
				t.Fatalf("%d tokens besides %d held: wait of %v, want Never", n, held, d)
			}
		case d < 0 || d > g.tokens.span:
			t.Fatalf("wait of %v", d)
		case !fits(now + d + 1): // a nanosecond for rounding
			t.Fatalf("after %v, %d tokens do not fit", d, n)
		case d > time.Microsecond && fits(now+d-time.Microsecond):
			t.Fatalf("%d tokens fit before %v have passed", n, d)
		}
	})
}

// External usage counts in full for half a minute and is zero after a minute. externalUsageAt and
// externalUsageBelow agree.
func TestExternalUsageDecays(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		g := newGuard(time.Now(), Limit{RequestsPerSecond: 1, TokensPerMinute: 1_000_000, TokenBurst: 1, RequestBurst: 1}, 0)
		const from = 7 * time.Second
		external := rapid.IntRange(0, 1_000_000).Draw(t, "external")
		g.observe(from, 1_000_000-external)
		if got := g.externalUsageAt(from + 30*time.Second); got != external {
			t.Fatalf("external usage after 30 s is %d, want %d", got, external)
		}
		if got := g.externalUsageAt(from + time.Minute); got != 0 {
			t.Fatalf("external usage after a minute is %d, want 0", got)
		}
		n := rapid.IntRange(0, 1_000_000).Draw(t, "n")
		at := g.externalUsageBelow(n)
		switch {
		case n >= external:
			if at > from {
				t.Fatalf("external usage of %d is at most %d only from %v on", external, n, at)
			}
		case at < from+30*time.Second || at > from+time.Minute:
			t.Fatalf("external usage is at most %d of %d from %v on", n, external, at)
		case g.externalUsageAt(at+1) > n:
			t.Fatalf("at %v external usage is %d, want at most %d", at, g.externalUsageAt(at+1), n)
		case g.externalUsageAt(at-time.Millisecond) <= n:
			t.Fatalf("external usage is at most %d of %d before %v", n, external, at)
		}
	})
}

// A forecast uses a copy of the guard.
func TestForecastChangesNothing(t *testing.T) {
	limit := Limit{RequestsPerSecond: 5, TokensPerMinute: 1000}.WithDefaults()
	g := newGuard(time.Now(), limit, 0)
	small, large := cost{requests: 1, tokens: 100}, cost{requests: 1, tokens: 300, large: true}
	g.take(0, small)
	g.take(0, large)
	before := *g
	f, held, used, end := g.forecast(time.Second)
	if f.held(0) != 0 || f.tokens.used != 0 || held < 400 || used != 400 || end != time.Minute {
		t.Errorf("forecast holds %d and has used %d; calls in flight hold %d and will have used %d after %v", f.held(0), f.tokens.used, held, used, end)
	}
	f.take(2*time.Second, large)
	f.settle(2*time.Second, 2*time.Second, large, 300)
	f.take(2*time.Second, small)
	if g.held(0) != before.held(0) || g.tokens.used != 0 || g.requests.used != 2 || len(g.largeInFlight) != 1 || g.largeInFlight[0] != 300 ||
		g.requests.at(0).n != 2 {
		t.Errorf("guard is %+v, was %+v", *g, before)
	}
}
