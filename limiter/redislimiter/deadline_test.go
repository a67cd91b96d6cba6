package redislimiter_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter/redislimiter"
)

// pendingCall is a call with a deadline that another goroutine makes.
type pendingCall struct {
	done   chan struct{}
	permit limiter.Admission
	err    error
	took   time.Duration
}

// call makes a call that must end within the given time. Its expected duration is 10 s, its minimum duration 1 s.
func (f *fleet) call(within time.Duration, tokens int) *pendingCall {
	p := &pendingCall{done: make(chan struct{})}
	go func() {
		defer close(p.done)
		begin := time.Now()
		ctx, cancel := context.WithTimeout(context.Background(), within)
		defer cancel()
		p.permit, p.err = f.all[0].Acquire(ctx, limiter.Call{Prompt: tokens, Duration: 10 * time.Second, MinDuration: time.Second})
		p.took = time.Since(begin)
	}()
	time.Sleep(time.Millisecond)
	return p
}

// checkRejected waits until a call is rejected as late, and checks how long it waited and how much time was left.
func (f *fleet) checkRejected(p *pendingCall, after, left time.Duration) {
	f.Helper()
	<-p.done
	var wait *limiter.WaitError
	if !errors.As(p.err, &wait) || !errors.Is(p.err, limiter.ErrWouldWait) || !errors.Is(p.err, context.DeadlineExceeded) {
		f.Fatalf("error %v after %v, want ErrWouldWait and DeadlineExceeded", p.err, p.took)
	}
	const tolerance = 200 * time.Millisecond // two retries of the poll loop
	if p.took < after || p.took > after+tolerance || wait.Left > left || wait.Left < left-tolerance {
		f.Errorf("the call fails after %v with %v left, want %v and %v", p.took, wait.Left, after, left)
	}
}

// withOutage runs f with a fleet of one process whose Redis is unreachable from the start.
func withOutage(t *testing.T, fallback float64, limit limiter.Limit, f func(*fleet)) {
	t.Helper()
	inFleet(t, 1, limit, redislimiter.Config{Patience: time.Minute, Fallback: fallback}, func(l *fleet) {
		l.redis.SetError("ERR unavailable")
		l.all[0].Snapshot()
		f(l)
	})
}

// Calls that wait for an unreachable Redis fail once too little time is left, before their deadline and before
// Patience has passed. The last waiting call needs its minimum duration only.
func TestLateCallsFailDuringAnOutage(t *testing.T) {
	withOutage(t, 0, busy(5), func(f *fleet) {
		first, second := f.call(30*time.Second, 1), f.call(40*time.Second, 1)
		f.checkRejected(first, 20*time.Second, 10*time.Second)
		f.checkRejected(second, 39*time.Second, time.Second)
		if s := f.all[0].Snapshot(); s.Abandoned != 2 || s.Waiting != 0 || s.Admitted != 0 {
			t.Errorf("snapshot %+v, want 2 abandoned calls", s)
		}
		f.redis.SetError("")
		acquire(t, f.all[0], 1).Settle(1)
	})
}

// A new call fails at once during an outage if the requests ahead of it leave too little time.
func TestNewLateCallsFailAtOnceDuringAnOutage(t *testing.T) {
	withOutage(t, 0, busy(0.05), func(f *fleet) {
		first := f.call(time.Hour, 1)
		late := f.call(20*time.Second, 1)
		f.checkRejected(late, 0, 20*time.Second)
		var wait *limiter.WaitError
		if errors.As(late.err, &wait) && (wait.Position != 2 || wait.Expected != 20*time.Second) {
			t.Errorf("position %d and expected wait %v, want 2 and 20s", wait.Position, wait.Expected)
		}
		f.redis.SetError("")
		<-first.done
		if first.err != nil {
			t.Fatalf("the call ahead: %v", first.err)
		}
		first.permit.Settle(1)
	})
}

