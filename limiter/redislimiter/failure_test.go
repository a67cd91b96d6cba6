package redislimiter_test

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter/redislimiter"
)

func TestUnreachableAtTheStart(t *testing.T) {
	s := needServer(t)
	client := s.client(t)
	s.kill()
	if _, err := redislimiter.Open(context.Background(), client, redislimiter.Config{}); err == nil || !strings.Contains(err.Error(), "cannot be reached") {
		t.Errorf("error %v, want one that says that Redis cannot be reached", err)
	}
}

func TestScriptIsForgotten(t *testing.T) {
	client := needServer(t).client(t)
	l := newLimiter(t, openStore(t, client, rareRenewals), slow)
	p := acquire(t, l, 400)
	if err := client.ScriptFlush(context.Background()).Err(); err != nil {
		t.Fatal(err)
	}
	p.Settle(100)
	if !isAvailable(l, 899, 920)() {
		t.Errorf("%v tokens are available, want 900", l.Snapshot().AvailableTokens)
	}
}

// A Redis that stands still: calls wait, then fail; what ends meanwhile is delivered.
func TestRedisHangs(t *testing.T) {
	s := needServer(t)
	config := redislimiter.Config{Timeout: 50 * time.Millisecond, Patience: 300 * time.Millisecond, Lease: 10 * time.Second}
	l := newLimiter(t, openStore(t, s.client(t), config), slow)
	settled, cancelled := acquire(t, l, 100), acquire(t, l, 200)
	if err := s.command.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
	defer cancel()
	if _, err := l.Acquire(ctx, limiter.Call{Prompt: 50}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want that the caller gave up", err)
	}
	_, err := l.Acquire(context.Background(), limiter.Call{Prompt: 1})
	var away *redislimiter.UnavailableError
	if !errors.As(err, &away) || !errors.Is(err, limiter.ErrUnavailable) || away.Since < config.Patience {
		t.Errorf("error %v, want that Redis is away", err)
	}
	if err := settled.Retry(context.Background()); !errors.Is(err, limiter.ErrUnavailable) {
		t.Errorf("error %v of a retry, want that Redis is away", err)
	}
	settled.Settle(40)
	cancelled.Cancel()
	if snapshot := l.Snapshot(); snapshot.AvailableTokens != 0 || snapshot.Admitted != 2 || snapshot.InFlight != 0 {
		t.Errorf("snapshot %+v", snapshot)
	}
	if l.WaitTime(1) != limiter.Never {
		t.Error("a wait is foretold")
	}
	if err := s.command.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the books are right", isAvailable(l, 960, 990))
	acquire(t, l, 900)
}

