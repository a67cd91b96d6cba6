package limiter

import (
	"context"
	"math"
	"math/rand/v2"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// A learnerPair is a limiter and a Learner that receive the same events. The Learner's state is saved and restored
// after each event.
type learnerPair struct {
	*testing.T
	*Limiter
	*rand.Rand
	config  LearnerConfig
	learner *Learner
	permits []*Permit
}

// event reports an event to the Learner and compares it with the limiter.
func (m *learnerPair) event(report func(*Learner)) {
	m.learner.guard.extraJitter = m.budget.guard.extraJitterAt(m.budget.guard.at(time.Now()))
	report(m.learner)
	text, err := m.learner.MarshalText()
	if err != nil {
		m.Fatal(err)
	}
	if len(text) > 4<<10 || strings.ContainsAny(string(text), " \n") {
		m.Fatalf("the state must have at most 4 KiB and no spaces, got %d bytes: %s", len(text), text)
	}
	if m.learner, err = NewLearner(m.config); err != nil {
		m.Fatal(err)
	}
	if err := m.learner.UnmarshalText(text); err != nil {
		m.Fatal(err)
	}
	if again, _ := m.learner.MarshalText(); string(again) != string(text) {
		m.Fatalf("the state is restored as\n%s, want\n%s", again, text)
	}
	for _, searches := range [][2]*search{
		{&m.learner.learner.requests, &m.Limiter.learner.requests}, {&m.learner.learner.tokens, &m.Limiter.learner.tokens},
	} {
		if got, want := searches[0].state(), searches[1].state(); got != want {
			m.Errorf("the search is %+v, want %+v", got, want)
		}
	}
	in := m.learner.Learned()
	in.Limit.TokenBurst = max(in.Limit.TokenBurst, m.limit.TokenBurst)
	requests, tokens := m.Limiter.learner.sources()
	want := Learned{m.limit, requests, tokens, m.budget.guard.spacing, m.Limiter.learner.alone, in.ExtraJitter}
	if in != want {
		m.Errorf("learned %+v, want %+v", in, want)
	}
}

// acquire sends a request if it can start within 30 s.
func (m *learnerPair) acquire(tokens int) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	p, err := m.Acquire(ctx, tokens)
	if err != nil {
		return // the call waits for calls in flight
	}
	sent := p.sent
	m.event(func(l *Learner) { l.Sent(sent) })
	if m.IntN(2) == 0 {
		time.Sleep(time.Millisecond)
		p.Sent()
		m.event(func(l *Learner) { l.Resent(p.sent, sent) })
	}
	m.permits = append(m.permits, p)
}

func (m *learnerPair) throttleRequest(p *Permit, r Throttle) {
	resumed := m.throttledUntil
	p.Throttled(r)
	g := m.budget.guard
	m.event(func(l *Learner) {
		l.Throttled(time.Now(), ThrottledRequest{r, p.sent, resumed, g.tokens.used})
	})
}

func (m *learnerPair) observe(s ServerState) {
	m.Observe(s)
	g := m.budget.guard
	m.event(func(l *Learner) {
		if s.LimitTokens != nil {
			l.Named(time.Now(), *s.LimitTokens)
		}
		l.Observed(time.Now(), g.tokens.used, g.externalUsage)
	})
}

// one returns a random one of the given values.
func one[V any](r *rand.Rand, of ...V) V { return of[r.IntN(len(of))] }

// step executes a random event, or lets time pass.
func (m *learnerPair) step(bad int) {
	time.Sleep(one(m.Rand, 0, 20*time.Millisecond, time.Second))
	if len(m.permits) == 0 {
		m.acquire(m.IntN(2000))
		return
	}
	p := m.permits[0]
	switch m.IntN(10 + bad) {
	case 0:
		m.throttleRequest(p, Throttle{
			RetryAfter: one(m.Rand, 0, time.Second, 2*time.Second), Requests: m.IntN(2) == 0, Tokens: m.IntN(4) == 0,
		})
		p.Settle(0)
	case 1:
		p.Cancel()
		m.event(func(l *Learner) { l.ReturnRequest(p.sent) })
	case 2:
		remaining := m.IntN(20_000)
		state := ServerState{RemainingTokens: &remaining}
		if limit := one(m.Rand, 0, 20_000, 1_000_000); limit > 0 {
			state.LimitTokens = &limit
		}
		m.observe(state)
		return
	case 3, 4, 5, 6:
		used := 1 + m.IntN(2000)
		p.Settle(used)
		m.event(func(l *Learner) { l.Settled(time.Now(), used) })
	default:
		if len(m.permits) < 4 {
			m.acquire(m.IntN(2000))
		}
		return
	}
	m.permits = m.permits[1:]
}

