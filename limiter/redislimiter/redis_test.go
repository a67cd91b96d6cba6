package redislimiter_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/alicebob/miniredis/v2"
	"github.com/redis/go-redis/v9"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter/redislimiter"
)

// slow refills 1 token/s. Its request rate never limits.
var slow = limiter.Limit{RequestsPerSecond: 1000, TokensPerMinute: 60, TokenBurst: 1000}

// rareRenewals renews no leases during a test, so that tests can count commands.
var rareRenewals = redislimiter.Config{Lease: time.Minute, Jitter: time.Millisecond}

func acquire(t testing.TB, l limiter.Backend, tokens int) limiter.Admission {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	p, err := l.Acquire(ctx, limiter.Call{Prompt: tokens})
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func eventually(t testing.TB, what string, is func() bool) {
	t.Helper()
	for range 4000 {
		if is() {
			return
		}
		time.Sleep(5 * time.Millisecond)
	}
	t.Fatalf("timeout: want that %s", what)
}

func isAvailable(l limiter.Backend, minTokens, maxTokens float64) func() bool {
	return func() bool {
		n := l.Snapshot().AvailableTokens
		return n >= minTokens && n <= maxTokens
	}
}

// A call with an earlier place replaces the head of the queue. The process withdraws the old
// ticket, so that it does not delay its own call.
func TestEarlierPlaceReplacesTicket(t *testing.T) {
	client := needServer(t).client(t)
	config := rareRenewals
	config.Prefix = newPrefix()
	l := newLimiter(t, openStore(t, client, config), limiter.Limit{RequestsPerSecond: 1e-6, TokensPerMinute: 60})
	acquire(t, l, 1).Settle(1)
	early := limiter.PlaceOf(t.Context())
	ctx, cancel := context.WithCancel(t.Context())
	var calls sync.WaitGroup
	wait := func(place limiter.Place) {
		calls.Go(func() { _, _ = l.Acquire(ctx, limiter.Call{Prompt: 1, Place: place}) })
	}
	tickets := func() []string {
		names, err := client.HKeys(t.Context(), "{"+config.Prefix+":m}:tickets").Result()
		if err != nil {
			t.Fatal(err)
		}
		return names
	}
	wait(limiter.Place{})
	var first []string
	eventually(t, "the first call has a ticket", func() bool { first = tickets(); return len(first) == 1 })
	wait(early)
	var now []string
	eventually(t, "the call with the earlier place has a ticket", func() bool { now = tickets(); return !slices.Equal(now, first) && len(now) > 0 })
	if len(now) > 1 {
		t.Errorf("the tickets are %q, want only that of the earlier call", now)
	}
	cancel()
	calls.Wait()
	eventually(t, "all tickets are withdrawn", func() bool { return len(tickets()) == 0 })
}

// A call takes two commands, or fewer if the command for the next call reports its end.
func TestRoundTrips(t *testing.T) {
	client := needServer(t).client(t)
	config := rareRenewals
	config.Jitter = time.Minute // Sent never sends an update
	l := newLimiter(t, openStore(t, client, config), slow)
	before := commands(t, client)
	remaining := 60
	for range 100 {
		p := acquire(t, l, 10)
		p.Sent()
		p.Settle(0)
		l.Observe(limiter.ServerState{RemainingTokens: &remaining}) // known already: no update
	}
	if n := commands(t, client) - before; n < 100 || n > 200 {
		t.Errorf("100 calls took %d commands, want 100 to 200", n)
	}
}

// Processes share calls, pauses, the server's state and limits.
func TestShared(t *testing.T) {
	client := newClient(t)
	config := rareRenewals
	config.Prefix = newPrefix()
	a := newLimiter(t, openStore(t, client, config), slow)
	b := newLimiter(t, openStore(t, client, config), slow)

	p := acquire(t, a, 1000)
	waiting := make(chan limiter.Admission)
	go func() { waiting <- acquire(t, b, 1000) }()
	eventually(t, "the other process waits", func() bool { return b.Snapshot().Waiting == 1 })
	if d := a.WaitTime(0); d != 0 {
		t.Errorf("the expected wait of a call without tokens is %v, want 0", d)
	}
	p.Settle(0) // the refund lets the call in the other process start
	(<-waiting).Cancel()

	a.Pause(time.Now().Add(time.Hour))
	eventually(t, "the other process is paused", func() bool { return !b.Snapshot().PausedUntil.IsZero() })
	remaining := 10
	a.Observe(limiter.ServerState{RemainingTokens: &remaining})
	eventually(t, "the other process knows the external usage of 50 tokens", isAvailable(b, -1000, 1000-50))
	lower := slow
	lower.TokenBurst = 500
	if err := a.SetLimit(lower); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Acquire(context.Background(), limiter.Call{Prompt: 501}); !errors.As(err, new(*limiter.TooLargeError)) {
		t.Errorf("error %v, want a TooLargeError of the new limit", err)
	}
	if b.Limit() != lower.WithDefaults() {
		t.Errorf("the limit of the other process is %+v, want %+v", b.Limit(), lower.WithDefaults())
	}
	if err := a.SetLimit(slow); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a call that was too large waits", func() bool {
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Millisecond)
		defer cancel()
		_, err := b.Acquire(ctx, limiter.Call{Prompt: 501})
		return errors.Is(err, context.DeadlineExceeded)
	})
}

