package limiter

import (
	"time"
)

// A Learner learns an account's limits for a [Backend] whose state several processes share, by the same
// rules as a [Guarded] limiter. The backend reports the events of all processes' requests by calling its
// methods. It reports each event once, in the order of the shared state and with times of its clock.
// Between two events, [Learner.MarshalText] can save the Learner's state, and another process can
// continue from it. A Learner is not safe for concurrent use.
type Learner struct {
	epoch   time.Time
	latest  time.Duration // time of the latest event
	guard   guard         // copies the shared state that the learner needs; it admits nothing
	learner *learner
}

// LearnerConfig is the initial state of a [Learner].
type LearnerConfig struct {
	// Limit is the configured limit, and Since is when it was configured. Events must not be earlier.
	Limit Limit
	Since time.Time

	// Climbs lets the learned limit exceed Limit: see [LearnLimits].
	Climbs bool

	// Jitter is the configured jitter, and ExtraJitter what 429 responses have added to it.
	Jitter, ExtraJitter time.Duration
}

// Learned is the result of a [Learner]: what the shared state should enforce.
type Learned struct {
	// Limit is the limit to put in force. If its TokenBurst is below the one in force, keep the
	// latter, so that waiting calls do not become too large.
	Limit Limit

	// RequestsFrom and TokensFrom are the sources of the rates in Limit.
	RequestsFrom, TokensFrom Source

	// Spacing is the minimum time between two requests at a learned rate, because the burst that
	// the server allows is unknown. 0 means that requests need not be spaced.
	Spacing time.Duration

	// Alone is how long no other request may follow the next one, which is the first after a
	// pause. 0 means that others may follow at once.
	Alone time.Duration

	// ExtraJitter is the part of LearnerConfig.ExtraJitter to keep: all of it, or 0 if the learned
	// rate explains the 429 responses.
	ExtraJitter time.Duration
}

// A ThrottledRequest is a request that the server rejected with a 429.
type ThrottledRequest struct {
	Throttle
	Sent       time.Time // when the request was sent
	Resumed    time.Time // end of the latest pause due to an earlier 429; zero without one
	TokensUsed int       // in the last minute, or in the longer window of a larger TokenBurst
}

// NewLearner returns a learner without learned rates. An invalid limit fails with a [*LimitError].
func NewLearner(c LearnerConfig) (*Learner, error) {
	if err := c.Limit.Validate(); err != nil {
		return nil, err
	}
	limit := c.Limit.WithDefaults()
	l := &Learner{epoch: c.Since, guard: *newGuard(c.Since, limit, c.Jitter)}
	l.guard.extraJitter = c.ExtraJitter
	l.learner = newLearner(&l.guard, limit, c.Climbs)
	return l, nil
}

// Begin starts a new learner from the given rates at the given time. It is for rates that are known
// without a saved state.
func (l *Learner) Begin(at time.Time, in Learned) {
	t := l.at(at)
	requests, tokens := &l.learner.requests, &l.learner.tokens
	for _, s := range []struct {
		*search
		rate float64
	}{{requests, in.Limit.RequestsPerSecond}, {tokens, tokenRate(in.Limit)}} {
		if s.rate < s.search.rate {
			s.uncutRate = s.search.rate // as if the rate had been cut
		}
		if s.rate != s.search.rate {
			s.step = maxStep
		}
		s.set(t, min(s.rate, s.maxRate))
	}
	if in.TokensFrom == FromHeaders {
		l.learner.headerRate, l.learner.headerUntil = tokens.rate, t+headerMemory
		tokens.sustained = tokens.rate
	}
	l.apply()
}

// Sent reports that a request was sent at the given time.
func (l *Learner) Sent(at time.Time) {
	l.at(at)
	_, changed := l.learner.sent(l.now())
	l.applyIf(changed)
}

// Resent reports that a request reported as sent before was sent only at the given time.
func (l *Learner) Resent(at, before time.Time) {
	l.at(at)
	l.learner.resent(l.now(), before)
}

// ReturnRequest reports that the request reported as sent at the given time was not sent.
func (l *Learner) ReturnRequest(sent time.Time) { l.learner.returnRequest(sent) }

// Settled reports that a call ended and used the given number of tokens.
func (l *Learner) Settled(at time.Time, tokens int) {
	l.at(at)
	l.applyIf(l.learner.settled(l.now(), tokens))
}

// Named reports that the server named its token limit, in tokens per minute, in a header. The limit must
// be above 0.
func (l *Learner) Named(at time.Time, limit int) {
	l.at(at)
	l.applyIf(l.learner.observeLimit(l.now(), limit))
}

// Observed reports, after a header with remaining tokens, how many tokens this limiter's clients used in
// the last minute, and how many were used by other clients.
func (l *Learner) Observed(at time.Time, used, byOthers int) {
	l.at(at)
	l.guard.tokens.used, l.guard.externalUsage = used, byOthers
	l.applyIf(l.learner.observeUsage(l.now()))
}

// Throttled reports that the server rejected a request with a 429.
func (l *Learner) Throttled(at time.Time, r ThrottledRequest) {
	l.at(at)
	l.guard.tokens.used = r.TokensUsed
	l.applyIf(l.learner.throttled(l.now(), r.Sent, r.Resumed, r.Throttle))
	l.learner.pauseStarted(l.now(), l.now().Sub(r.Sent), r.Throttle)
}

// Learned returns the current result.
func (l *Learner) Learned() Learned {
	in := Learned{Limit: l.learner.limit(), Spacing: l.guard.spacing, Alone: l.learner.alone, ExtraJitter: l.guard.extraJitter}
	in.RequestsFrom, in.TokensFrom = l.learner.sources()
	return in
}

// at records the time of an event and returns it as a duration since the epoch. It treats a time before
// the latest event as the latter's. The extra jitter does not decay here.
func (l *Learner) at(now time.Time) time.Duration {
	l.latest = max(l.latest, now.Sub(l.epoch))
	l.guard.extraJitterFrom = l.latest
	return l.guard.at(l.now())
}

// now returns the time of the latest event.
func (l *Learner) now() time.Time { return l.epoch.Add(l.latest) }

func (l *Learner) applyIf(changed bool) {
	if changed {
		l.apply()
	}
}

// apply puts the learned rates in force in the learner's own guard.
func (l *Learner) apply() {
	limit := l.learner.limit()
	l.guard.setRates(l.now(), limit, limit.RequestsPerSecond != l.learner.configured.RequestsPerSecond)
}
