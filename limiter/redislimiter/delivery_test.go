package redislimiter_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter/redislimiter"
)

// hang makes the server stand still, with what it is sent in its buffers.
func (s *server) suspend(t *testing.T) {
	t.Helper()
	if err := s.command.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
}

func (s *server) resume(t *testing.T) {
	t.Helper()
	if err := s.command.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
}

// shortTimeout gives a command up long before Redis carries it out.
var shortTimeout = redislimiter.Config{Timeout: 100 * time.Millisecond, Patience: 500 * time.Millisecond, Lease: time.Minute, Jitter: time.Millisecond}

// What happens to calls while Redis stands still is sent to it again and again, and it
// carries out all of that when it goes on: each thing counts once.
func TestNewsCountsOnce(t *testing.T) {
	s := needServer(t)
	config := shortTimeout
	config.Prefix = newPrefix()
	l := newLimiter(t, openStore(t, s.client(t), config), limiter.Limit{RequestsPerSecond: 1e-6, RequestBurst: 10, TokensPerMinute: 1000})
	over, under, unsent, cancelled, retried := acquire(t, l, 100), acquire(t, l, 100), acquire(t, l, 100), acquire(t, l, 100), acquire(t, l, 100)
	s.suspend(t)
	ctx, cancel := context.WithTimeout(context.Background(), 250*time.Millisecond)
	defer cancel()
	if err := retried.Retry(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v of a retry", err)
	}
	if _, err := l.Acquire(ctx, limiter.Call{Prompt: 300}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v of a call", err)
	}
	over.Settle(170)
	under.Settle(30)
	unsent.ReturnRequest()
	unsent.Settle(0)
	cancelled.Cancel()
	retried.Settle(100)
	if _, err := l.Acquire(context.Background(), limiter.Call{Prompt: 1}); !errors.Is(err, limiter.ErrUnavailable) {
		t.Errorf("error %v of a call, want that Redis is away", err)
	}
	s.resume(t)
	eventually(t, "the books are right", func() bool {
		snapshot := l.Snapshot()
		return snapshot.AvailableTokens == 700 && int(snapshot.AvailableRequests) == 7
	})
	permits := "{" + config.Prefix + ":m}:permits"
	if n := s.client(t).HLen(context.Background(), permits).Val(); n != 0 {
		t.Errorf("%d calls are in flight", n)
	}
}

// A pause that Redis could not hear of is not forgotten.
func TestRefusalWhileRedisHangs(t *testing.T) {
	s := needServer(t)
	config := shortTimeout
	config.Prefix = newPrefix()
	l := newLimiter(t, openStore(t, s.client(t), config), slow)
	config.Timeout = 10 * time.Second
	other := newLimiter(t, openStore(t, s.client(t), config), slow)
	p := acquire(t, l, 10)
	s.suspend(t)
	if d := p.Throttled(limiter.Throttle{RetryAfter: time.Hour}); d < time.Hour {
		t.Errorf("the pause lasts %v", d)
	}
	s.resume(t)
	eventually(t, "it is paused", func() bool { return time.Until(other.Snapshot().PausedUntil) > 59*time.Minute })
	ctx, cancel := context.WithTimeout(context.Background(), 400*time.Millisecond)
	defer cancel()
	if _, err := l.Acquire(ctx, limiter.Call{Prompt: 1}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v of a call, want that it waits", err)
	}
}

// Who ends a call while a retry of it waits gets all back that it did not use.
func TestSettleDuringRetry(t *testing.T) {
	l := newLimiter(t, openStore(t, newClient(t), rareRenewals), limiter.Limit{RequestsPerSecond: 100, RequestBurst: 1, TokensPerMinute: 1000})
	for range 50 {
		p := acquire(t, l, 900)
		retry := make(chan error)
		go func() { retry <- p.Retry(context.Background()) }()
		p.Settle(0)
		if err := <-retry; err != nil && !errors.Is(err, limiter.ErrFinished) {
			t.Fatal(err)
		}
	}
	if n := l.Snapshot().AvailableTokens; n != 1000 {
		t.Errorf("%v tokens are available, want all", n)
	}
}

