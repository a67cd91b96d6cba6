package limiter_test

import (
	"context"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// Every event that may let the head of a guarded limiter start sooner re-evaluates it at that instant, and
// every event that delays it sets the timer again.
func TestGuardedWakes(t *testing.T) {
	const then = 5*time.Second + 78
	type state struct {
		*testLimiter
		permit *limiter.Permit // a large call in flight, of 40,000 tokens
		leave  func()          // makes the head leave
		head   *asyncCall
		behind *asyncCall
	}
	for name, c := range map[string]struct {
		head   int
		behind int // 0: no call
		do     func(state)

		headAt, behindAt time.Duration // 0: never
	}{
		"a refund": {20_000, 0, func(s state) { s.permit.Settle(10_000) },
			then, 0},
		"a settlement that determines when its tokens leave the window": {30_000, 0, func(s state) { s.permit.Settle(39_000) },
			then + time.Minute, 0},
		"a call that was cancelled": {60_000, 0, func(s state) { s.permit.Cancel() },
			then, 0},
		"a refund for two": {20_000, 25_000, func(s state) { s.permit.Settle(10_000) },
			then, then}, // 25,000 are held for the first of them
		"a refund for one": {20_000, 25_001, func(s state) { s.permit.Settle(10_000) },
			then, then + time.Minute},
		"the head leaves": {60_000, 10_000, func(s state) { s.leave() },
			0, then},
		"the head leaves, and the next does not fit either": {60_000, 10_001, func(s state) { s.leave() },
			0, 0},
		// The bucket holds 20,000 and gets 1000 per second, then 2000.
		"a higher limit": {30_000, 0, func(s state) {
			if err := s.SetLimit(limiter.Limit{RequestsPerSecond: 100, TokensPerMinute: 120_000}); err != nil {
				s.Fatal(err)
			}
		}, then + (30_000*time.Second-20_000*time.Second-1000*then)/2000, 0},
		"the end of a pause": {20_000, 0, func(s state) {
			s.Pause(s.start.Add(20 * time.Second))
			s.permit.Settle(10_000)
		}, 20 * time.Second, 0},
		"a pause that began before": {20_000, 0, func(s state) {
			s.permit.Settle(10_000) // admitted at once
			s.Pause(s.start.Add(20 * time.Second))
		}, then, 0},
	} {
		t.Run(name, func(t *testing.T) {
			runVirtual(t, minute60k, func(b *testLimiter) {
				ctx, cancel := context.WithCancel(context.Background())
				defer cancel()
				s := state{testLimiter: b, permit: b.acquire(40_000), leave: cancel, head: b.goAcquire(ctx, c.head)}
				if c.behind > 0 {
					s.behind = b.goAcquire(b.Context(), c.behind)
					s.behind.waiting()
				}
				b.until(then)
				s.head.waiting()
				c.do(s)
				b.until(time.Hour)
				if c.headAt > 0 {
					s.head.admittedAt(c.headAt)
				}
				if c.behindAt > 0 {
					s.behind.admittedAt(c.behindAt)
				} else if c.behind > 0 {
					s.behind.waiting()
				}
			}, guarded)
		})
	}
}

// Reports of external usage: a higher one delays the head, a lower one lets it start at once.
func TestGuardedWakesOnReports(t *testing.T) {
	runVirtual(t, minute60k, func(b *testLimiter) {
		b.reportRemaining(0)
		w := b.goAcquire(b.Context(), 15_000)
		b.until(5 * time.Second)
		b.reportRemaining(14_999)
		b.until(7 * time.Second)
		w.waiting()
		b.reportRemaining(15_000)
		b.until(time.Minute)
		w.admittedAt(7 * time.Second)
	}, guarded)
	runVirtual(t, minute60k, func(b *testLimiter) {
		b.reportRemaining(0)
		w := b.goAcquire(b.Context(), 15_000) // when a quarter of it has decayed, at 37.5 s
		b.until(10 * time.Second)
		b.reportRemaining(0)
		b.until(time.Minute)
		w.admittedAt(47*time.Second + 500*ms)
	}, guarded)
}

// Returning a request that was not sent lets the next call start at once.
func TestReturnedRequestWakesHead(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 0.1, TokensPerMinute: 60_000}, func(b *testLimiter) {
		p := b.acquire(1)
		w := b.goAcquire(b.Context(), 1)
		b.until(4 * time.Second)
		w.waiting()
		p.ReturnRequest()
		b.until(time.Minute)
		w.admittedAt(4 * time.Second)
	}, guarded)
}

// A lowered limit counts earlier usage, and delays the head.
func TestGuardedSetLimitDown(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 2, TokensPerMinute: 60_000}, func(b *testLimiter) {
		b.use(20_000)
		b.until(120 * ms)
		b.use(10_000)
		w := b.goAcquire(b.Context(), 0) // at 1.05 s
		b.until(200 * ms)
		if err := b.SetLimit(limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 30_000}); err != nil {
			b.Fatal(err)
		}
		tokens := b.goAcquire(b.Context(), 10_000)
		b.until(2 * time.Minute)
		w.admittedAt(1170 * ms) // one at a time, after the second of the two requests
		tokens.admittedAt(time.Minute)
	}, guarded)
}

// reservedShare decays while a call waits for another one in flight. The call starts when less is held.
func TestReservedShareDecaysDuringAWait(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 100, TokensPerMinute: 100_000}, func(b *testLimiter) {
		var held []*limiter.Permit
		for range 10 {
			held = append(held, b.acquire(8000))
		}
		for range 2 {
			b.until(b.now() + time.Minute)
			held[0].Throttled(limiter.Throttle{RetryAfter: time.Second, Tokens: true})
		}
		b.until(3 * time.Minute)
		head := b.goAcquire(context.Background(), 50_000) // 0.4 of 80,000 are held, plus headroom for calls that end
		b.until(32*time.Minute - 1)
		head.waiting()
		b.until(33 * time.Minute)
		head.admittedAt(32 * time.Minute)
		for _, p := range held {
			p.Settle(0)
		}
	}, guarded)
}
