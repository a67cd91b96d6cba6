package limiter_test

import (
	"context"
	"errors"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// A report is a status that OnQueue received, and when.
type report struct {
	at time.Duration
	limiter.QueueStatus
}

// goNotified makes a call that records its status reports.
func (b *testLimiter) goNotified(call limiter.Call) (reports *[]report, p *asyncCall) {
	reports = new([]report)
	call.OnQueue = func(s limiter.QueueStatus) { *reports = append(*reports, report{b.now(), s}) }
	return reports, b.goDo(func() (*limiter.Permit, error) { return b.AcquireCall(context.Background(), call) })
}

func TestOnQueue(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 0.5, TokensPerMinute: unlimitedRate}, func(b *testLimiter) {
		b.use(1)
		first, p := b.goNotified(limiter.Call{Prompt: 1})
		second, q := b.goNotified(limiter.Call{Prompt: 1, Class: limiter.Batch})
		third, r := b.goNotified(limiter.Call{Prompt: 1})
		b.until(10 * time.Second)
		p.admittedAt(2 * time.Second)
		q.admittedAt(4 * time.Second)
		r.admittedAt(6 * time.Second)
		for name, c := range map[string]struct{ got, want []report }{
			"first":  {(*first)[:2], []report{{0, limiter.QueueStatus{Position: 1, Expected: 2 * time.Second}}, {1 * time.Second, limiter.QueueStatus{Position: 1, Expected: 1 * time.Second}}}},
			"second": {(*second)[:2], []report{{0, limiter.QueueStatus{Position: 2, Expected: 4 * time.Second}}, {1 * time.Second, limiter.QueueStatus{Position: 2, Expected: 3 * time.Second}}}},
			"third":  {(*third)[:2], []report{{0, limiter.QueueStatus{Position: 3, Expected: 6 * time.Second}}, {1 * time.Second, limiter.QueueStatus{Position: 3, Expected: 5 * time.Second}}}},
		} {
			if !slices.Equal(c.got, c.want) {
				t.Errorf("the reports of the %s call are %v, want %v", name, c.got, c.want)
			}
		}
		for _, reports := range []*[]report{first, second, third} {
			for i := 1; i < len(*reports); i++ {
				if (*reports)[i].at-(*reports)[i-1].at < time.Second {
					t.Errorf("two reports within a second: %v", *reports)
				}
			}
		}
		none, n := b.goNotified(limiter.Call{Prompt: 1})
		n.admittedAt(10 * time.Second)
		equal(b, "reports of a call that does not wait", len(*none), 0)
	})
}

// A call that arrives just before a status update receives its second report a second later.
func TestOnQueueRunsAtMostOnceASecond(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 0.1, TokensPerMinute: unlimitedRate}, func(b *testLimiter) {
		b.use(1)
		var all []*[]report
		for i := range 10 {
			reports, _ := b.goNotified(limiter.Call{Prompt: 1})
			all = append(all, reports)
			b.until(time.Duration(i+1) * 300 * ms)
		}
		slow := new([]report)
		b.goDo(func() (*limiter.Permit, error) {
			return b.AcquireCall(context.Background(), limiter.Call{Prompt: 1, OnQueue: func(s limiter.QueueStatus) {
				*slow = append(*slow, report{b.now(), s})
				time.Sleep(700 * ms)
			}})
		})
		b.until(2 * time.Minute)
		for i, reports := range append(all, slow) {
			if len(*reports) < 10 {
				b.Errorf("call %d received %d reports", i, len(*reports))
			}
			for j := 1; j < len(*reports); j++ {
				if d := (*reports)[j].at - (*reports)[j-1].at; d < time.Second {
					b.Fatalf("call %d received another report after %v: %v", i, d, *reports)
				} else if d > 2*time.Second {
					b.Fatalf("call %d received another report only after %v: %v", i, d, *reports)
				}
			}
		}
	})
}

// Forty simultaneous calls receive forty different positions.
func TestPositionsOfSimultaneousCalls(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: unlimitedRate}, func(b *testLimiter) {
		b.use(1)
		var mu sync.Mutex
		positions := map[int]bool{}
		var all sync.WaitGroup
		for range 40 {
			all.Go(func() {
				p, err := b.AcquireCall(b.Context(), limiter.Call{OnQueue: func(s limiter.QueueStatus) {
					mu.Lock()
					defer mu.Unlock()
					if b.now() == time.Second {
						positions[s.Position] = true
					}
				}})
				if err != nil {
					b.Error(err)
					return
				}
				p.Settle(0)
			})
		}
		all.Wait()
		equal(b, "positions", len(positions), 40)
		for i := 1; i <= 40; i++ {
			equal(b, "a call received the position", positions[i], true)
		}
	}, guarded)
}

