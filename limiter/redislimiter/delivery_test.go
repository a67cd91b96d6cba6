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

// suspend stops the server process. What clients send stays in the server's buffers.
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

// shortTimeout gives up commands long before a suspended Redis executes them.
var shortTimeout = redislimiter.Config{Timeout: 100 * time.Millisecond, Patience: 500 * time.Millisecond, Lease: time.Minute, Jitter: time.Millisecond}

// The process sends updates repeatedly while Redis is suspended, and Redis executes all these
// commands when it resumes. Each update counts once.
func TestUpdatesCountOnce(t *testing.T) {
	s := needServer(t)
	config := shortTimeout
	config.Prefix = newPrefix()
	l := newLimiter(t, openStore(t, s.client(t), config), limiter.Limit{RequestsPerSecond: 1e-6, RequestBurst: 10, TokensPerMinute: 1000})
	over, under, returned, cancelled, retried := acquire(t, l, 100), acquire(t, l, 100), acquire(t, l, 100), acquire(t, l, 100), acquire(t, l, 100)
	s.suspend(t)
	ctx, cancel := context.WithTimeout(context.Background(), 250*time.Millisecond)
	defer cancel()
	if err := retried.Retry(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v of a retry, want DeadlineExceeded", err)
	}
	if _, err := l.Acquire(ctx, limiter.Call{Prompt: 300}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v of a call, want DeadlineExceeded", err)
	}
	over.Settle(170)
	under.Settle(30)
	returned.ReturnRequest()
	returned.Settle(0)
	cancelled.Cancel()
	retried.Settle(100)
	if _, err := l.Acquire(context.Background(), limiter.Call{Prompt: 1}); !errors.Is(err, limiter.ErrUnavailable) {
		t.Errorf("error %v of a call, want ErrUnavailable", err)
	}
	s.resume(t)
	eventually(t, "700 tokens and 7 requests are available", func() bool {
		snapshot := l.Snapshot()
		return snapshot.AvailableTokens == 700 && int(snapshot.AvailableRequests) == 7
	})
	permits := "{" + config.Prefix + ":m}:permits"
	if n := s.client(t).HLen(context.Background(), permits).Val(); n != 0 {
		t.Errorf("%d calls are in flight, want 0", n)
	}
}

// A pause during an outage applies to all processes afterward.
func TestThrottledWhileRedisHangs(t *testing.T) {
	s := needServer(t)
	config := shortTimeout
	config.Prefix = newPrefix()
	l := newLimiter(t, openStore(t, s.client(t), config), slow)
	config.Timeout = 10 * time.Second
	other := newLimiter(t, openStore(t, s.client(t), config), slow)
	p := acquire(t, l, 10)
	s.suspend(t)
	if d := p.Throttled(limiter.Throttle{RetryAfter: time.Hour}); d < time.Hour {
		t.Errorf("the pause lasts %v, want at least an hour", d)
	}
	s.resume(t)
	eventually(t, "the other process is paused", func() bool { return time.Until(other.Snapshot().PausedUntil) > 59*time.Minute })
	ctx, cancel := context.WithTimeout(context.Background(), 400*time.Millisecond)
	defer cancel()
	if _, err := l.Acquire(ctx, limiter.Call{Prompt: 1}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v of a call, want DeadlineExceeded", err)
	}
}

// Settle during a waiting retry returns all unused tokens.
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
		t.Errorf("%v tokens are available, want 1000", n)
	}
}

// newFallback returns a limiter whose Redis has just become unreachable, with a fallback share of 25%.
func newFallback(t *testing.T, limit limiter.Limit, before func(limiter.Backend)) (*server, *redislimiter.Store, limiter.Backend) {
	t.Helper()
	s := needServer(t)
	config := shortTimeout
	config.Prefix, config.Patience, config.Fallback = newPrefix(), 50*time.Millisecond, 0.25
	store := openStore(t, s.client(t), config)
	l := newLimiter(t, store, limit)
	before(l)
	s.suspend(t)
	eventually(t, "the fallback is active", func() bool { return l.SetLimit(limit) != nil && l.WaitTime(1) != limiter.Never })
	return s, store, l
}

var fallbackLimit = limiter.Limit{RequestsPerSecond: 400, TokensPerMinute: 1000}

// The fallback starts with its share of the available tokens, not with a full minute.
func TestFallbackStartsWithShareOfAvailableTokens(t *testing.T) {
	_, _, l := newFallback(t, fallbackLimit, func(l limiter.Backend) {
		acquire(t, l, 900).Settle(900)
		l.Snapshot() // sends the pending updates
	})
	if n := l.Snapshot().AvailableTokens; n < 20 || n > 30 {
		t.Errorf("%v tokens are available, want 25%% of 100", n)
	}
	acquire(t, l, 20).Settle(20)
	if d := l.WaitTime(20); d < 30*time.Second {
		t.Errorf("the wait for 20 more tokens is %v, want at least 30s", d)
	}
}

