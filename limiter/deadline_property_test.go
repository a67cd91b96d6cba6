package limiter_test

import (
	"context"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// Dropped calls leave the balance as if they had not been made.
func TestDroppedCallsChangeNothing(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		calls, timeouts := genLateCalls(r)
		options := [][]limiter.Option{nil, {guarded}}[rapid.IntRange(0, 1).Draw(r, "guarded")]
		play := func(late bool) (s limiter.Snapshot) {
			runVirtual(t, limiter.Limit{RequestsPerSecond: 10, TokensPerMinute: 60, TokenBurst: 6000}, func(b *testLimiter) {
				b.use(6000)
				held := b.acquire(0)
				var asyncCall []*asyncCall
				for i := range calls {
					if late {
						asyncCall = append(asyncCall, b.goCall(timeouts[i], calls[i]))
					}
				}
				b.until(70 * second)
				for i, p := range asyncCall {
					if o := p.result.Load(); o == nil || o.err == nil {
						r.Errorf("call %d was not dropped", i)
					}
				}
				held.Settle(0)
				s = b.Snapshot()
			}, options...)
			return s
		}
		with, without := play(true), play(false)
		equal(t, "abandoned", with.Abandoned, int64(len(calls)))
		with.Abandoned = 0
		equal(t, "the limiter", with, without)
	})
}

// genLateCalls generates calls that need more tokens than refill before their deadlines, one per second.
func genLateCalls(r *rapid.T) (calls []limiter.Call, timeouts []time.Duration) {
	for range rapid.IntRange(1, 8).Draw(r, "calls") {
		timeout := rapid.IntRange(1, 60).Draw(r, "timeout")
		spare := rapid.IntRange(0, timeout-1).Draw(r, "spare")
		duration := time.Duration(timeout-spare) * second
		calls = append(calls, limiter.Call{Prompt: rapid.IntRange(100, 6000).Draw(r, "tokens"), Duration: duration, MinDuration: duration})
		timeouts = append(timeouts, time.Duration(timeout)*second)
	}
	return calls, timeouts
}

// Among calls of one size, all calls without a deadline are admitted, in order of arrival.
func TestDeadlinesKeepTheOrderOfOthers(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		type arrival struct {
			pause, timeout, duration, minDuration time.Duration // timeout 0: no deadline
		}
		seconds := func(name string, maximum int) time.Duration {
			return time.Duration(rapid.IntRange(0, maximum).Draw(r, name)) * second
		}
		var arrivals []arrival
		for range rapid.IntRange(1, 20).Draw(r, "calls") {
			a := arrival{seconds("pause", 3), seconds("timeout", 40), seconds("duration", 30), 0}
			a.minDuration = min(a.duration, seconds("least", 30))
			arrivals = append(arrivals, a)
		}
		options := [][]limiter.Option{nil, {guarded}}[rapid.IntRange(0, 1).Draw(r, "guarded")]
		runVirtual(t, limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 6000}, func(b *testLimiter) {
			b.use(6000)
			var patient []*asyncCall
			for _, a := range arrivals {
				b.until(b.now() + a.pause)
				call := limiter.Call{Prompt: 700, Duration: a.duration, MinDuration: a.minDuration}
				if a.timeout > 0 {
					b.goCall(a.timeout, call)
					continue
				}
				patient = append(patient, b.goDo(func() (*limiter.Permit, error) { return b.AcquireCall(context.Background(), call) }))
			}
			b.until(time.Hour)
			var before time.Duration
			for i, p := range patient {
				o := p.result.Load()
				if o == nil || o.err != nil {
					r.Fatalf("call %d without a deadline is not admitted: %+v", i, o)
				}
				if o.at < before {
					r.Fatalf("call %d is admitted at %v, after a later call", i, o.at)
				}
				before = o.at
				o.permit.Settle(700)
			}
		}, options...)
	})
}