// A panic of OnQueue ends only its own call.
func TestOnQueuePanics(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: unlimitedRate}, func(b *testLimiter) {
		b.use(1)
		func() {
			defer func() { equal(b, "panic", recover(), any("no")) }()
			_, _ = b.AcquireCall(b.Context(), limiter.Call{OnQueue: func(limiter.QueueStatus) { panic("no") }})
			b.Error("the call returned")
		}()
		// The next call is admitted while OnQueue runs.
		func() {
			defer func() { equal(b, "panic", recover(), any("late")) }()
			_, _ = b.AcquireCall(b.Context(), limiter.Call{OnQueue: func(limiter.QueueStatus) { time.Sleep(3 * time.Second); panic("late") }})
			b.Error("the call returned", b.now())
		}()
		s := b.Snapshot()
		equal(b, "waiting", s.Waiting, 0)
		equal(b, "in flight", s.InFlight, 0)
		equal(b, "abandoned", s.Abandoned, 1)
		equal(b, "cancelled", s.Cancelled, 1)
		time.Sleep(time.Minute)
		synctest.Wait() // fails if a timer still runs
		b.use(1)
	})
}

func TestMaxQueue(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: unlimitedRate}, func(b *testLimiter) {
		call := func(class string) *asyncCall {
			return b.goDo(func() (*limiter.Permit, error) {
				return b.AcquireCall(context.Background(), limiter.Call{MaxQueue: 2, Class: class})
			})
		}
		call(limiter.Batch).admittedAt(0)
		waiting := []*asyncCall{call(limiter.Batch), call(limiter.Batch)}
		full := call(limiter.Batch)
		full.failedAt(0, limiter.ErrQueueFull)
		var wait *limiter.WaitError
		if err := full.result.Load().err; !errors.As(err, &wait) || wait.Position != 3 {
			t.Errorf("error %v", err)
		}
		other := call(limiter.Interactive)
		b.until(3 * time.Second)
		other.admittedAt(1 * time.Second)
		waiting[0].admittedAt(2 * time.Second)
		waiting[1].admittedAt(3 * time.Second)
		b.until(10 * time.Second)
		call(limiter.Batch).admittedAt(10 * time.Second)
	})
}

func TestSnapshotString(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 0.5, TokensPerMinute: 60_000}, func(b *testLimiter) {
		equal(b, "at first", b.Snapshot().String(), "0.5 requests/s (1 now), 60000 tokens/min (60000 now), 0 in flight, 0 waiting")
		p := b.acquire(6000)
		b.goAcquire(b.Context(), 10)
		b.until(500 * ms)
		equal(b, "later", b.Snapshot().String(), "0.5 requests/s (0.25 now), 60000 tokens/min (54500 now), 1 in flight, 1 waiting, the next starts in 1.5s")
		b.Pause(time.Now().Add(10 * time.Second))
		s := b.Snapshot()
		s.Held, s.OutageSince, s.OutageCause = 3, time.Date(2026, 1, 2, 15, 4, 5, 0, time.UTC), "host: no route"
		equal(b, "in an outage", s.String(), "0.5 requests/s (0.25 now), 60000 tokens/min (54500 now), 1 in flight, 1 waiting, "+
			"the next starts in 10s, paused for 10s, 3 held, outage since 15:04:05: host: no route")
		b.until(11 * time.Second)
		p.Settle(1)
	})
}

// An OnQueue function that does not return delays only its own call.
func TestSlowOnQueue(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 60_000}, func(b *testLimiter) {
		b.acquire(1).Settle(1)
		block := make(chan struct{})
		slow := b.goDo(func() (*limiter.Permit, error) {
			return b.AcquireCall(b.Context(), limiter.Call{
				Class: limiter.Batch, Prompt: 1, Estimate: func() (int, int) { return 1, 0 }, OnQueue: func(limiter.QueueStatus) { <-block },
			})
		})
		b.until(5 * time.Second)
		other := b.goAcquire(b.Context(), 1)
		b.until(time.Minute)
		other.admittedAt(5 * time.Second)
		slow.waiting()
		close(block)
		synctest.Wait()
		slow.admittedAt(time.Minute)
	})
}
