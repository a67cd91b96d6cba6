package limiter

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// learnerVersion is the version of a learner's stored state.
const learnerVersion = 1

// learnerState is a [Learner] as it is stored. Durations are in nanoseconds since its epoch.
type learnerState struct {
	Version  int           `json:"version,omitempty"` // of a [Learner]; a [Group] has one for all
	Latest   time.Duration `json:"latest,omitempty"`
	Requests searchState   `json:"requests"`
	Tokens   searchState   `json:"tokens"`

	Named      float64       `json:"named,omitempty"`
	NamedUntil time.Duration `json:"namedUntil,omitempty"`

	Sends       []time.Duration `json:"sends,omitempty"` // the oldest first
	Above       spanState       `json:"above,omitzero"`
	Below       spanState       `json:"below,omitzero"`
	Window      int             `json:"window,omitempty"`
	OthersUntil time.Duration   `json:"othersUntil,omitempty"`

	Trial    time.Duration `json:"trial,omitempty"`
	Promised bool          `json:"promised,omitempty"`
	Promise  time.Duration `json:"promise,omitempty"`
	Waited   time.Duration `json:"waited,omitempty"`
	Broken   int           `json:"broken,omitempty"`
}

// searchState is a search as it is stored. A rate of -1 is infinite.
type searchState struct {
	Rate    float64       `json:"rate"`
	Good    float64       `json:"good,omitempty"`
	Bad     float64       `json:"bad"`
	Till    time.Duration `json:"till,omitempty"`
	Step    float64       `json:"step"`
	Base    float64       `json:"base,omitempty"`
	From    time.Duration `json:"from,omitempty"`
	Refused float64       `json:"refused,omitempty"`
	Latest  time.Duration `json:"latest,omitempty"`
	Bound   float64       `json:"bound,omitempty"`
	Since   time.Duration `json:"since,omitempty"`
	Used    float64       `json:"used,omitempty"`
	Clean   bool          `json:"clean,omitempty"`
}

// spanState is a span as it is stored: its length, and when it is forgotten.
type spanState [2]time.Duration

// MarshalText returns the learner's state, at most 4 KiB of JSON without spaces. What is in its
// configuration is not part of it.
func (l *Learner) MarshalText() ([]byte, error) {
	s := l.learner.state()
	s.Version, s.Latest = learnerVersion, l.latest
	return json.Marshal(s)
}

// UnmarshalText has a new learner go on from a state that MarshalText returned. The configuration
// must be the one of that learner; the jitter may differ. An error leaves the learner as it was.
func (l *Learner) UnmarshalText(text []byte) error {
	var s learnerState
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("limiter: learner's state: %w", err)
	}
	if s.Version != learnerVersion {
		return fmt.Errorf("limiter: learner's state: version %d is not known: must be %d", s.Version, learnerVersion)
	}
	if err := s.check(l.learner.requests.most, l.learner.tokens.most); err != nil {
		return err
	}
	l.learner.restoreState(s)
	l.latest = s.Latest
	l.apply()
	return nil
}

func (l *learner) state() learnerState {
	s := learnerState{
		Requests: l.requests.state(), Tokens: l.tokens.state(),
		Named: l.named, NamedUntil: l.namedUntil,
		Above: spanState{l.sends.above.length, l.sends.above.until}, Below: spanState{l.sends.below.length, l.sends.below.until}, Window: l.window, OthersUntil: l.othersUntil,
		Trial: l.trial, Promised: l.promised, Promise: l.promise, Waited: l.waited, Broken: l.broken,
	}
	for i := range l.sends.count {
		s.Sends = append(s.Sends, l.sends.times[l.sends.count-1-i])
	}
	return s
}

// check returns an error for a state that no learner up to the given rates can have, in requests and in
// tokens per second.
func (s learnerState) check(maxRequests, maxTokens float64) error {
	return cmp.Or(s.Requests.check("requests", maxRequests), s.Tokens.check("tokens", maxTokens))
}

func (l *learner) restoreState(s learnerState) {
	l.requests.restoreState(s.Requests)
	l.tokens.restoreState(s.Tokens)
	l.named, l.namedUntil = s.Named, s.NamedUntil
	l.sends = sends{above: span{s.Above[0], s.Above[1]}, below: span{s.Below[0], s.Below[1]}}
	for _, at := range s.Sends {
		l.sends.push(at)
	}
	l.window, l.othersUntil = s.Window, s.OthersUntil
	l.trial, l.promised, l.promise, l.waited, l.broken = s.Trial, s.Promised, s.Promise, s.Waited, s.Broken
}

func (s *search) state() searchState {
	return searchState{
		Rate: s.rate, Good: s.good, Bad: finite(s.bad), Till: s.till, Step: s.step, Base: s.base,
		From: s.from, Refused: s.refused, Latest: s.latest, Bound: finite(s.bound), Since: s.since, Used: s.used, Clean: s.clean,
	}
}

func (s *search) restoreState(from searchState) {
	s.rate, s.good, s.bad, s.till, s.step, s.base = min(from.Rate, s.most), from.Good, infinite(from.Bad), from.Till, from.Step, from.Base
	s.from, s.refused, s.latest, s.bound = from.From, from.Refused, from.Latest, infinite(from.Bound)
	s.since, s.used, s.clean = from.Since, from.Used, from.Clean
}

// check returns an error for a state that no search up to a given rate can have.
func (s searchState) check(name string, most float64) error {
	if !(s.Rate > 0 && s.Rate <= most) || s.Step <= 0 {
		return fmt.Errorf("limiter: learner's state: rate of %s is %v: must be above 0 and at most %v", name, s.Rate, most)
	}
	return nil
}

// finite returns a rate as it is stored, because JSON has no infinity.
func finite(rate float64) float64 {
	if math.IsInf(rate, 1) {
		return -1
	}
	return rate
}

// infinite is the inverse of finite.
func infinite(rate float64) float64 {
	if rate < 0 {
		return math.Inf(1)
	}
	return rate
}
