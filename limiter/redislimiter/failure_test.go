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
	if _, err := redislimiter.Open(context.Background(), client, redislimiter.Config{}); err == nil || !strings.Contains(err.Error(), "cannot reach Redis") {
		t.Errorf("error %v, want cannot reach Redis", err)
	}
}

func TestScriptFlush(t *testing.T) {
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

// While Redis hangs, calls wait and then fail. Calls that end meanwhile are reported afterward.
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
		t.Errorf("error %v, want DeadlineExceeded", err)
	}
	_, err := l.Acquire(context.Background(), limiter.Call{Prompt: 1})
	var unavailable *redislimiter.UnavailableError
	if !errors.As(err, &unavailable) || !errors.Is(err, limiter.ErrUnavailable) || unavailable.Since < config.Patience {
		t.Errorf("error %v, want an UnavailableError", err)
	}
	if err := settled.Retry(context.Background()); !errors.Is(err, limiter.ErrUnavailable) {
		t.Errorf("error %v of a retry, want ErrUnavailable", err)
	}
	settled.Settle(40)
	cancelled.Cancel()
	if snapshot := l.Snapshot(); snapshot.AvailableTokens != 0 || snapshot.Admitted != 2 || snapshot.InFlight != 0 {
		t.Errorf("snapshot %+v, want 0 available, 2 admitted and 0 in flight", snapshot)
	}
	if d := l.WaitTime(1); d != limiter.Never {
		t.Errorf("WaitTime returns %v, want Never", d)
	}
	if err := s.command.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	eventually(t, "960–990 tokens are available", isAvailable(l, 960, 990))
	acquire(t, l, 900)
}

// The fallback admits calls within its share. Redis is charged for them once it is reachable again.
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
		t.Errorf("error %v of a call that is larger than the share, want ErrUnavailable", err)
	}
	ctx, cancel := context.WithTimeout(context.Background(), 100*time.Millisecond)
	defer cancel()
	if _, err := l.Acquire(ctx, limiter.Call{Prompt: 200}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v of a call beyond the share, want DeadlineExceeded", err)
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
	eventually(t, "no call is held and 250 tokens are charged", func() bool {
		return isAvailable(l, 749, 751)() && s.client(t).HLen(context.Background(), permits).Val() == 0
	})
}

// After Redis restarts without data, the processes restore the state.
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
		t.Errorf("error %v of the waiting call", err)
	}
	inFlight.Settle(900)
	eventually(t, "both processes have restored their state", isAvailable(a, 0, 2000))
	if !isAvailable(b, 1900, 2000)() {
		t.Errorf("%v tokens are available, want 6000 - 1000 - 2000 - 100 - 900 = 2000", b.Snapshot().AvailableTokens)
	}
}

// A process without calls in flight restores its usage.
func TestIdleProcessRestoresItsUsage(t *testing.T) {
	client := needServer(t).client(t)
	config := redislimiter.Config{Prefix: newPrefix(), Lease: time.Second}
	limit := limiter.Limit{RequestsPerSecond: 1000, TokensPerMinute: 1000}
	idle, busy := newLimiter(t, openStore(t, client, config), limit), newLimiter(t, openStore(t, client, config), limit)
	acquire(t, idle, 900).Settle(900)
	idle.Snapshot() // sends the pending updates
	acquire(t, busy, 10).Settle(10)
	busy.Snapshot()
	client.FlushAll(context.Background())
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	if _, err := busy.Acquire(ctx, limiter.Call{Prompt: 500}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v of a call of 500 tokens, want DeadlineExceeded", err)
	}
	if !isAvailable(busy, 80, 100)() {
		t.Errorf("%v tokens are available, want 1000 - 900 - 10 = 90", busy.Snapshot().AvailableTokens)
	}
}

// One of two processes is killed while it has calls in flight and a waiting call.
func TestProcessIsKilled(t *testing.T) {
	if prefix := os.Getenv("REDISLIMITER_VICTIM"); prefix != "" {
		runVictim(t, prefix)
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
	eventually(t, "the process has calls in flight and a waiting call", func() bool {
		return client.HLen(ctx, permits).Val() == 3 && client.HLen(ctx, tickets).Val() == 1
	})
	leases := func() []redis.Z {
		return client.ZRangeWithScores(ctx, "{"+config.Prefix+":m}:leases", 0, 0).Val()
	}
	first := leases()[0].Score
	eventually(t, "the running process renews its leases", func() bool {
		now := leases()
		return len(now) == 0 || now[0].Score > first+float64(1500*time.Millisecond/time.Microsecond)
	})
	if n := client.HLen(ctx, permits).Val(); n != 3 {
		t.Fatalf("Redis holds %d calls of the running process, want 3", n)
	}
	if err := victim.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	acquire(t, l, 100).Settle(0) // fits once the ticket has expired
	eventually(t, "Redis holds no calls of the killed process", func() bool {
		l.Snapshot()
		return client.HLen(ctx, permits).Val() == 0
	})
	if n := l.Snapshot().AvailableTokens; n < 390 || n > 450 {
		t.Errorf("%v tokens are available, want 1000 - 600 = 400: the calls in flight may have used their estimates", n)
	}
}

func runVictim(t *testing.T, prefix string) {
	t.Helper()
	l := newLimiter(t, openStore(t, newClient(t), redislimiter.Config{Prefix: prefix, Lease: time.Second}), slow)
	for range 3 {
		acquire(t, l, 200)
	}
	_, err := l.Acquire(context.Background(), limiter.Call{Prompt: 900})
	t.Fatalf("Acquire returned with error %v, want it to wait", err)
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
	eventually(t, "the call has failed", func() bool { return len(failed) == 1 })
	if err := <-failed; !errors.Is(err, limiter.ErrUnavailable) {
		t.Errorf("error %v, want ErrUnavailable", err)
	}
	if _, err := l.Acquire(context.Background(), limiter.Call{Prompt: 1}); !errors.Is(err, limiter.ErrUnavailable) {
		t.Errorf("error %v, want ErrUnavailable", err)
	}
}
