package limiter_test

import (
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// The guard attributes usage that it cannot account for to other clients. A newer report replaces an older
// one, in either direction.
func TestGuardedObserve(t *testing.T) {
	runVirtual(t, minute60k, func(b *testLimiter) {
		b.use(10_000)
		b.until(20 * time.Second) // the bucket is full again by then
		b.wantTokens(50_000)
		b.reportRemaining(45_000) // 10,000 of the 15,000 were used locally
		b.wantTokens(45_000)
		b.reportRemaining(20_000)
		b.wantTokens(20_000)
		b.reportRemaining(30_000)
		b.wantTokens(30_000)
		b.use(4000) // local usage still counts
		b.wantTokens(26_000)
		b.reportRemaining(60_000) // more than counted locally, so external usage is 0
		b.wantTokens(46_000)
		b.reportRemaining(0)
		b.wantTokens(0)
	}, guarded)
}

// External usage counts in full for half a minute, then decays to 0 within another half.
func TestObservedExternalUsageDecays(t *testing.T) {
	runVirtual(t, minute60k, func(b *testLimiter) {
		b.until(7 * time.Second)
		b.reportRemaining(20_000)
		for _, c := range []struct {
			after time.Duration
			room  int
		}{{0, 20_000}, {30 * time.Second, 20_000}, {37500 * ms, 30_000}, {45 * time.Second, 40_000},
			{52500 * ms, 50_000}, {time.Minute, 60_000}, {time.Hour, 60_000}} {
			b.until(7*time.Second + c.after)
			b.wantTokens(c.room)
		}
	}, guarded)
}

// A repeated report restarts the decay.
func TestRepeatedReportRestartsTheDecay(t *testing.T) {
	runVirtual(t, minute60k, func(b *testLimiter) {
		for i := range time.Duration(4) {
			b.until(i * 45 * time.Second)
			b.reportRemaining(20_000)
			b.wantTokens(20_000)
		}
	}, guarded)
}

// Calls in flight are not subtracted in addition, because the reported tokens are compared with the calls
// that have ended.
func TestGuardedObserveWithCallsInFlight(t *testing.T) {
	runVirtual(t, minute60k, func(b *testLimiter) {
		b.acquire(20_000)
		b.until(time.Minute)
		b.wantTokens(35_000)
		b.reportRemaining(60_000)
		b.wantTokens(35_000)
		b.reportRemaining(59_000)
		b.wantTokens(34_000)
	}, guarded)
}

// A report of remaining requests counts. It already includes a request in flight.
func TestGuardedObserveRequests(t *testing.T) {
	runVirtual(t, minute60k, func(b *testLimiter) {
		b.acquire(0)
		remaining := 3
		b.Observe(limiter.ServerState{RemainingRequests: &remaining})
		b.available(3, 60_000)
		remaining = 90
		b.Observe(limiter.ServerState{RemainingRequests: &remaining})
		b.available(3, 60_000)
		b.until(500 * ms)
		b.available(53, 60_000)
	}, guarded)
}

// Implausible numbers change only the stored server state.
func TestObserveOfImplausibleNumbers(t *testing.T) {
	n := func(i int) *int { return &i }
	for name, s := range map[string]limiter.ServerState{
		"nothing":                   {},
		"only limits":               {LimitRequests: n(100), LimitTokens: n(60_000)},
		"negative":                  {RemainingRequests: n(-1), RemainingTokens: n(-1)},
		"a limit of 0":              {RemainingRequests: n(0), LimitRequests: n(0), RemainingTokens: n(0), LimitTokens: n(0)},
		"a negative limit":          {RemainingRequests: n(-5), LimitRequests: n(-3), RemainingTokens: n(5), LimitTokens: n(-3)},
		"more than the limit":       {RemainingRequests: n(4), LimitRequests: n(3), RemainingTokens: n(101), LimitTokens: n(100)},
		"only a query cost":         {QueryCost: n(1_000_000)},
		"more than counted locally": {RemainingRequests: n(1_000_000), RemainingTokens: n(1_000_000)},
		"as much as the limit":      {RemainingRequests: n(6000), LimitRequests: n(6000), RemainingTokens: n(60_000), LimitTokens: n(60_000)},
	} {
		for kind, options := range map[string][]limiter.Option{"bare": nil, "guarded": {guarded}} {
			t.Run(name+"/"+kind, func(t *testing.T) {
				runVirtual(t, minute60k, func(b *testLimiter) {
					b.use(10_000)
					b.until(3 * time.Second)
					b.acquire(2000)
					before := b.Snapshot()
					equal(b, "before any report", before.Server, limiter.ServerState{})
					b.Observe(s)
					after := b.Snapshot()
					s.At = time.Now()
					equal(b, "kept", after.Server, s)
					b.until(4 * time.Second)
					equal(b, "kept a second later", b.Snapshot().Server, s)
					after.Server = limiter.ServerState{}
					equal(b, "state", after, before)
				}, options...)
			})
		}
	}
}

// A plausible number counts even if the other one is implausible.
func TestObserveOfOneImplausibleNumber(t *testing.T) {
	n := func(i int) *int { return &i }
	runVirtual(t, minute60k, func(b *testLimiter) {
		b.Observe(limiter.ServerState{RemainingRequests: n(-1), RemainingTokens: n(100), LimitTokens: n(100)})
		b.available(100, 100)
		b.Observe(limiter.ServerState{RemainingRequests: n(1), LimitRequests: n(1), RemainingTokens: n(101), LimitTokens: n(100)})
		b.available(1, 100)
	}, guarded)
}

// The remaining requests of a minute do not empty a bucket that holds one request. The next call starts on
// time.
func TestMinuteOfRequestsLeavesOne(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 0.08, TokensPerMinute: 20_000}, func(b *testLimiter) {
		for i := range time.Duration(10) {
			p := b.acquire(100)
			none := 0
			b.Observe(limiter.ServerState{RemainingRequests: &none})
			p.Settle(100)
			equal(b, "admission", b.now(), i*12550*ms)
		}
	}, guarded)
}
