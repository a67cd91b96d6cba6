package limiter_test

import (
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// A concurrent server bounds the number of calls that it processes at a time.
type concurrencyServer struct {
	maximum             int
	mu                  sync.Mutex
	now, peak           int
	rejected, completed int
}

func (s *concurrencyServer) enter() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.now == s.maximum {
		s.rejected++
		return false
	}
	s.now++
	s.completed++
	s.peak = max(s.peak, s.now)
	return true
}

func (s *concurrencyServer) leave() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.now--
}

// occupy lets workers make calls of five seconds until the given time.
func (b *testLimiter) occupy(s *concurrencyServer, workers int, end time.Duration) {
	var all sync.WaitGroup
	for range workers {
		all.Go(func() {
			for b.now() < end {
				p := b.acquire(1)
				for !s.enter() {
					p.Throttled(limiter.Throttle{Concurrent: true})
					if err := p.Retry(b.Context()); err != nil {
						b.Error(err)
					}
				}
				time.Sleep(5 * time.Second)
				s.leave()
				p.Settle(1)
			}
		})
	}
	all.Wait()
	snapshot := b.Snapshot()
	equal(b, "in flight", snapshot.InFlight, 0)
	equal(b, "waiting", snapshot.Waiting, 0)
}

func TestMaxInFlight(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 100, TokensPerMinute: unlimitedRate}, func(b *testLimiter) {
		server := &concurrencyServer{maximum: 1000}
		b.occupy(server, 20, 5*time.Minute)
		equal(b, "calls at a time", server.peak, 7)
		equal(b, "calls", server.completed >= 7*60, true)
	}, limiter.MaxInFlight(7), guarded)
}

// The bound on calls in flight is lowered when the server rejects calls because of it. No rate is lowered.
func TestInFlightIsLearned(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 100, TokensPerMinute: unlimitedRate}, func(b *testLimiter) {
		server := &concurrencyServer{maximum: 4}
		b.occupy(server, 20, 30*time.Minute)
		if maximum := 4 * 30 * 60 / 5; server.completed < maximum*9/10 {
			t.Errorf("%d calls in half an hour, want about %d", server.completed, maximum)
		}
		if server.rejected > 60 {
			t.Errorf("the server rejected %d calls", server.rejected)
		}
		equal(b, "requests per second", b.Limit().RequestsPerSecond, 100)
		t.Logf("%d calls, %d rejected", server.completed, server.rejected)
	}, guarded)
}

// The expected wait for a slot in flight follows from the duration of calls.
func TestWaitTimeAtMaxInFlight(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 100, TokensPerMinute: unlimitedRate}, func(b *testLimiter) {
		for range 3 {
			p := b.acquire(1)
			time.Sleep(10 * time.Second)
			p.Settle(1)
		}
		for range 2 {
			b.acquire(1)
		}
		equal(b, "wait of the first", b.WaitTime(1), 5*time.Second)
		b.goAcquire(b.Context(), 1)
		equal(b, "wait of the second", b.WaitTime(1), 10*time.Second)
		equal(b, "waiting", b.Snapshot().Waiting, 1)
	}, limiter.MaxInFlight(2), guarded)
}

// Backfilled calls respect the bound too.
func TestMaxInFlightOfBackfilledCalls(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 10, TokensPerMinute: 60_000}, func(b *testLimiter) {
		b.use(30_000)
		p := b.acquire(1)
		b.until(5 * time.Second)
		b.goAcquire(b.Context(), 50_000)
		for range 5 {
			b.goAcquire(b.Context(), 10)
		}
		b.until(20 * time.Second)
		equal(b, "in flight", b.Snapshot().InFlight, 1)
		equal(b, "waiting", b.Snapshot().Waiting, 6)
		p.Settle(1)
	}, guarded, limiter.MaxInFlight(1))
}

// One incident lowers the bound by the number of rejected calls. A new limit resets the bound.
func TestConcurrencyOfAnIncident(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 100, TokensPerMinute: 60_000}, func(b *testLimiter) {
		var permits []*limiter.Permit
		for range 40 {
			permits = append(permits, b.acquire(1))
		}
		for _, p := range permits[:30] {
			p.Throttled(limiter.Throttle{Concurrent: true, RetryAfter: time.Second})
			b.goRetry(b.Context(), p)
		}
		b.until(30 * time.Second)
		equal(b, "retries that wait for ten calls", b.Snapshot().Waiting, 30)
		for _, p := range permits[30:] {
			p.Settle(1)
		}
		synctest.Wait()
		equal(b, "retries that wait for ten other calls", b.Snapshot().Waiting, 20)
		if err := b.SetLimit(limiter.Limit{RequestsPerSecond: 100, TokensPerMinute: 60_000}); err != nil {
			b.Fatal(err)
		}
		synctest.Wait()
		equal(b, "retries that wait after that", b.Snapshot().Waiting, 0)
		for _, p := range permits[:30] {
			p.Settle(1)
		}
	})
}

// A model with a nested limiter, which then gets a separate limit, keeps the configured bound.
func TestMaxInFlightAfterSet(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		limit := limiter.Limit{RequestsPerSecond: 10, TokensPerMinute: 60_000}
		g, err := limiter.NewGroup(limit, nil, limiter.InProcess(limiter.MaxInFlight(2)))
		if err != nil {
			t.Fatal(err)
		}
		reportLimit(g, "m", 6000)
		if err := g.Set("m", limit); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			if _, err := g.For("m").Acquire(t.Context(), limiter.Call{}); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := g.For("m").Acquire(t.Context(), limiter.Call{MaxWait: limiter.NoWait}); !errors.Is(err, limiter.ErrWouldWait) {
			t.Errorf("error of a third call: %v", err)
		}
	})
}
