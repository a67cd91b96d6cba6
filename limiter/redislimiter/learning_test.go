package redislimiter_test

import (
	"context"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/alicebob/miniredis/v2"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter/redislimiter"
)

// enforcer is a server that enforces a request rate in sliding or fixed windows.
type enforcer struct {
	window time.Duration
	max    int // The maximum number of requests in a window.
	fixed  bool

	mu                  sync.Mutex
	accepted, throttled []time.Duration
}

// accept reports whether the server accepts a request at the given time.
func (e *enforcer) accept(now time.Duration) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	begin := now - e.window
	if e.fixed {
		begin = now.Truncate(e.window) - 1
	}
	if n := len(e.accepted) - e.max; n >= 0 && e.accepted[n] > begin {
		e.throttled = append(e.throttled, now)
		return false
	}
	e.accepted = append(e.accepted, now)
	return true
}

// share returns which share of the server's rate was used between two times.
func (e *enforcer) share(from, to time.Duration) float64 {
	n := 0
	for _, at := range e.accepted {
		if at >= from && at < to {
			n++
		}
	}
	return float64(n) / float64(e.max) * e.window.Seconds() / (to - from).Seconds()
}

// fleet is a number of processes that share the limits of one account, in virtual time. They reach
// Redis without a network.
type fleet struct {
	*testing.T
	redis  *miniredis.Miniredis
	config redislimiter.Config
	limit  limiter.Limit
	all    []limiter.Backend
	begin  time.Time
}

// inFleet runs f with a fleet of the given number of processes.
func inFleet(t *testing.T, processes int, limit limiter.Limit, config redislimiter.Config, f func(*fleet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &fleet{T: t, redis: miniredis.NewMiniRedis(), config: config, limit: limit, begin: time.Now()}
		l.config.Prefix = "fleet"
		for range processes {
			l.add()
		}
		f(l)
	})
}

// add starts a process.
func (f *fleet) add() limiter.Backend {
	f.Helper()
	store, err := redislimiter.Open(context.Background(), dial(f, f.redis), f.config)
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(store.Close)
	l := newLimiter(f, store, f.limit)
	f.all = append(f.all, l)
	return l
}

func (f *fleet) now() time.Duration { return time.Since(f.begin) }

// keepBusy makes calls of 10 tokens with several workers in every process until the given time. A
// request reaches the server after 20–60 ms. With noHints, a 429 response has only its status.
func (f *fleet) keepBusy(e *enforcer, workers int, end time.Duration, noHints bool) {
	var wg sync.WaitGroup
	for i := range workers * len(f.all) {
		wg.Go(func() {
			l := f.all[i%len(f.all)]
			for n := i; f.now() < end; n++ {
				p, err := l.Acquire(context.Background(), limiter.Call{Prompt: 10})
				if err != nil {
					f.Errorf("at %v: Acquire: %v", f.now(), err)
					return
				}
				for {
					time.Sleep(time.Duration(20+17*n%40) * time.Millisecond)
					if e.accept(f.now()) {
						break
					}
					time.Sleep(30 * time.Millisecond)
					r := limiter.Throttle{Requests: !noHints}
					if !noHints {
						r.RetryAfter = time.Second
					}
					p.Throttled(r)
					if err := p.Retry(context.Background()); err != nil {
						f.Errorf("at %v: Retry: %v", f.now(), err)
						return
					}
				}
				time.Sleep(500 * time.Millisecond)
				p.Settle(10)
			}
		})
	}
	wg.Wait()
}

// busy returns a limit whose requests a fleet uses completely.
func busy(rps float64) limiter.Limit {
	return limiter.Limit{RequestsPerSecond: rps, TokensPerMinute: 1_000_000}
}

// Processes with a configured limit above the server's learn the server's limit together. A process
// that starts later adopts it.
func TestFleetLearnsLowerRate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		server    *enforcer
		noHints   bool
		rps       float64
		processes int
	}{
		"four of five, sliding":      {&enforcer{window: time.Second, max: 4}, false, 5, 3},
		"half, fixed, without hints": {&enforcer{window: 2 * time.Second, max: 1, fixed: true}, true, 1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inFleet(t, c.processes, busy(c.rps), redislimiter.Config{}, func(f *fleet) {
				const settled, end, more = 90 * time.Second, 4 * time.Minute, 5 * time.Minute
				f.keepBusy(c.server, 3, end, c.noHints)
				if used := c.server.share(settled, end); used < 0.85 {
					f.Errorf("%.0f%% of the server's rate is used, want at least 85%%", 100*used)
				}
				throttled := len(c.server.throttled)
				if throttled >= 20 {
					f.Errorf("%d requests are throttled, want fewer than 20", throttled)
				}
				before := f.all[0].Snapshot()
				for _, l := range append(f.all, f.add()) {
					s := l.Snapshot()
					if s.Limit != before.Limit || s.RequestsFrom != limiter.FromRefusals || s.TokensFrom != limiter.FromConfiguration || s.Configured != f.limit.WithDefaults() {
						f.Errorf("limit %+v from %s and %s, want %+v", s.Limit, s.RequestsFrom, s.TokensFrom, before.Limit)
					}
				}
				f.keepBusy(c.server, 3, more, c.noHints)
				if n := len(c.server.throttled) - throttled; n > 5 {
					f.Errorf("%d more requests are throttled with another process, want at most 5", n)
				}
			})
		})
	}
}

