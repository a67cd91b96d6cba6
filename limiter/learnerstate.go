package limiter

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math"
	"time"
)

// learnerVersion is the version of a learner's saved state.
const learnerVersion = 1

// learnerState is the saved state of a [Learner]. Durations are in nanoseconds since its epoch.
type learnerState struct {
	Version  int           `json:"version,omitempty"` // of a [Learner]; a [Group] has one version for all
	Latest   time.Duration `json:"latest,omitempty"`
	Requests searchState   `json:"requests"`
	Tokens   searchState   `json:"tokens"`

	HeaderRate  float64       `json:"named,omitempty"`
	HeaderUntil time.Duration `json:"namedUntil,omitempty"`

	Accepted       []time.Duration `json:"sends,omitempty"` // oldest first
	Above          spanState       `json:"above,omitzero"`
	Below          spanState       `json:"below,omitzero"`
	WindowRequests int             `json:"window,omitempty"`
	ExternalUntil  time.Duration   `json:"othersUntil,omitempty"`

	Alone           time.Duration `json:"trial,omitempty"`
	HasRetryAfter   bool          `json:"promised,omitempty"`
	RejectedSent    time.Duration `json:"promise,omitempty"`
	RetriedSent     time.Duration `json:"waited,omitempty"`
	RejectedRetries int           `json:"broken,omitempty"`
}

// searchState is the saved state of a search. A rate of -1 is infinite.
type searchState struct {
	Rate          float64       `json:"rate"`
	Sustained     float64       `json:"good,omitempty"`
	Rejected      float64       `json:"bad"`
	RejectedUntil time.Duration `json:"till,omitempty"`
	Step          float64       `json:"step"`
	UncutRate     float64       `json:"base,omitempty"`
	RateSince     time.Duration `json:"from,omitempty"`
	Incidents     float64       `json:"refused,omitempty"`
	LastIncident  time.Duration `json:"latest,omitempty"`
	Bound         float64       `json:"bound,omitempty"`
	MeasuredSince time.Duration `json:"since,omitempty"`
	Used          float64       `json:"used,omitempty"`
	Clean         bool          `json:"clean,omitempty"`
}

// spanState is the saved state of a span: its length, and when to forget it.
type spanState [2]time.Duration

// MarshalText returns the learner's state as at most 4 KiB of JSON without spaces. The state does not
// include the configuration.
func (l *Learner) MarshalText() ([]byte, error) {
	s := l.learner.state()
	s.Version, s.Latest = learnerVersion, l.latest
	return json.Marshal(s)
}

// UnmarshalText restores a state that MarshalText returned, into a new learner with the same
// configuration; only the jitter may differ. An error leaves the learner unchanged.
func (l *Learner) UnmarshalText(text []byte) error {
	var s learnerState
	if err := json.Unmarshal(text, &s); err != nil {
		return fmt.Errorf("limiter: learner state: %w", err)
	}
	if s.Version != learnerVersion {
		return fmt.Errorf("limiter: learner state: version must be %d, got %d", learnerVersion, s.Version)
	}
	if err := s.check(l.learner.requests.maxRate, l.learner.tokens.maxRate); err != nil {
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
		HeaderRate: l.headerRate, HeaderUntil: l.headerUntil,
		Above: spanState{l.accepted.above.length, l.accepted.above.until}, Below: spanState{l.accepted.below.length, l.accepted.below.until}, WindowRequests: l.windowRequests, ExternalUntil: l.externalUntil,
		Alone: l.alone, HasRetryAfter: l.hasRetryAfter, RejectedSent: l.rejectedSent, RetriedSent: l.retriedSent, RejectedRetries: l.rejectedRetries,
	}
	for i := range l.accepted.count {
		s.Accepted = append(s.Accepted, l.accepted.times[l.accepted.count-1-i])
	}
	return s
}

// check returns an error if the state is not valid for a learner with the given maximum rates, in
// requests and tokens per second.
func (s learnerState) check(maxRequests, maxTokens float64) error {
	return cmp.Or(s.Requests.check("requests", maxRequests), s.Tokens.check("tokens", maxTokens))
}

func (l *learner) restoreState(s learnerState) {
	l.requests.restoreState(s.Requests)
	l.tokens.restoreState(s.Tokens)
	l.headerRate, l.headerUntil = s.HeaderRate, s.HeaderUntil
	l.accepted = acceptedRequests{above: span{s.Above[0], s.Above[1]}, below: span{s.Below[0], s.Below[1]}}
	for _, at := range s.Accepted {
		l.accepted.push(at)
	}
	l.windowRequests, l.externalUntil = s.WindowRequests, s.ExternalUntil
	l.alone, l.hasRetryAfter, l.rejectedSent, l.retriedSent, l.rejectedRetries = s.Alone, s.HasRetryAfter, s.RejectedSent, s.RetriedSent, s.RejectedRetries
}

func (s *search) state() searchState {
	return searchState{
		Rate: s.rate, Sustained: s.sustained, Rejected: finite(s.rejected), RejectedUntil: s.rejectedUntil, Step: s.step, UncutRate: s.uncutRate,
		RateSince: s.rateSince, Incidents: s.incidents, LastIncident: s.lastIncident, Bound: finite(s.bound), MeasuredSince: s.measuredSince, Used: s.used, Clean: s.clean,
	}
}

func (s *search) restoreState(from searchState) {
	s.rate, s.sustained, s.rejected, s.rejectedUntil, s.step, s.uncutRate = min(from.Rate, s.maxRate), from.Sustained, infinite(from.Rejected), from.RejectedUntil, from.Step, from.UncutRate
	s.rateSince, s.incidents, s.lastIncident, s.bound = from.RateSince, from.Incidents, from.LastIncident, infinite(from.Bound)
	s.measuredSince, s.used, s.clean = from.MeasuredSince, from.Used, from.Clean
}

// check returns an error if the state is not valid for a search with the given maximum rate.
func (s searchState) check(name string, maxRate float64) error {
	if !(s.Rate > 0 && s.Rate <= maxRate) || s.Step <= 0 {
		return fmt.Errorf("limiter: learner state: rate of %s must be above 0 and at most %v, got %v", name, maxRate, s.Rate)
	}
	return nil
}

// finite returns rate as it is saved, because JSON cannot express infinity.
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
