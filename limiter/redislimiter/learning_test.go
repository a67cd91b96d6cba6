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
					r := limiter.Throttle{Requests: !mute}
					if !mute {
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

// busy is a limit of which a fleet uses all requests.
func busy(rps float64) limiter.Limit {
	return limiter.Limit{RequestsPerSecond: rps, TokensPerMinute: 1_000_000}
}

// Processes that share a limit that is too high find the server's together, and one that begins
// adopts it.
func TestFleetLearnsLowerRate(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		server    *enforcer
		mute      bool
		rps       float64
		processes int
	}{
		"four of five, sliding": {&enforcer{window: time.Second, most: 4}, false, 5, 3},
		"half, fixed, mute":     {&enforcer{window: 2 * time.Second, most: 1, fixed: true}, true, 1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			inFleet(t, c.processes, busy(c.rps), redislimiter.Config{}, func(f *fleet) {
				const settled, end, more = 90 * time.Second, 4 * time.Minute, 5 * time.Minute
				f.keepBusy(c.server, 3, end, c.mute)
				if used := c.server.share(settled, end); used < 0.85 {
					f.Errorf("%.0f%% of the server's rate are used, want 85%%", 100*used)
				}
				refused := len(c.server.refused)
				if refused >= 20 {
					f.Errorf("%d requests are refused, want fewer than 20", refused)
				}
				before := f.all[0].Snapshot()
				for _, l := range append(f.all, f.add()) {
					s := l.Snapshot()
					if s.Limit != before.Limit || s.RequestsFrom != limiter.FromRefusals || s.TokensFrom != limiter.FromConfiguration || s.Configured != f.limit.WithDefaults() {
						f.Errorf("limit %+v from %s and %s, want %+v", s.Limit, s.RequestsFrom, s.TokensFrom, before.Limit)
					}
				}
				f.keepBusy(c.server, 3, more, c.mute)
				if n := len(c.server.refused) - refused; n > 5 {
					f.Errorf("%d more requests are refused with another process", n)
				}
			})
		})
	}
}

// With LearnLimits processes that each use a third of the rate raise it together.
func TestFleetLearnsHigherRate(t *testing.T) {
	t.Parallel()
	server := &enforcer{window: time.Second, most: 6}
	inFleet(t, 3, busy(1), redislimiter.Config{LearnLimits: true}, func(f *fleet) {
		const settled, end = 90 * time.Second, 3 * time.Minute
		f.keepBusy(server, 3, end, false)
		if used := server.share(settled, end); used < 0.85 {
			f.Errorf("%.0f%% of the server's rate are used, want 85%%", 100*used)
		}
		if n := len(server.refused); n > 20 {
			f.Errorf("%d requests are refused", n)
		}
		if s := f.all[2].Snapshot(); s.RequestsFrom != limiter.FromUse || s.Configured.RequestsPerSecond != 1 {
			f.Errorf("snapshot %+v", s)
		}
	})
}

// lower has the server refuse requests of the first process until it has learned a lower rate, and
// names a limit of 500,000 tokens. It returns the limit in force.
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
	eventually(f, "the limit of tokens is known", func() bool { return l.Snapshot().TokensFrom == limiter.FromHeaders })
	return l.Limit()
}

// If Redis loses its data, those who know what was learned bring it.
func TestFleetBringsWhatIsLearned(t *testing.T) {
	inFleet(t, 2, busy(5), redislimiter.Config{}, func(f *fleet) {
		want := f.lower()
		f.all[1].Snapshot() // it hears of that
		f.redis.FlushAll()
		for _, l := range append(f.all, f.add()) {
			s := l.Snapshot()
			if s.Limit != want || s.RequestsFrom != limiter.FromRefusals || s.TokensFrom != limiter.FromHeaders || s.Configured != f.limit.WithDefaults() {
				f.Errorf("limit %+v from %s and %s, want %+v", s.Limit, s.RequestsFrom, s.TokensFrom, want)
			}
		}
		acquire(f, f.all[0], 1).Settle(1) // and it is learned from there on
		time.Sleep(time.Minute)
		acquire(f, f.all[0], 1).Settle(1)
		if s := f.all[1].Snapshot(); s.Limit != want {
			f.Errorf("limit %+v, want %+v", s.Limit, want)
		}
	})
}

// What was learned is forgotten if nobody uses it, by Redis and by the processes.
func TestFleetForgets(t *testing.T) {
	inFleet(t, 2, busy(5), redislimiter.Config{}, func(f *fleet) {
		f.redis.ClockTTL(true)
		want := f.lower()
		time.Sleep(45 * time.Minute)
		if got := f.all[1].Snapshot().Limit; got != want { // Redis remembers it for longer
			f.Errorf("after 45 minutes the limit is %+v, want %+v", got, want)
		}
		time.Sleep(2 * time.Hour)
		if keys := f.redis.Keys(); len(keys) > 0 {
			f.Errorf("after two hours there are the keys %q", keys)
		}
		for _, l := range f.all {
			if s := l.Snapshot(); s.Limit != f.limit.WithDefaults() || s.RequestsFrom != limiter.FromConfiguration {
				f.Errorf("after two hours the limit is %+v from %s", s.Limit, s.RequestsFrom)
			}
		}
	})
}

// away makes Redis fail all commands for as long as f runs, which begins when all processes have
// noticed that for longer than their patience.
func (f *fleet) away(do func()) {
	f.Helper()
	f.redis.SetError("ERR away")
	for _, l := range f.all {
		l.Snapshot()
	}
	time.Sleep(f.config.Patience + time.Second)
	do()
	f.redis.SetError("")
	time.Sleep(time.Second)
}

// While Redis is away the fallback keeps to a share of what was learned, and of what headers name.
// Then all goes on with what was learned.
func TestFallbackKeepsToWhatIsLearned(t *testing.T) {
	config := redislimiter.Config{Patience: time.Second, Fallback: 0.5}
	inFleet(t, 2, busy(5), config, func(f *fleet) {
		want := f.lower()
		f.all[1].Snapshot()
		f.away(func() {
			for _, l := range f.all {
				calls := int(want.RequestsPerSecond * 10)
				begin := time.Now()
				for range calls {
					acquire(f, l, 1).Settle(1)
				}
				if took := time.Since(begin); took < 18*time.Second {
					f.Errorf("%d calls start in %v, want in 20 s", calls, took)
				}
				s := l.Snapshot()
				if s.Limit != want || s.RequestsFrom != limiter.FromRefusals || s.TokensFrom != limiter.FromHeaders {
					f.Errorf("limit %+v from %s and %s, want %+v", s.Limit, s.RequestsFrom, s.TokensFrom, want)
				}
				limit, remaining := 10_000, 9_000
				l.Observe(limiter.ServerState{LimitTokens: &limit, RemainingTokens: &remaining})
				if n := l.Snapshot().AvailableTokens; n < 4000 || n > 5000 {
					f.Errorf("%v tokens are available, want nearly half of 10,000", n)
				}
			}
		})
		for _, l := range f.all {
			if s := l.Snapshot(); s.Limit != want || s.RequestsFrom != limiter.FromRefusals {
				f.Errorf("when Redis is back, the limit is %+v from %s, want %+v", s.Limit, s.RequestsFrom, want)
			}
		}
	})
}
