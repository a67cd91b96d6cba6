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

// An enforcer is a server that enforces a request rate, counting in windows that slide or in
// windows that follow one another.
type enforcer struct {
	window time.Duration
	most   int // requests in a window
	fixed  bool

	mu                sync.Mutex
	accepted, refused []time.Duration
}

// accept reports whether the server accepts a request at the given time.
func (e *enforcer) accept(now time.Duration) bool {
	e.mu.Lock()
	defer e.mu.Unlock()
	begin := now - e.window
	if e.fixed {
		begin = now.Truncate(e.window) - 1
	}
	if n := len(e.accepted) - e.most; n >= 0 && e.accepted[n] > begin {
		e.refused = append(e.refused, now)
		return false
	}
	e.accepted = append(e.accepted, now)
	return true
}

// share returns the share of the server's rate that was used in a time.
func (e *enforcer) share(from, to time.Duration) float64 {
	n := 0
	for _, at := range e.accepted {
		if at >= from && at < to {
			n++
		}
	}
	return float64(n) / float64(e.most) * e.window.Seconds() / (to - from).Seconds()
}

// A fleet is processes that share the limits of one account, in virtual time: with a Redis that
// is reached without a network.
type fleet struct {
	*testing.T
	redis  *miniredis.Miniredis
	config redislimiter.Config
	limit  limiter.Limit
	stores []*redislimiter.Store
	all    []limiter.Backend
	begin  time.Time
}

// inFleet runs f with so many processes.
func inFleet(t *testing.T, processes int, limit limiter.Limit, config redislimiter.Config, f func(*fleet)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &fleet{T: t, redis: miniredis.NewMiniRedis(), config: config, limit: limit, begin: time.Now()}
		l.config.Prefix = "fleet"
		for range processes {
			l.add()
		}
		f(l)
		for _, store := range l.stores {
			store.Close()
		}
	})
}

// add starts a process.
func (f *fleet) add() limiter.Backend {
	f.Helper()
	store, err := redislimiter.Open(context.Background(), dial(f, f.redis), f.config)
	if err != nil {
		f.Fatal(err)
	}
	l := newLimiter(f, store, f.limit)
	f.stores, f.all = append(f.stores, store), append(f.all, l)
	return l
}

func (f *fleet) now() time.Duration { return time.Since(f.begin) }

// keepBusy has workers of every process make calls of 10 tokens until the given time. A request
// reaches the server after 20 to 60 ms.
func (f *fleet) keepBusy(e *enforcer, workers int, end time.Duration, mute bool) {
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
					r := limiter.Refusal{Requests: !mute}
					if !mute {
						r.RetryAfter = time.Second
					}
					p.Refused(r)
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

// Processes that share limits that are too high find the server's together: none is refused for
// what another one has learned.
func TestFleetLearnsRequestRate(t *testing.T) {
	for name, c := range map[string]struct {
		server *enforcer
		mute   bool
		rps    float64
	}{
		"four of five, sliding":       {&enforcer{window: time.Second, most: 4}, false, 5},
		"four of five, sliding, mute": {&enforcer{window: time.Second, most: 4}, true, 5},
		"half, fixed, mute":           {&enforcer{window: 2 * time.Second, most: 1, fixed: true}, true, 1},
		"a twelfth, mute":             {&enforcer{window: 12 * time.Second, most: 1}, true, 1},
	} {
		t.Run(name, func(t *testing.T) {
			inFleet(t, 3, limiter.Limit{RequestsPerSecond: c.rps, TokensPerMinute: 1_000_000}, redislimiter.Config{}, func(f *fleet) {
				const settled, end = 3 * time.Minute, 12 * time.Minute
				f.keepBusy(c.server, 4, end, c.mute)
				if used := c.server.share(settled, end); used < 0.85 {
					f.Errorf("%.0f%% of the server's rate are used, want 85%%", 100*used)
				}
				if n := len(c.server.refused); n >= 30 {
					f.Errorf("%d requests are refused, want fewer than 30", n)
				}
				for _, l := range f.all {
					s := l.Snapshot()
					if s.RequestsFrom != limiter.FromRefusals || s.TokensFrom != limiter.FromConfiguration || s.Configured != f.limit.WithDefaults() {
						f.Errorf("snapshot %+v", s)
					}
				}
				t.Logf("%.1f%%, %d refused, %v", 100*c.server.share(settled, end), len(c.server.refused), f.all[0].Limit().RequestsPerSecond)
			})
		})
	}
}