// standing returns a limiter whose Redis has just been lost, with a share of a quarter.
func newFallback(t *testing.T, limit limiter.Limit, before func(limiter.Backend)) (*server, *redislimiter.Store, limiter.Backend) {
	t.Helper()
	s := needServer(t)
	config := shortTimeout
	config.Prefix, config.Patience, config.Fallback = newPrefix(), 50*time.Millisecond, 0.25
	store := openStore(t, s.client(t), config)
	l := newLimiter(t, store, limit)
	before(l)
	s.suspend(t)
	eventually(t, "the fallback is at work", func() bool { return l.SetLimit(limit) != nil && l.WaitTime(1) != limiter.Never })
	return s, store, l
}

var fallbackLimit = limiter.Limit{RequestsPerSecond: 400, TokensPerMinute: 1000}

// The fallback begins with its share of what was left, not with a fresh minute.
func TestFallbackBeginsWithWhatIsLeft(t *testing.T) {
	_, _, l := newFallback(t, fallbackLimit, func(l limiter.Backend) {
		acquire(t, l, 900).Settle(900)
		l.Snapshot() // with that, Redis is told
	})
	if n := l.Snapshot().AvailableTokens; n < 20 || n > 30 {
		t.Errorf("%v tokens are available, want a quarter of 100", n)
	}
	acquire(t, l, 20).Settle(20)
	if d := l.WaitTime(20); d < 30*time.Second {
		t.Errorf("another 20 tokens are there in %v, want in most of a minute", d)
	}
}

// A pause goes on in the fallback, and one that began there when Redis is back.
func TestFallbackPauses(t *testing.T) {
	s, _, l := newFallback(t, fallbackLimit, func(l limiter.Backend) { l.Pause(time.Now().Add(time.Minute)); l.Snapshot() })
	if d := l.WaitTime(0); d < 50*time.Second {
		t.Errorf("a call would wait %v, want until the end of the pause", d)
	}
	l.Pause(time.Now().Add(time.Hour))
	s.resume(t)
	eventually(t, "Redis knows of the pause", func() bool {
		snapshot := l.Snapshot()
		return snapshot.AvailableTokens > 900 && time.Until(snapshot.PausedUntil) > 50*time.Minute
	})
}

// Calls that the fallback admitted are in the books when Redis is back, and those that
// wait for it wait for Redis.
func TestFallbackEnds(t *testing.T) {
	s, _, l := newFallback(t, fallbackLimit, func(limiter.Backend) {})
	inFlight, over := acquire(t, l, 100), acquire(t, l, 50)
	over.Settle(60)
	over.Settle(70)
	if err := inFlight.Retry(context.Background()); err != nil {
		t.Error(err)
	}
	waiting := make(chan limiter.Admission)
	go func() { waiting <- acquire(t, l, 150) }()
	eventually(t, "a call waits", func() bool { return l.Snapshot().Waiting == 1 })
	s.resume(t)
	second := <-waiting
	eventually(t, "the books have 250 in flight and 60 used", isAvailable(l, 1, 1000-60-(100+150)/2))
	if err := inFlight.Retry(context.Background()); err != nil {
		t.Error(err)
	}
	second.Cancel()
	inFlight.Settle(40)
	eventually(t, "the books have 60 and 40 used", isAvailable(l, 900, 900))
	if snapshot := l.Snapshot(); snapshot.Admitted != 3 || snapshot.Settled != 2 || snapshot.Cancelled != 1 || snapshot.InFlight != 0 || snapshot.HeldTokens != 0 {
		t.Errorf("snapshot %+v", snapshot)
	}
}