// Large calls of one process start while another process makes small calls continuously.
func TestLargeCallsAreNotStarved(t *testing.T) {
	client := newClient(t)
	config := rareRenewals
	config.Prefix = newPrefix()
	limit := limiter.Limit{RequestsPerSecond: 1000, TokensPerMinute: 120_000, TokenBurst: 1000} // 2000 tokens/s
	small := newLimiter(t, openStore(t, client, config), limit)
	large := newLimiter(t, openStore(t, client, config), limit)
	ctx, cancel := context.WithCancel(context.Background())
	var callers sync.WaitGroup
	for range 20 {
		callers.Go(func() {
			for ctx.Err() == nil {
				if p, err := small.Acquire(ctx, limiter.Call{Prompt: 100}); err == nil {
					p.Settle(100)
				}
			}
		})
	}
	eventually(t, "small calls wait", func() bool { return small.Snapshot().Waiting > 10 })
	before := small.Snapshot().Admitted
	for range 3 {
		acquire(t, large, 1000).Settle(1000)
	}
	if small.Snapshot().Admitted == before {
		t.Error("no small calls were admitted meanwhile")
	}
	cancel()
	callers.Wait()
}

// A process whose callers gave up does not come before a busy process later.
func TestIdleProcessKeepsNoOldOrder(t *testing.T) {
	client := newClient(t)
	config := rareRenewals
	config.Prefix = newPrefix()
	limit := limiter.Limit{RequestsPerSecond: 100, RequestBurst: 1, TokensPerMinute: 600_000}
	idle := newLimiter(t, openStore(t, client, config), limit)
	busy := newLimiter(t, openStore(t, client, config), limit)
	ctx, cancel := context.WithCancel(context.Background())
	var callers sync.WaitGroup
	run := func(ctx context.Context, l limiter.Backend) {
		for range 5 {
			callers.Go(func() {
				for ctx.Err() == nil {
					if p, err := l.Acquire(ctx, limiter.Call{Prompt: 1}); err == nil {
						p.Settle(1)
					}
				}
			})
		}
	}
	work := func(l limiter.Backend, calls int64) {
		t.Helper()
		before := l.Snapshot().Admitted
		eventually(t, "calls are admitted", func() bool { return l.Snapshot().Admitted >= before+calls })
	}
	run(ctx, idle)
	work(idle, 5)
	cancel() // while further calls of the process wait
	callers.Wait()
	ctx, cancel = context.WithCancel(context.Background())
	run(ctx, busy)
	work(busy, 100)
	before := busy.Snapshot().Admitted
	run(ctx, idle)
	work(idle, 40)
	if n := busy.Snapshot().Admitted - before; n < 10 {
		t.Errorf("%d calls of the busy process are admitted beside 40 of the idle one, want at least 10", n)
	}
	cancel()
	callers.Wait()
}

// A retry comes before other calls. Its order does not apply to the calls behind it.
func TestRetryHasABacklogOfOne(t *testing.T) {
	client := newClient(t)
	config := rareRenewals
	config.Prefix = newPrefix()
	l := newLimiter(t, openStore(t, client, config), limiter.Limit{RequestsPerSecond: 0.01, TokensPerMinute: 600})
	p := acquire(t, l, 10)
	ctx, cancel := context.WithCancel(context.Background())
	var callers sync.WaitGroup
	for range 5 {
		callers.Go(func() { _, _ = l.Acquire(ctx, limiter.Call{Prompt: 10}) })
	}
	tickets := "{" + config.Prefix + ":m}:tickets"
	backlog := func(want string) func() bool {
		return func() bool {
			for _, ticket := range client.HGetAll(ctx, tickets).Val() {
				if strings.Fields(ticket)[3] == want {
					return true
				}
			}
			return false
		}
	}
	eventually(t, "the ticket has a backlog of 5", backlog("5"))
	callers.Go(func() { _ = p.Retry(ctx) })
	eventually(t, "the ticket of the retry has a backlog of 1", backlog("1"))
	cancel()
	callers.Wait()
	eventually(t, "no ticket is left", func() bool { return client.HLen(context.Background(), tickets).Val() == 0 })
}