// The fallback, whose rate is a share of the limit, rejects late calls too: a new call if the requests ahead of it
// leave too little time at that rate, and a call that waits for tokens in favor of the next one.
func TestLateCallsFailInTheFallback(t *testing.T) {
	withOutage(t, 0.5, busy(1), func(f *fleet) {
		time.Sleep(2 * time.Minute) // the fallback is active and its request bucket is full
		f.all[0].Snapshot()
		time.Sleep(time.Minute)
		var ahead []*pendingCall
		for range 4 {
			ahead = append(ahead, f.call(time.Hour, 1))
		}
		late := f.call(9*time.Second, 1) // at the full rate of 1 request/s the time would suffice
		f.checkRejected(late, 0, 9*time.Second)
		for _, p := range ahead {
			<-p.done
			if p.err != nil {
				t.Fatal(p.err)
			}
			p.permit.Settle(1)
		}
		f.redis.SetError("")
	})
	withOutage(t, 0.5, limiter.Limit{RequestsPerSecond: 1000, TokensPerMinute: 60_000}, func(f *fleet) {
		time.Sleep(2 * time.Minute)
		all := acquire(t, f.all[0], 30_000) // the whole share of a minute
		head, next := f.call(20*time.Second, 20_000), f.call(time.Hour, 1000)
		f.checkRejected(head, 15*time.Second, 5*time.Second)
		all.Settle(0)
		<-next.done
		if next.err != nil {
			t.Fatal(next.err)
		}
		next.permit.Settle(1000)
		f.redis.SetError("")
		eventually(t, "Redis has 1000 tokens used", isAvailable(f.all[0], 59_000, 59_000))
	})
}

// A waiting call keeps its deadline when it moves from Redis to the fallback and back.
func TestDeadlinesApplyAcrossOutages(t *testing.T) {
	config := redislimiter.Config{Patience: 2 * time.Second, Fallback: 0.5}
	limit := limiter.Limit{RequestsPerSecond: 1000, TokensPerMinute: 60_000}
	inFleet(t, 1, limit, config, func(f *fleet) {
		l := f.all[0]
		all := acquire(t, l, 60_000)
		toFallback, behind := f.call(40*time.Second, 50_000/2), f.call(time.Hour, 1)
		f.redis.SetError("ERR unavailable")
		time.Sleep(10 * time.Second)
		if s := l.Snapshot(); s.Waiting != 2 {
			t.Fatalf("%d calls wait in the fallback, want 2", s.Waiting)
		}
		<-toFallback.done
		if toFallback.err == nil || toFallback.took >= 40*time.Second {
			t.Errorf("error %v after %v, want that the call fails before its deadline of 40s", toFallback.err, toFallback.took)
		}
		f.redis.SetError("")
		all.Settle(60_000)
		<-behind.done
		if behind.err != nil {
			t.Fatal(behind.err)
		}
		behind.permit.Settle(1)

		time.Sleep(2 * time.Minute)
		acquire(t, l, 60_000).Settle(60_000)
		l.Snapshot() // sends the pending updates
		f.redis.SetError("ERR unavailable")
		l.Snapshot()
		time.Sleep(5 * time.Second)
		back, next := f.call(30*time.Second, 29_000), f.call(time.Hour, 1)
		time.Sleep(2 * time.Second)
		f.redis.SetError("")
		f.checkRejected(back, 20*time.Second, 10*time.Second)
		<-next.done
		if next.err != nil {
			t.Fatal(next.err)
		}
		next.permit.Settle(1)
		if s := l.Snapshot(); s.InFlight != 0 || s.Waiting != 0 || s.HeldTokens != 0 {
			t.Errorf("snapshot %+v, want 0 in flight, waiting and held", s)
		}
	})
}

// A retry never fails as late: its call has used part of its budget already.
func TestRetriesAreNeverLate(t *testing.T) {
	for _, fallback := range []float64{0, 0.5} {
		inFleet(t, 1, busy(5), redislimiter.Config{Patience: time.Minute, Fallback: fallback}, func(f *fleet) {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			p, err := f.all[0].Acquire(ctx, limiter.Call{Prompt: 1, Duration: 29 * time.Second, MinDuration: 29 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			f.redis.SetError("ERR unavailable")
			f.all[0].Snapshot()
			time.Sleep(5 * time.Second)
			var retry sync.WaitGroup
			retry.Go(func() { err = p.Retry(ctx) })
			time.Sleep(10 * time.Second)
			f.redis.SetError("")
			if retry.Wait(); err != nil {
				t.Errorf("error %v of a retry with 15 of 29 s left", err)
			}
			p.Settle(1)
		})
	}
}
