package limiter_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// A call with a MaxWait fails at once if its expected wait is longer, and reports that wait. Otherwise it
// waits, even if the wait becomes longer than expected.
func TestMaxWait(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: unlimitedRate}, func(b *testLimiter) {
		b.use(1)
		for range 3 {
			b.goAcquire(context.Background(), 1)
		}
		for _, test := range []struct {
			maxWait  time.Duration
			rejected bool
		}{{limiter.NoWait, true}, {time.Nanosecond, true}, {4200*ms - 1, true}, {4200 * ms, false}} {
			p := b.goDo(func() (*limiter.Permit, error) {
				return b.AcquireCall(context.Background(), limiter.Call{Prompt: 1, MaxWait: test.maxWait})
			})
			o := p.result.Load()
			if !test.rejected {
				p.waiting()
				b.Pause(b.start.Add(10 * time.Second)) // after the call's forecast
				b.until(14 * time.Second)
				p.admittedAt(10*time.Second + 3*1050*ms)
				continue
			}
			var wait *limiter.WaitError
			if o == nil || o.at != 0 || !errors.As(o.err, &wait) || !errors.Is(o.err, limiter.ErrWouldWait) || wait.Expected != 4200*ms || wait.Position != 4 {
				b.Fatalf("MaxWait %v: %+v", test.maxWait, o)
			}
		}
		equal(b, "abandoned", b.Snapshot().Abandoned, 3)
	}, guarded)
}

// A call with NoWait may be backfilled ahead of a call that is too large for now.
func TestNoWaitBackfills(t *testing.T) {
	runVirtual(t, minute60k, func(b *testLimiter) {
		b.use(50_000)
		b.until(time.Second)
		large := b.goAcquire(context.Background(), 40_000)
		b.until(2 * time.Second)
		p, err := b.AcquireCall(context.Background(), limiter.Call{Prompt: 1000, MaxWait: limiter.NoWait})
		if err != nil {
			b.Fatalf("a call that can be backfilled: %v", err)
		}
		p.Settle(1000)
		if _, err := b.AcquireCall(context.Background(), limiter.Call{Prompt: 9500, MaxWait: limiter.NoWait}); !errors.Is(err, limiter.ErrWouldWait) {
			b.Errorf("a call that does not fit: %v", err)
		}
		b.until(2 * time.Minute)
		large.admittedAt(time.Minute)
	}, guarded)
}