// A process sends commands for the head of its queue only.
func TestTenThousandWaiters(t *testing.T) {
	client := needServer(t).client(t)
	l := newLimiter(t, openStore(t, client, rareRenewals), limiter.Limit{RequestsPerSecond: 20, TokensPerMinute: 60_000})
	ctx, cancel := context.WithCancel(context.Background())
	var callers sync.WaitGroup
	var admitted atomic.Int64
	for range 10_000 {
		callers.Go(func() {
			if p, err := l.Acquire(ctx, limiter.Call{Prompt: 1}); err == nil {
				admitted.Add(1)
				p.Settle(1)
			}
		})
	}
	eventually(t, "all are in the queue", func() bool { s := l.Snapshot(); return s.Waiting+int(s.Admitted) == 10_000 })
	before, first, begin := commands(t, client), admitted.Load(), time.Now()
	eventually(t, "sixty calls start", func() bool { return admitted.Load() >= first+60 })
	n, calls, took := commands(t, client)-before, admitted.Load()-first, time.Since(begin)
	cancel()
	callers.Wait()
	t.Logf("%d commands for %d calls in %v", n, calls, took)
	// Three commands a call: one admits it, one returns that the next call must wait, one settles it.
	if limit := 3*int(calls) + 4*int(took.Seconds()+1) + 5; n > limit {
		t.Errorf("%d commands for %d calls in %v, want at most %d", n, calls, took, limit)
	}
	if s := l.Snapshot(); s.Waiting != 0 || s.InFlight != 0 {
		t.Errorf("%d calls wait and %d are in flight, want 0", s.Waiting, s.InFlight)
	}
}

// All keys of a model are in one hash slot.
func TestCluster(t *testing.T) {
	s := needServer(t, "--cluster-enabled", "yes", "--cluster-config-file", fmt.Sprintf("nodes-%d.conf", os.Getpid()), "--dir", t.TempDir())
	ctx := context.Background()
	if err := s.client(t).Do(ctx, "CLUSTER", "ADDSLOTSRANGE", 0, 16383).Err(); err != nil {
		t.Fatal(err)
	}
	client := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{s.addr}})
	t.Cleanup(func() { _ = client.Close() })
	eventually(t, "the cluster is up", func() bool { return client.Set(ctx, "up", 1, 0).Err() == nil })
	store := openStore(t, client, rareRenewals)
	for _, model := range []string{"", "mistral-large-latest", "odd}{name"} {
		l, err := store.Limiter(model, slow)
		if err != nil {
			t.Fatalf("model %q: %v", model, err)
		}
		acquire(t, l, 100).Settle(30)
		if !isAvailable(l, 960, 990)() {
			t.Errorf("model %q: %v tokens are available, want 970", model, l.Snapshot().AvailableTokens)
		}
	}
}

// A process restores more permits than one command can name.
func TestJoinWithManyPermits(t *testing.T) {
	server := miniredis.RunT(t)
	client := redis.NewClient(&redis.Options{Addr: server.Addr()})
	t.Cleanup(func() { _ = client.Close() })
	config := redislimiter.Config{Prefix: newPrefix(), Lease: time.Second, Timeout: time.Minute}
	l := newLimiter(t, openStore(t, client, config), limiter.Limit{RequestsPerSecond: 100_000, TokensPerMinute: 1_000_000})
	const calls = 1100
	for range calls {
		acquire(t, l, 10)
	}
	server.FlushAll()
	before := l.Snapshot()
	if n := client.HLen(context.Background(), "{"+config.Prefix+":m}:permits").Val(); n != calls {
		t.Errorf("Redis holds %d calls in the new epoch, want %d", n, calls)
	}
	if before.InFlight != calls {
		t.Errorf("%d calls are in flight, want %d", before.InFlight, calls)
	}
}

func TestStoreHasOneLimiterForEachModel(t *testing.T) {
	store := openStore(t, newClient(t), rareRenewals)
	if newLimiter(t, store, slow) != newLimiter(t, store, slow) {
		t.Error("two calls for the same model return different limiters")
	}
	if _, err := store.Limiter("m", limiter.Limit{}); !errors.As(err, new(*limiter.LimitError)) {
		t.Errorf("error %v, want a LimitError", err)
	}
}

func TestConfigIsChecked(t *testing.T) {
	for field, config := range map[string]redislimiter.Config{
		"Jitter":    {Jitter: -1},
		"MaxDelay":  {MaxDelay: -1},
		"BaseDelay": {BaseDelay: time.Minute},
		"Lease":     {Lease: time.Millisecond},
		"Timeout":   {Timeout: time.Hour},
		"Patience":  {Patience: -1},
		"Fallback":  {Fallback: 1.1},
	} {
		if _, err := redislimiter.Open(context.Background(), newClient(t), config); err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("error %v, want an error about %s", err, field)
		}
	}
}