// A Learner learns the same as a limiter from the same events, even if its state is saved and restored in between.
func TestLearnerMatchesLimiter(t *testing.T) {
	for seed := range uint64(100) {
		synctest.Test(t, func(t *testing.T) {
			m := &learnerPair{T: t, Rand: rand.New(rand.NewPCG(seed, 0))}
			m.config = LearnerConfig{
				Limit: Limit{RequestsPerSecond: one(m.Rand, 0.5, 1, 5, 30), TokensPerMinute: one(m.Rand, 6_000, 60_000)}.WithDefaults(),
				Since: time.Now(), Climbs: m.IntN(2) == 0, Jitter: 50 * time.Millisecond,
			}
			options := []Option{Guarded(m.config.Jitter)}
			if m.config.Climbs {
				options = append(options, LearnLimits())
			}
			var err error
			if m.Limiter, err = New(m.config.Limit, options...); err != nil {
				t.Fatal(err)
			}
			if m.learner, err = NewLearner(m.config); err != nil {
				t.Fatal(err)
			}
			bad := m.IntN(8)
			for range 300 {
				if m.step(bad); t.Failed() {
					t.Fatalf("with seed %d", seed)
				}
			}
		})
	}
}

// Begin starts a learner from known rates, without a saved state.
func TestLearnerBegins(t *testing.T) {
	since := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	config := LearnerConfig{Limit: Limit{RequestsPerSecond: 5, TokensPerMinute: 60_000}.WithDefaults(), Since: since, Climbs: true}
	for _, want := range []Learned{
		{Limit: config.Limit, RequestsFrom: FromConfiguration, TokensFrom: FromConfiguration},
		{Limit: Limit{RequestsPerSecond: 2, TokensPerMinute: 20_000}, RequestsFrom: FromRefusals, TokensFrom: FromHeaders},
		{Limit: Limit{RequestsPerSecond: 50, TokensPerMinute: 20_000}, RequestsFrom: FromUse, TokensFrom: FromRefusals},
	} {
		l, err := NewLearner(config)
		if err != nil {
			t.Fatal(err)
		}
		l.Begin(since.Add(time.Hour), want)
		got := l.Learned()
		if got.Limit.RequestsPerSecond != want.Limit.RequestsPerSecond || got.Limit.TokensPerMinute != want.Limit.TokensPerMinute ||
			got.RequestsFrom != want.RequestsFrom || got.TokensFrom != want.TokensFrom {
			t.Errorf("learned %+v, want %+v", got, want)
		}
	}
}

// The states of all versions can be restored.
func TestLearnerStateOfEachVersion(t *testing.T) {
	l, err := NewLearner(LearnerConfig{Limit: Limit{RequestsPerSecond: 5, TokensPerMinute: 60_000}, Since: time.Unix(1, 0)})
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile("testdata/learner-1.json")
	if err != nil {
		t.Fatal(err)
	}
	if err := l.UnmarshalText(text); err != nil {
		t.Fatal(err)
	}
	if in := l.Learned(); math.Round(100*in.Limit.RequestsPerSecond) != 233 || in.RequestsFrom != FromRefusals || in.Limit.TokensPerMinute != 20_000 || in.TokensFrom != FromHeaders {
		t.Errorf("learned %+v, want 2.33 requests/s from refusals and 20,000 tokens/min from headers", in)
	}
}

func TestLearnerRejectsInvalidStates(t *testing.T) {
	l, err := NewLearner(LearnerConfig{Limit: Limit{RequestsPerSecond: 5, TokensPerMinute: 60_000}})
	if err != nil {
		t.Fatal(err)
	}
	before := l.Learned()
	for text, want := range map[string]string{
		`{"version":2}`: "version must be 1, got 2",
		`nonsense`:      "invalid character",
		`{"version":1,"requests":{"rate":6,"step":1},"tokens":{"rate":1,"step":1}}`: "rate of requests must be above 0 and at most 5, got 6",
		`{"version":1,"requests":{"rate":1,"step":1},"tokens":{"rate":0,"step":1}}`: "rate of tokens must be above 0",
	} {
		if err := l.UnmarshalText([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: error %v, want %q", text, err, want)
		}
	}
	if got := l.Learned(); got != before {
		t.Errorf("learned %+v, want %+v as before", got, before)
	}
	if _, err := NewLearner(LearnerConfig{}); err == nil {
		t.Error("NewLearner accepted a config without a limit")
	}
}