// A pause continues in the fallback. A pause that starts in the fallback continues in Redis.
func TestPausesContinueAcrossOutages(t *testing.T) {
	s, _, l := newFallback(t, fallbackLimit, func(l limiter.Backend) { l.Pause(time.Now().Add(time.Minute)); l.Snapshot() })
	if d := l.WaitTime(0); d < 50*time.Second {
		t.Errorf("the expected wait is %v, want at least the 50s left of the pause", d)
	}
	l.Pause(time.Now().Add(time.Hour))
	s.resume(t)
	eventually(t, "Redis has the pause", func() bool {
		snapshot := l.Snapshot()
		return snapshot.AvailableTokens > 900 && time.Until(snapshot.PausedUntil) > 50*time.Minute
	})
}

// When Redis is reachable again, it holds the calls that the fallback admitted, and calls that
// waited in the fallback wait for Redis.
func TestFallbackCallsMoveToRedis(t *testing.T) {
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
	eventually(t, "Redis has 250 tokens in flight and 60 used", isAvailable(l, 1, 1000-60-(100+150)/2))
	if err := inFlight.Retry(context.Background()); err != nil {
		t.Error(err)
	}
	second.Cancel()
	inFlight.Settle(40)
	eventually(t, "Redis has 100 tokens used", isAvailable(l, 900, 900))
	if snapshot := l.Snapshot(); snapshot.Admitted != 3 || snapshot.Settled != 2 || snapshot.Cancelled != 1 || snapshot.InFlight != 0 || snapshot.HeldTokens != 0 {
		t.Errorf("snapshot %+v", snapshot)
	}
}

// Redis counts the requests that the fallback admitted.
func TestFallbackRequestsCountInRedis(t *testing.T) {
	limit := limiter.Limit{RequestsPerSecond: 2, RequestBurst: 16, TokensPerMinute: 1000} // 16 in 8 s
	s, _, l := newFallback(t, limit, func(limiter.Backend) {})
	begin := time.Now()
	p := acquire(t, l, 0)
	if took := time.Since(begin); took < time.Second {
		t.Errorf("the fallback admits a request after %v, want at least 1s", took)
	}
	p.Settle(0)
	s.resume(t)
	eventually(t, "Redis has counted the request", func() bool {
		snapshot := l.Snapshot()
		return snapshot.AvailableTokens == 1000 && snapshot.AvailableRequests <= 15
	})
}

// Settle and Close end waits in the fallback.
func TestSettleAndCloseEndFallbackWaits(t *testing.T) {
	var before limiter.Admission
	_, store, l := newFallback(t, limiter.Limit{RequestsPerSecond: 1e-6, RequestBurst: 10, TokensPerMinute: 1000}, func(l limiter.Backend) { before = acquire(t, l, 10) })
	failed := make(chan error)
	wait := func(do func() error) {
		go func() { failed <- do() }()
		eventually(t, "the call waits", func() bool { return l.Snapshot().Waiting == 1 })
	}
	wait(func() error { return before.Retry(context.Background()) })
	before.Settle(10)
	if err := <-failed; !errors.Is(err, limiter.ErrFinished) {
		t.Errorf("error %v, want ErrFinished", err)
	}
	wait(func() error { _, err := l.Acquire(context.Background(), limiter.Call{Prompt: 1}); return err })
	store.Close()
	if err := <-failed; !errors.Is(err, limiter.ErrUnavailable) {
		t.Errorf("error %v, want ErrUnavailable", err)
	}
	if d := l.WaitTime(1); d != limiter.Never {
		t.Errorf("WaitTime returns %v, want Never", d)
	}
}

// Close sends all pending updates.
func TestCloseSendsUpdates(t *testing.T) {
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
		t.Errorf("error %v, want ErrUnavailable", err)
	}
}

// Calls whose callers give up at any moment leave no permits and no tickets.
func TestAbandonedCallsLeaveNoState(t *testing.T) {
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
					_ = p.Retry(ctx) // may fail: the deadline may have passed
					p.ReturnRequest()
					p.Settle(0)
				}
				cancel()
			}
		})
	}
	callers.Wait()
	l.Snapshot() // sends the pending updates
	for _, key := range []string{"permits", "tickets"} {
		if n := client.HLen(context.Background(), "{"+config.Prefix+":m}:"+key).Val(); n != 0 {
			t.Errorf("%d %s are left, want 0", n, key)
		}
	}
}