// Without Redis, within a share; what was used then is charged when it is back.
func TestFallback(t *testing.T) {
	s := needServer(t)
	config := redislimiter.Config{Prefix: newPrefix(), Timeout: 50 * time.Millisecond, Patience: 100 * time.Millisecond, Fallback: 0.25, Jitter: time.Millisecond}
	l := newLimiter(t, openStore(t, s.client(t), config), limiter.Limit{RequestsPerSecond: 40, TokensPerMinute: 1000})
	before := acquire(t, l, 10)
	if err := s.command.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	p := acquire(t, l, 200)
	if _, err := l.Acquire(context.Background(), limiter.Call{Prompt: 251}); !errors.Is(err, limiter.ErrUnavailable) {
		t.Errorf("error %v of a call that is larger than the share", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if _, err := l.Acquire(ctx, limiter.Call{Prompt: 200}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v: the share is used up", err)
	}
	if err := p.Retry(context.Background()); err != nil {
		t.Error(err)
	}
	if err := before.Retry(context.Background()); err != nil {
		t.Error(err)
	}
	p.Settle(240)
	before.Settle(10)
	if snapshot := l.Snapshot(); snapshot.Admitted != 2 || snapshot.Settled != 2 || snapshot.InFlight != 0 || snapshot.Retried != 2 || snapshot.Abandoned != 2 {
		t.Errorf("snapshot %+v", snapshot)
	}
	if err := s.command.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	permits := "{" + config.Prefix + ":m}:permits"
	eventually(t, "nothing is held, and what was used is charged", func() bool {
		return isAvailable(l, 749, 751)() && s.client(t).HLen(context.Background(), permits).Val() == 0
	})
}

// A Redis that restarts without its data gets the books from those who have them.
func TestRedisRestarts(t *testing.T) {
	s := needServer(t)
	config := redislimiter.Config{Prefix: newPrefix(), Lease: time.Second}
	limit := limiter.Limit{RequestsPerSecond: 1000, TokensPerMinute: 6000}
	a := newLimiter(t, openStore(t, s.client(t), config), limit)
	b := newLimiter(t, openStore(t, s.client(t), config), limit)
	acquire(t, a, 1000).Settle(1000)
	acquire(t, b, 2000).Settle(2000)
	inFlight := acquire(t, a, 500)
	s.kill()
	waiting := make(chan error)
	go func() {
		p, err := b.Acquire(context.Background(), limiter.Call{Prompt: 100})
		if err == nil {
			p.Settle(100)
		}
		waiting <- err
	}()
	eventually(t, "a call waits", func() bool { return b.Snapshot().Waiting == 1 })
	if err := s.start(); err != nil {
		t.Fatal(err)
	}
	if err := <-waiting; err != nil {
		t.Errorf("the call that waited: %v", err)
	}
	inFlight.Settle(900)
	eventually(t, "both have brought their books", isAvailable(a, 0, 2000))
	if !isAvailable(b, 1900, 2000)() {
		t.Errorf("%v tokens are available, want 6000 - 1000 - 2000 - 100 - 900", b.Snapshot().AvailableTokens)
	}
}

// A process that has nothing in flight brings what it used.
func TestIdleProcessBringsItsBooks(t *testing.T) {
	client := needServer(t).client(t)
	config := redislimiter.Config{Prefix: newPrefix(), Lease: time.Second}
	limit := limiter.Limit{RequestsPerSecond: 1000, TokensPerMinute: 1000}
	idle, busy := newLimiter(t, openStore(t, client, config), limit), newLimiter(t, openStore(t, client, config), limit)
	acquire(t, idle, 900).Settle(900)
	idle.Snapshot() // with that, Redis is told
	acquire(t, busy, 10).Settle(10)
	busy.Snapshot()
	client.FlushAll(context.Background())
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if _, err := busy.Acquire(ctx, limiter.Call{Prompt: 500}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v, want that 500 tokens are missing", err)
	}
	if !isAvailable(busy, 80, 100)() {
		t.Errorf("%v tokens are available, want 1000 - 900 - 10", busy.Snapshot().AvailableTokens)
	}
}

// One process of two is killed while it has calls in flight and waits for more.
func TestProcessIsKilled(t *testing.T) {
	if prefix := os.Getenv("REDISLIMITER_VICTIM"); prefix != "" {
		beVictim(t, prefix)
	}
	s := needServer(t)
	client := s.client(t)
	config := redislimiter.Config{Prefix: newPrefix(), Lease: time.Second}
	l := newLimiter(t, openStore(t, client, config), slow)
	ctx := context.Background()
	permits, tickets := "{"+config.Prefix+":m}:permits", "{"+config.Prefix+":m}:tickets"

	victim := exec.Command(os.Args[0], "-test.run=^TestProcessIsKilled$")
	victim.Env = append(os.Environ(), "REDISLIMITER_VICTIM="+config.Prefix, "REDIS_URL=redis://"+s.addr)
	if err := victim.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = victim.Process.Kill()
		_ = victim.Wait()
	}()
	eventually(t, "it has calls in flight, and one that waits", func() bool {
		return client.HLen(ctx, permits).Val() == 3 && client.HLen(ctx, tickets).Val() == 1
	})
	leases := func() []redis.Z {
		return client.ZRangeWithScores(ctx, "{"+config.Prefix+":m}:leases", 0, 0).Val()
	}
	first := leases()[0].Score
	eventually(t, "its leases go on while it lives", func() bool {
		now := leases()
		return len(now) == 0 || now[0].Score > first+float64(1500*time.Millisecond/time.Microsecond)
	})
	if n := client.HLen(ctx, permits).Val(); n != 3 {
		t.Fatalf("it lives, and %d of its calls are held", n)
	}
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	acquire(t, l, 100).Settle(0) // there is room for it, once the ticket has run out
	eventually(t, "its calls are not held any more", func() bool {
		l.Snapshot()
		return client.HLen(ctx, permits).Val() == 0
	})
	if n := l.Snapshot().AvailableTokens; n < 390 || n > 450 {
		t.Errorf("%v tokens are available, want 1000 - 600, which may have been used", n)
	}
}

func beVictim(t *testing.T, prefix string) {
	t.Helper()
	l := newLimiter(t, openStore(t, newClient(t), redislimiter.Config{Prefix: prefix, Lease: time.Second}), slow)
	for range 3 {
		acquire(t, l, 200)
	}
	_, err := l.Acquire(context.Background(), limiter.Call{Prompt: 900})
	t.Fatal("it is admitted", err)
}

func TestCloseEndsWaits(t *testing.T) {
	client := newClient(t)
	config := rareRenewals
	config.Prefix, config.Patience = newPrefix(), time.Hour
	store := openStore(t, client, config)
	l := newLimiter(t, store, slow)
	acquire(t, l, 1000)
	failed := make(chan error, 1)
	go func() {
		_, err := l.Acquire(context.Background(), limiter.Call{Prompt: 1000})
		failed <- err
	}()
	eventually(t, "a call waits", func() bool { return l.Snapshot().Waiting == 1 })
	store.Close()
	tickets := "{" + config.Prefix + ":m}:tickets"
	if n := client.HLen(context.Background(), tickets).Val(); n != 0 {
		t.Errorf("%d tickets are left", n)
	}
	eventually(t, "it has failed", func() bool { return len(failed) == 1 })
	if err := <-failed; !errors.Is(err, limiter.ErrUnavailable) {
		t.Errorf("error %v, want that the limiter is not available", err)
	}
	if _, err := l.Acquire(context.Background(), limiter.Call{Prompt: 1}); !errors.Is(err, limiter.ErrUnavailable) {
		t.Errorf("error %v, want that the limiter is not available", err)
	}
}
