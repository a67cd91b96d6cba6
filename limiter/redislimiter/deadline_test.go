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

// A pending is a call that has a deadline and was made in another goroutine.
type pending struct {
	done   chan struct{}
	permit limiter.Admission
	err    error
	took   time.Duration
}

// call makes a call that has so much time and is expected to take 10 s, or 1 s at least.
func (f *fleet) call(within time.Duration, tokens int) *pending {
	p := &pending{done: make(chan struct{})}
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

// gaveWay waits until a call has given way, and checks when: when it had that much time left.
func (f *fleet) gaveWay(p *pending, after, left time.Duration) {
	f.Helper()
	<-p.done
	var wait *limiter.WaitError
	if !errors.As(p.err, &wait) || !errors.Is(p.err, limiter.ErrWouldWait) || !errors.Is(p.err, context.DeadlineExceeded) {
		f.Fatalf("error %v after %v, want that the call gives way", p.err, p.took)
	}
	const often = 200 * time.Millisecond // Redis is asked twice meanwhile
	if p.took < after || p.took > after+often || wait.Left > left || wait.Left < left-often {
		f.Errorf("a call gives way after %v, with %v left; want %v and %v", p.took, wait.Left, after, left)
	}
}

// lost is a fleet of one whose Redis is lost at once.
func lost(t *testing.T, fallback float64, limit limiter.Limit, f func(*fleet)) {
	t.Helper()
	inFleet(t, 1, limit, redislimiter.Config{Patience: time.Minute, Fallback: fallback}, func(l *fleet) {
		l.redis.SetError("ERR away")
		l.all[0].Snapshot()
		f(l)
	})
}

// Calls that wait for a Redis that is away give way when too little time is left, and do not wait for
// their deadline or for the end of our patience. One that nobody waits behind needs only the least time.
func TestCallsGiveWayWhileRedisIsAway(t *testing.T) {
	lost(t, 0, busy(5), func(f *fleet) {
		first, second := f.call(30*time.Second, 1), f.call(40*time.Second, 1)
		f.gaveWay(first, 20*time.Second, 10*time.Second)
		f.gaveWay(second, 39*time.Second, time.Second)
		if s := f.all[0].Snapshot(); s.Abandoned != 2 || s.Waiting != 0 || s.Admitted != 0 {
			t.Errorf("snapshot %+v", s)
		}
		f.redis.SetError("")
		acquire(t, f.all[0], 1).Settle(1)
	})
}

// A call that comes while Redis is away is refused at once if the requests ahead of it leave too
// little time.
func TestCallsAreRefusedWhileRedisIsAway(t *testing.T) {
	lost(t, 0, busy(0.05), func(f *fleet) {
		first := f.call(time.Hour, 1)
		late := f.call(20*time.Second, 1)
		f.gaveWay(late, 0, 20*time.Second)
		var wait *limiter.WaitError
		if errors.As(late.err, &wait) && (wait.Position != 2 || wait.Expected != 20*time.Second) {
			t.Errorf("position %d, expected wait %v", wait.Position, wait.Expected)
		}
		f.redis.SetError("")
		<-first.done
		if first.err != nil {
			t.Fatalf("the call ahead: %v", first.err)
		}
		first.permit.Settle(1)
	})
}

// The same holds in the fallback, whose rate is a share of the limit: a call is refused if the requests
// of that rate leave too little time, and one that waits for tokens gives way to the next.
func TestCallsGiveWayInTheFallback(t *testing.T) {
	lost(t, 0.5, busy(1), func(f *fleet) {
		time.Sleep(2 * time.Minute) // the fallback is at work, and has a request to spare
		f.all[0].Snapshot()
		time.Sleep(time.Minute)
		var ahead []*pending
		for range 4 {
			ahead = append(ahead, f.call(time.Hour, 1))
		}
		late := f.call(9*time.Second, 1) // at 1 a second there would be time enough
		f.gaveWay(late, 0, 9*time.Second)
		for _, p := range ahead {
			<-p.done
			if p.err != nil {
				t.Fatal(p.err)
			}
			p.permit.Settle(1)
		}
		f.redis.SetError("")
	})
	lost(t, 0.5, limiter.Limit{RequestsPerSecond: 1000, TokensPerMinute: 60_000}, func(f *fleet) {
		time.Sleep(2 * time.Minute)
		all := acquire(t, f.all[0], 30_000) // the share of a minute
		head, next := f.call(20*time.Second, 20_000), f.call(time.Hour, 1000)
		f.gaveWay(head, 15*time.Second, 5*time.Second)
		all.Settle(0)
		<-next.done
		if next.err != nil {
			t.Fatal(next.err)
		}
		next.permit.Settle(1000)
		f.redis.SetError("")
		eventually(t, "the books have what was used", isAvailable(f.all[0], 59_000, 59_000))
	})
}

// A call that waits takes its deadline along: from Redis to the fallback, and back.
func TestDeadlinesOutlastOutages(t *testing.T) {
	config := redislimiter.Config{Patience: 2 * time.Second, Fallback: 0.5}
	limit := limiter.Limit{RequestsPerSecond: 1000, TokensPerMinute: 60_000}
	inFleet(t, 1, limit, config, func(f *fleet) {
		l := f.all[0]
		all := acquire(t, l, 60_000)
		toFallback, behind := f.call(40*time.Second, 50_000/2), f.call(time.Hour, 1)
		f.redis.SetError("ERR away")
		time.Sleep(10 * time.Second)
		if s := l.Snapshot(); s.Waiting != 2 {
			t.Fatalf("%d calls wait in the fallback, want 2", s.Waiting)
		}
		<-toFallback.done
		if toFallback.err == nil || toFallback.took >= 40*time.Second {
			t.Errorf("error %v after %v, want that the call gives way before its deadline", toFallback.err, toFallback.took)
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
		l.Snapshot() // with that, Redis is told
		f.redis.SetError("ERR away")
		l.Snapshot()
		time.Sleep(5 * time.Second)
		back, next := f.call(30*time.Second, 29_000), f.call(time.Hour, 1)
		time.Sleep(2 * time.Second)
		f.redis.SetError("")
		f.gaveWay(back, 20*time.Second, 10*time.Second)
		<-next.done
		if next.err != nil {
			t.Fatal(next.err)
		}
		next.permit.Settle(1)
		if s := l.Snapshot(); s.InFlight != 0 || s.Waiting != 0 || s.HeldTokens != 0 {
			t.Errorf("snapshot %+v", s)
		}
	})
}

// A retry never gives way: its call has been paid for.
func TestRetriesDoNotGiveWay(t *testing.T) {
	for _, fallback := range []float64{0, 0.5} {
		inFleet(t, 1, busy(5), redislimiter.Config{Patience: time.Minute, Fallback: fallback}, func(f *fleet) {
			ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
			defer cancel()
			p, err := f.all[0].Acquire(ctx, limiter.Call{Prompt: 1, Duration: 29 * time.Second, MinDuration: 29 * time.Second})
			if err != nil {
				t.Fatal(err)
			}
			f.redis.SetError("ERR away")
			f.all[0].Snapshot()
			time.Sleep(5 * time.Second)
			var retry sync.WaitGroup
			retry.Go(func() { err = p.Retry(ctx) })
			time.Sleep(10 * time.Second)
			f.redis.SetError("")
			if retry.Wait(); err != nil {
				t.Errorf("a retry with 15 of 29 s left: %v", err)
			}
			p.Settle(1)
		})
	}
}