// A request that the fallback has let go counts when Redis is back.
func TestFallbackEndsWithARequest(t *testing.T) {
	limit := limiter.Limit{RequestsPerSecond: 2, RequestBurst: 16, TokensPerMinute: 1000} // 16 in 8 s
	s, _, l := newFallback(t, limit, func(limiter.Backend) {})
	begin := time.Now()
	p := acquire(t, l, 0)
	if took := time.Since(begin); took < time.Second {
		t.Errorf("the fallback has a request to spare after %v", took)
	}
	p.Settle(0)
	s.resume(t)
	eventually(t, "Redis is back, and has counted it", func() bool {
		snapshot := l.Snapshot()
		return snapshot.AvailableTokens == 1000 && snapshot.AvailableRequests <= 15
	})
}

// A retry that the fallback lets wait ends with its call, and with the store.
func TestFallbackWaitsEnd(t *testing.T) {
	var before limiter.Admission
	_, store, l := newFallback(t, limiter.Limit{RequestsPerSecond: 1e-6, RequestBurst: 10, TokensPerMinute: 1000}, func(l limiter.Backend) { before = acquire(t, l, 10) })
	failed := make(chan error)
	wait := func(do func() error) {
		go func() { failed <- do() }()
		eventually(t, "it waits", func() bool { return l.Snapshot().Waiting == 1 })
	}
	wait(func() error { return before.Retry(context.Background()) })
	before.Settle(10)
	if err := <-failed; !errors.Is(err, limiter.ErrFinished) {
		t.Errorf("error %v, want that the call has ended", err)
	}
	wait(func() error { _, err := l.Acquire(context.Background(), limiter.Call{Prompt: 1}); return err })
	store.Close()
	if err := <-failed; !errors.Is(err, limiter.ErrUnavailable) {
		t.Errorf("error %v, want that the limiter is not available", err)
	}
	if l.WaitTime(1) != limiter.Never {
		t.Error("a wait is foretold")
	}
}

// Close tells what there is to tell.
func TestCloseTells(t *testing.T) {
	client := newClient(t)
	config := rareRenewals
	config.Prefix = newPrefix()
	store := openStore(t, client, config)
	l, other := newLimiter(t, store, slow), newLimiter(t, openStore(t, client, config), slow)
	permits := make([]limiter.Admission, 100)
	for i := range permits {
		permits[i] = acquire(t, l, 10)
	}
	for _, p := range permits {
		p.Settle(1)
	}
	store.Close()
	store.Close()
	if n := other.Snapshot().AvailableTokens; n < 900 || n > 920 {
		t.Errorf("%v tokens are available, want 900", n)
	}
	permits[0].Sent()
	l.Pause(time.Now().Add(time.Hour))
	l.Observe(limiter.ServerState{})
	if _, err := store.Limiter("another", slow); !errors.Is(err, limiter.ErrUnavailable) {
		t.Errorf("error %v, want that the store is closed", err)
	}
}

// Who gives up, at whatever moment, leaves nothing behind.
func TestGivingUpLeavesNothing(t *testing.T) {
	client := newClient(t)
	config := rareRenewals
	config.Prefix = newPrefix()
	l := newLimiter(t, openStore(t, client, config), limiter.Limit{RequestsPerSecond: 1e-6, RequestBurst: 5, TokensPerMinute: 1000})
	var callers sync.WaitGroup
	for range 8 {
		callers.Go(func() {
			for range 300 {
				ctx, cancel := context.WithTimeout(context.Background(), rand.N(time.Millisecond))
				if p, err := l.Acquire(ctx, limiter.Call{Prompt: 100}); err == nil {
					_ = p.Retry(ctx) // it may be too late
					p.ReturnRequest()
					p.Settle(0)
				}
				cancel()
			}
		})
	}
	callers.Wait()
	l.Snapshot() // with that, Redis is told
	for _, key := range []string{"permits", "tickets"} {
		if n := client.HLen(context.Background(), "{"+config.Prefix+":m}:"+key).Val(); n != 0 {
			t.Errorf("%d %s are left", n, key)
		}
	}
}
