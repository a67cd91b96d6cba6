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
	Version  int           `json:"version"`
	Latest   time.Duration `json:"latest"`
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
	in := l.learner
	s := learnerState{
		Version: learnerVersion, Latest: l.latest, Requests: in.requests.state(), Tokens: in.tokens.state(),
		Named: in.named, NamedUntil: in.namedUntil,
		Above: spanState{in.sends.above.length, in.sends.above.until}, Below: spanState{in.sends.below.length, in.sends.below.until}, Window: in.window, OthersUntil: in.othersUntil,
		Trial: in.trial, Promised: in.promised, Waited: in.waited, Broken: in.broken,
	}
	for i := range in.sends.count {
		s.Sends = append(s.Sends, in.sends.times[in.sends.count-1-i])
	}
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
	in := l.learner
	if err := cmp.Or(in.requests.check("requests", s.Requests), in.tokens.check("tokens", s.Tokens)); err != nil {
		return err
	}
	in.requests.restoreState(s.Requests)
	in.tokens.restoreState(s.Tokens)
	in.named, in.namedUntil = s.Named, s.NamedUntil
	in.sends = sends{above: span{s.Above[0], s.Above[1]}, below: span{s.Below[0], s.Below[1]}}
	for _, at := range s.Sends {
		in.sends.push(at)
	}
	in.window, in.othersUntil = s.Window, s.OthersUntil
	in.trial, in.promised, in.waited, in.broken = s.Trial, s.Promised, s.Waited, s.Broken
	l.latest = s.Latest
	l.apply()
	return nil
}

func (s *search) state() searchState {
	return searchState{
		Rate: s.rate, Good: s.good, Bad: finite(s.bad), Till: s.till, Step: s.step, Base: s.base,
		From: s.from, Refused: s.refused, Latest: s.latest, Bound: finite(s.bound), Since: s.since, Used: s.used, Clean: s.clean,
	}
}

func (s *search) restoreState(from searchState) {
	s.rate, s.good, s.bad, s.till, s.step, s.base = from.Rate, from.Good, infinite(from.Bad), from.Till, from.Step, from.Base
	s.from, s.refused, s.latest, s.bound = from.From, from.Refused, from.Latest, infinite(from.Bound)
	s.since, s.used, s.clean = from.Since, from.Used, from.Clean
}

// check returns an error for a state that this search cannot have.
func (s *search) check(name string, from searchState) error {
	if r := from.Rate; !(r > 0 && r <= s.most) || from.Step <= 0 {
		return fmt.Errorf("limiter: learner's state: rate of %s is %v: must be above 0 and at most %v", name, r, s.most)
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