// With LearnLimits, processes that each use a third of the rate raise it together.
func TestFleetLearnsHigherRate(t *testing.T) {
	t.Parallel()
	server := &enforcer{window: time.Second, max: 6}
	inFleet(t, 3, busy(1), redislimiter.Config{LearnLimits: true}, func(f *fleet) {
		const settled, end = 90 * time.Second, 3 * time.Minute
		f.keepBusy(server, 3, end, false)
		if used := server.share(settled, end); used < 0.85 {
			f.Errorf("%.0f%% of the server's rate is used, want at least 85%%", 100*used)
		}
		if n := len(server.throttled); n > 20 {
			f.Errorf("%d requests are throttled, want at most 20", n)
		}
		if s := f.all[2].Snapshot(); s.RequestsFrom != limiter.FromUse || s.Configured.RequestsPerSecond != 1 {
			f.Errorf("snapshot %+v, want a rate from use and a configured rate of 1 request/s", s)
		}
	})
}

// lower throttles requests of the first process until it has learned a lower rate, and reports a
// header with a limit of 500,000 tokens. It returns the limit in force.
func (f *fleet) lower() limiter.Limit {
	f.Helper()
	l := f.all[0]
	for l.Snapshot().RequestsFrom == limiter.FromConfiguration {
		for range 5 {
			acquire(f, l, 1).Settle(1)
		}
		p := acquire(f, l, 1)
		p.Throttled(limiter.Throttle{Requests: true, RetryAfter: time.Second})
		p.Settle(0)
	}
	half := 500_000
	l.Observe(limiter.ServerState{LimitTokens: &half, RemainingTokens: &half})
	eventually(f, "the token limit comes from headers", func() bool { return l.Snapshot().TokensFrom == limiter.FromHeaders })
	return l.Limit()
}

// After Redis loses its data, the processes restore the learned rates.
func TestFleetRestoresLearnedRates(t *testing.T) {
	inFleet(t, 2, busy(5), redislimiter.Config{}, func(f *fleet) {
		want := f.lower()
		f.all[1].Snapshot() // learns the new rates
		f.redis.FlushAll()
		for _, l := range append(f.all, f.add()) {
			s := l.Snapshot()
			if s.Limit != want || s.RequestsFrom != limiter.FromRefusals || s.TokensFrom != limiter.FromHeaders || s.Configured != f.limit.WithDefaults() {
				f.Errorf("limit %+v from %s and %s, want %+v", s.Limit, s.RequestsFrom, s.TokensFrom, want)
			}
		}
		acquire(f, f.all[0], 1).Settle(1) // learning continues from these rates
		time.Sleep(time.Minute)
		acquire(f, f.all[0], 1).Settle(1)
		if s := f.all[1].Snapshot(); s.Limit != want {
			f.Errorf("limit %+v, want %+v", s.Limit, want)
		}
	})
}

// Redis and the processes forget learned rates that are not used.
func TestFleetForgetsUnusedRates(t *testing.T) {
	inFleet(t, 2, busy(5), redislimiter.Config{}, func(f *fleet) {
		f.redis.ClockTTL(true)
		want := f.lower()
		time.Sleep(45 * time.Minute)
		if got := f.all[1].Snapshot().Limit; got != want { // Redis stores it for longer
			f.Errorf("after 45 minutes the limit is %+v, want %+v", got, want)
		}
		time.Sleep(2 * time.Hour)
		if keys := f.redis.Keys(); len(keys) > 0 {
			f.Errorf("after two hours Redis has the keys %q, want none", keys)
		}
		for _, l := range f.all {
			if s := l.Snapshot(); s.Limit != f.limit.WithDefaults() || s.RequestsFrom != limiter.FromConfiguration {
				f.Errorf("after two hours the limit is %+v from %s, want the configured one", s.Limit, s.RequestsFrom)
			}
		}
	})
}

// duringOutage runs do while Redis fails all commands. It starts do after all processes have
// noticed the outage and their Patience has passed.
func (f *fleet) duringOutage(do func()) {
	f.Helper()
	f.redis.SetError("ERR unavailable")
	for _, l := range f.all {
		l.Snapshot()
	}
	time.Sleep(f.config.Patience + time.Second)
	do()
	f.redis.SetError("")
	time.Sleep(time.Second)
}

// While Redis is unreachable, the fallback enforces a share of the learned rates and of limits in
// headers. Afterward the learned rates apply again.
func TestFallbackEnforcesLearnedRates(t *testing.T) {
	config := redislimiter.Config{Patience: time.Second, Fallback: 0.5}
	inFleet(t, 2, busy(5), config, func(f *fleet) {
		want := f.lower()
		f.all[1].Snapshot()
		f.duringOutage(func() {
			for _, l := range f.all {
				calls := int(want.RequestsPerSecond * 10)
				begin := time.Now()
				for range calls {
					acquire(f, l, 1).Settle(1)
				}
				if took := time.Since(begin); took < 18*time.Second {
					f.Errorf("%d calls start in %v, want about 20s", calls, took)
				}
				s := l.Snapshot()
				if s.Limit != want || s.RequestsFrom != limiter.FromRefusals || s.TokensFrom != limiter.FromHeaders {
					f.Errorf("limit %+v from %s and %s, want %+v", s.Limit, s.RequestsFrom, s.TokensFrom, want)
				}
				limit, remaining := 10_000, 9_000
				l.Observe(limiter.ServerState{LimitTokens: &limit, RemainingTokens: &remaining})
				if n := l.Snapshot().AvailableTokens; n < 4000 || n > 5000 {
					f.Errorf("%v tokens are available, want 4000–5000: half of 10,000, less what was used", n)
				}
			}
		})
		for _, l := range f.all {
			if s := l.Snapshot(); s.Limit != want || s.RequestsFrom != limiter.FromRefusals {
				f.Errorf("after the outage the limit is %+v from %s, want %+v", s.Limit, s.RequestsFrom, want)
			}
		}
	})
}
