package limiter

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"
)

// stateVersion is the version of the state that [Group.Save] returns.
const stateVersion = 1

// groupState is the saved state of a [Group].
type groupState struct {
	Version int                     `json:"version"`
	At      time.Time               `json:"at"`
	Limits  map[string]limiterState `json:"limits"`
}

// limiterState is the saved state of a [Limiter].
type limiterState struct {
	NestedLimit int           `json:"named,omitempty"` // token limit of a nested limiter
	Configured  Limit         `json:"configured"`
	MayExceed   bool          `json:"climbs,omitempty"`
	Requests    float64       `json:"requests"` // balance
	Tokens      float64       `json:"tokens"`   // balance
	Pause       time.Duration `json:"pause,omitempty"`
	InFlight    int           `json:"inFlight,omitempty"` // learned bound
	Guard       *guardState   `json:"guard,omitempty"`
	Learner     *learnerState `json:"learner,omitempty"`
}

// Save returns the group's state as JSON, for [Group.Restore] in a later process: the recent usage, the
// balances, and the learned limits. Calls in flight count as used.
//
// ahead is how much longer the group may be used after Save. What it may admit in that time counts as used
// too, because a process that is killed cannot save it. The result has at most 100 KB per model. It does
// not include limiters whose state is outside of this process.
func (g *Group) Save(ahead time.Duration) ([]byte, error) {
	if g == nil || g.def == nil {
		return nil, errZeroGroup
	}
	s := groupState{Version: stateVersion, At: time.Now().UTC(), Limits: map[string]limiterState{}}
	for model, b := range g.backends() {
		requests, named := math.Inf(1), 0
		if n, isNested := b.(*nested); isNested {
			requests, named = n.requestsIn(ahead), int(n.tokenLimit.Load())
			b = n.tokens
		}
		if l, ok := b.(inProcess); ok {
			state := l.save(ahead, requests)
			state.NestedLimit = named
			s.Limits[model] = state
		}
	}
	return json.Marshal(s)
}

// requestsIn returns how many requests the shared limiter may admit in the given time.
func (n *nested) requestsIn(d time.Duration) float64 {
	s := n.shared.Snapshot()
	return max(0, s.AvailableRequests+d.Seconds()*s.Limit.RequestsPerSecond)
}

// Restore restores a state that Save returned into a new group with the same configuration. It accounts
// for the time since Save. If the configured limit of a model differs, Restore ignores the learned limits
// and keeps the usage. An error leaves the group unchanged.
func (g *Group) Restore(saved []byte) error {
	if g == nil || g.def == nil {
		return errZeroGroup
	}
	var s groupState
	if err := json.Unmarshal(saved, &s); err != nil {
		return fmt.Errorf("limiter: saved state: %w", err)
	}
	if s.Version != stateVersion {
		return fmt.Errorf("limiter: saved state: version must be %d, got %d", stateVersion, s.Version)
	}
	for model, state := range s.Limits {
		if err := state.check(); err != nil {
			return fmt.Errorf("limiter: saved state: %w", modelError(model, err))
		}
	}
	elapsed := max(0, time.Since(s.At)) // the clock may have been set back
	for model, state := range s.Limits {
		if l := g.restored(model, state); l != nil {
			l.restore(state, elapsed)
		}
	}
	return nil
}

// restored returns the limiter that receives the saved state of a model's limiter, nil without one.
func (g *Group) restored(model string, s limiterState) *Limiter {
	b := g.For(model)
	if b == g.def && model != "" {
		if s.NestedLimit == 0 || s.NestedLimit > g.defaultLimit().TokensPerMinute {
			return nil
		}
		b = g.addNested(model, s.NestedLimit)
	}
	if n, isNested := b.(*nested); isNested {
		b = n.tokens
	}
	if l, ok := b.(inProcess); ok {
		return l.Limiter
	}
	return nil
}

// save returns the limiter's state. It counts what the limiter may admit in the given time, up to the
// given number of requests, as used.
func (l *Limiter) save(ahead time.Duration, requests float64) limiterState {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	coming := l.expectedUse(now, ahead, requests)
	s := limiterState{
		Configured: l.limit,
		MayExceed:  l.mayExceed,
		Requests:   l.budget.requests.level(now).less(coming.requests*requestUnits).balance / requestUnits,
		Tokens:     l.budget.tokens.level(now).less(coming.tokens).balance,
		Pause:      max(0, l.paused(now)),
		InFlight:   l.concurrency.learned,
	}
	if g := l.budget.guard; g != nil {
		s.Guard = g.save(g.at(now), coming)
		s.Configured = l.learner.configured
		learned := l.learner.state()
		s.Learner = &learned
	}
	return s
}

// expectedUse returns what the limiter may admit in the given time: the requests that the limit allows, at
// most maxRequests, each with the mean tokens of a call. The caller must hold l.mu.
func (l *Limiter) expectedUse(now time.Time, ahead time.Duration, maxRequests float64) cost {
	if ahead <= 0 {
		return cost{}
	}
	requests, tokens := l.budget.available(now)
	requests = math.Floor(min(maxRequests, MaxRequests, max(0, requests)+ahead.Seconds()*l.limit.RequestsPerSecond))
	tokens = max(0, tokens) + ahead.Seconds()*tokenRate(l.limit)
	mean := 0.0
	switch c := l.counters; {
	case c.Settled > 0:
		mean = float64(c.TokensSettled) / float64(c.Settled)
	case l.inFlight > 0:
		mean = float64(l.heldTokens) / float64(l.inFlight)
	}
	return cost{requests: int(requests), tokens: int(min(tokens, requests*mean))}
}

// restore restores a state, saved the given time ago, into a new limiter.
func (l *Limiter) restore(s limiterState, elapsed time.Duration) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if g := l.budget.guard; g != nil && s.Guard != nil {
		if s.Learner != nil && s.Configured == l.learner.configured && s.MayExceed == l.mayExceed {
			l.learner.restoreState(*s.Learner)
			l.apply(now)
		}
		g.restore(now, *s.Guard, elapsed)
	}
	for _, b := range []struct {
		*bucket
		balance float64
	}{{&l.budget.requests, s.Requests * requestUnits}, {&l.budget.tokens, s.Tokens}} {
		debt := maxDebt * float64(b.capacity)
		b.setBalance(now, max(-debt, b.balance)+elapsed.Seconds()*b.rate)
	}
	l.pause(now, now.Add(min(maxSavedPause, s.Pause)-elapsed))
	l.concurrency.learned, l.concurrency.learnedAt = s.InFlight, now
}

const (
	// maxDebt bounds the restored debt of a bucket, as a multiple of its capacity.
	maxDebt = 10

	// maxSavedPause bounds the restored pause.
	maxSavedPause = time.Hour
)

// check returns an error if the state is not valid.
func (s limiterState) check() error {
	switch {
	case s.Configured.Validate() != nil:
		return s.Configured.Validate()
	case s.NestedLimit < 0 || s.NestedLimit > 0 && tokensOnly(s.NestedLimit).Validate() != nil:
		return fmt.Errorf("named must be a number of tokens per minute, got %d", s.NestedLimit)
	case s.Pause < 0 || s.InFlight < 0:
		return fmt.Errorf("pause and inFlight must be at least 0, got %v and %d", s.Pause, s.InFlight)
	case s.Learner != nil && s.Guard == nil:
		return errors.New("guard must be set if learner is, got none")
	}
	if s.Guard == nil {
		return nil
	}
	if err := s.Guard.check(); err != nil || s.Learner == nil {
		return err
	}
	return s.Learner.check(MaxRequests, MaxTokens/60.0)
}
