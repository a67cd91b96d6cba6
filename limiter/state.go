package limiter

import (
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"time"
)

// stateVersion is the version of what [Group.Save] returns.
const stateVersion = 1

// groupState is a [Group] as it is saved.
type groupState struct {
	Version int                     `json:"version"`
	At      time.Time               `json:"at"`
	Limits  map[string]limiterState `json:"limits"`
}

// limiterState is a [Limiter] as it is saved.
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

// Save returns the group's state as JSON, for [Group.Restore] in a process that comes after this
// one: what was used, the balances, and what was learned. Calls in flight count as used. ahead is
// for how much longer the group may be used: what it may admit in that time counts as used too,
// because a process that is killed cannot save that.
//
// Limiters that are not kept in this process are left out. The result has no more than 100 KB for each model.
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

// Restore has a new group go on from what another one with the same configuration has saved, as if
// the time since then had passed here. If a limit was configured in another way, what was learned of
// it is forgotten, and what was used is not. An error leaves the group as it was.
func (g *Group) Restore(saved []byte) error {
	if g == nil || g.def == nil {
		return errZeroGroup
	}
	var s groupState
	if err := json.Unmarshal(saved, &s); err != nil {
		return fmt.Errorf("limiter: saved state: %w", err)
	}
	if s.Version != stateVersion {
		return fmt.Errorf("limiter: saved state: version is %d: must be %d", s.Version, stateVersion)
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

// restored returns the limiter that goes on from the state of a model's limiter, nil if there is none.
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

// save returns the limiter's state, if it goes on admitting calls for the given time, no more than so many.
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

// expectedUse returns what the limiter may admit in the given time: as many requests as the limit lets
// pass, at most the given number, each with the tokens that a call has used on average. It requires that l.mu is held.
func (l *Limiter) expectedUse(now time.Time, ahead time.Duration, most float64) cost {
	if ahead <= 0 {
		return cost{}
	}
	requests, tokens := l.budget.available(now)
	requests = math.Floor(min(most, MaxRequests, max(0, requests)+ahead.Seconds()*l.limit.RequestsPerSecond))
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

// restore has a new limiter go on from a state that was saved the given time ago.
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
	// The balance of a bucket is restored down to maxDebt times its capacity below zero.
	maxDebt = 10

	// maxSavedPause is the longest pause that is restored.
	maxSavedPause = time.Hour
)

// check returns an error for a state that no limiter can have.
func (s limiterState) check() error {
	switch {
	case s.Configured.Validate() != nil:
		return s.Configured.Validate()
	case s.NestedLimit < 0 || s.NestedLimit > 0 && tokensOnly(s.NestedLimit).Validate() != nil:
		return fmt.Errorf("named is %d: must be a limit of tokens per minute", s.NestedLimit)
	case s.Pause < 0 || s.InFlight < 0:
		return fmt.Errorf("pause is %v and inFlight is %d: must be at least 0", s.Pause, s.InFlight)
	case s.Learner != nil && s.Guard == nil:
		return errors.New("guard is missing: must be there if learner is")
	}
	if s.Guard == nil {
		return nil
	}
	if err := s.Guard.check(); err != nil || s.Learner == nil {
		return err
	}
	return s.Learner.check(MaxRequests, MaxTokens/60.0)
}
