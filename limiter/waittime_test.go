package limiter_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// While calls in flight hold the tokens that the next call needs, its wait is unknown. WaitTime assumes that it
// waits until they end.
func TestWaitTimeBehindCallsInFlight(t *testing.T) {
	limit := limiter.Limit{RequestsPerSecond: 100, TokensPerMinute: 500_000}
	runVirtual(t, limit, func(b *testLimiter) {
		var held []*limiter.Permit
		hold := func() {
			for range 4 {
				held = append(held, b.acquire(100_000))
			}
		}
		settle := func() {
			for _, p := range held {
				p.Settle(100_000)
			}
			held = nil
		}
		hold()
		equal(b, "before any call has ended", b.WaitTime(100_000), time.Minute)
		equal(b, "of a call without tokens", b.WaitTime(0), 0)
		b.until(10 * time.Second)
		settle()
		equal(b, "when all have ended", b.WaitTime(100_000), 0)
		equal(b, "of more tokens than are left", b.WaitTime(100_001), time.Minute)

		b.until(70 * time.Second)
		hold()
		equal(b, "after calls that took 10 s", b.WaitTime(100_000), 10*time.Second)
		b.Pause(time.Now().Add(15 * time.Second))
		equal(b, "during a pause", b.WaitTime(100_000), 15*time.Second)
		b.until(85 * time.Second)

		waiting := b.goAcquire(context.Background(), 100_000)
		equal(b, "behind a waiting call", b.WaitTime(100_000), 70*time.Second)
		equal(b, "of a small call behind it", b.WaitTime(1), 70*time.Second)
		settle()
		synctest.Wait()
		waiting.admittedAt(85 * time.Second)
	}, guarded)
}

// Calls in flight may block a waiter behind the head, or only the new call. Other waits go on meanwhile.
func TestWaitTimeIsThatOfTheQueue(t *testing.T) {
	limit := limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 100_000}
	background := context.Background()
	for name, test := range map[string]struct {
		waiting []int // tokens of the calls in the queue
		own     int
		want    time.Duration
	}{
		"a call behind the head": {[]int{0, 40_000}, 0, time.Minute + 1050*time.Millisecond},
		"the new call":           {[]int{0}, 40_000, time.Minute},
		"the others wait longer": {make([]int, 59), 30_000, 63 * time.Second},
		"a call without tokens":  {make([]int, 59), 0, 63 * time.Second},
	} {
		t.Run(name, func(t *testing.T) {
			runVirtual(t, limit, func(b *testLimiter) {
				p := b.acquire(60_000)
				for _, tokens := range test.waiting {
					b.goAcquire(background, tokens)
				}
				said := b.WaitTime(test.own)
				own := b.goAcquire(background, test.own)
				b.until(time.Minute)
				p.Settle(60_000)
				b.until(5 * time.Minute)
				if said != test.want {
					t.Errorf("WaitTime is %v, want %v", said, test.want)
				}
				own.admittedAt(test.want)
			}, guarded)
		})
	}
}

// The wait of an interactive call differs from that of a batch call.
func TestWaitTimeBesideBatch(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: unlimitedRate}, func(b *testLimiter) {
		b.use(1)
		for range 100 {
			b.goDo(func() (*limiter.Permit, error) {
				return b.AcquireCall(b.Context(), limiter.Call{Prompt: 1, Class: limiter.Batch})
			})
		}
		before := b.Snapshot()
		for range 3 {
			equal(b, "wait", b.WaitTime(1), 2*time.Second) // behind one batch call
		}
		equal(b, "waiting", b.Snapshot().Waiting, before.Waiting)
		p := b.goAcquire(b.Context(), 1)
		b.until(2 * time.Second)
		p.admittedAt(2 * time.Second)
		b.until(3 * time.Minute)
	})
}
