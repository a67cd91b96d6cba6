package limiter

import (
	"time"
)

// A Learner learns an account's limits for a [Backend] whose state several processes share, by the
// rules by which a [Guarded] limiter learns: see there. Its methods report what the requests of all
// processes met with, each event once, in the order of the shared state and with the times of its
// clock. Between two events its own state can be stored, see [Learner.MarshalText], and another
// process can go on from there. A Learner is not safe for concurrent use.
type Learner struct {
	epoch   time.Time
	latest  time.Duration // event
	guard   guard         // what the learner knows of the shared state: it admits nothing
	learner *learner
}

// LearnerConfig says what a [Learner] begins with.
type LearnerConfig struct {
	// Limit is the configured limit, and Since is when it was configured. No event is earlier.
	Limit Limit
	Since time.Time

	// Climbs makes Limit a beginning instead of a ceiling: see [LearnLimits].
	Climbs bool

	// Jitter is the configured slack, and ExtraJitter the slack that refusals have added to it.
	Jitter, ExtraJitter time.Duration
}

// Learned is what a [Learner] has learned: what the shared state should keep to.
type Learned struct {
	// Limit is the limit to put in force. Its TokenBurst may be lower than the one before, which
	// should be kept for the calls that wait.
	Limit Limit

	// RequestsFrom and TokensFrom say where the rates of Limit come from.
	RequestsFrom, TokensFrom Source

	// Spacing is the least time between two requests at a learned rate, because the burst that
	// the server allows is not known. 0 means that they need not be spread.
	Spacing time.Duration

	// Alone is how long no other request may follow the next one, which is the first after a
	// pause. 0 means that others may follow at once.
	Alone time.Duration

	// ExtraJitter is what is left of LearnerConfig.ExtraJitter: all of it, or 0 if the learned
	// rate explains the refusals.
	ExtraJitter time.Duration
}

// ThrottledRequest is a request that the server refused with a 429.
type ThrottledRequest struct {
	Throttle
	Sent       time.Time // when the request was sent
	Resumed    time.Time // when the latest pause ended that a refusal had begun before; zero: there was none
	TokensUsed int       // in the minute before, or in the window of a larger TokenBurst
}

// NewLearner returns a learner that has learned nothing yet, or a [*LimitError].
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

// Begin has the learner go on from the given rates at the given time, if nothing else is known of
// what was learned.
func (l *Learner) Begin(at time.Time, in Learned) {
	t := l.at(at)
	requests, tokens := &l.learner.requests, &l.learner.tokens
	for _, s := range []struct {
		*search
		rate float64
	}{{requests, in.Limit.RequestsPerSecond}, {tokens, tokenRate(in.Limit)}} {
		if s.rate < s.search.rate {
			s.uncutRate = s.search.rate // as after a cut
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

// Resent reports that a request left only now that was reported as sent before.
func (l *Learner) Resent(at, before time.Time) {
	l.at(at)
	l.learner.resent(l.now(), before)
}

// ReturnRequest takes a request back that was reported as sent at the given time.
func (l *Learner) ReturnRequest(sent time.Time) { l.learner.returnRequest(sent) }

// Settled reports that a call has ended that used the given number of tokens.
func (l *Learner) Settled(at time.Time, tokens int) {
	l.at(at)
	l.applyIf(l.learner.settled(l.now(), tokens))
}

// Named reports that the server named its limit of tokens per minute in a header. The limit must be
// above 0.
func (l *Learner) Named(at time.Time, limit int) {
	l.at(at)
	l.applyIf(l.learner.observeLimit(l.now(), limit))
}

// Observed reports how many tokens others have used, as far as a header shows, beside the tokens
// that were used here.
func (l *Learner) Observed(at time.Time, used, byOthers int) {
	l.at(at)
	l.guard.tokens.used, l.guard.externalUsage = used, byOthers
	l.applyIf(l.learner.observeUsage(l.now()))
}

// Throttled reports that the server refused a request.
func (l *Learner) Throttled(at time.Time, r ThrottledRequest) {
	l.at(at)
	l.guard.tokens.used = r.TokensUsed
	l.applyIf(l.learner.throttled(l.now(), r.Sent, r.Resumed, r.Throttle))
	l.learner.pauseStarted(l.now(), l.now().Sub(r.Sent), r.Throttle)
}

// Learned returns what was learned so far.
func (l *Learner) Learned() Learned {
	in := Learned{Limit: l.learner.limit(), Spacing: l.guard.spacing, Alone: l.learner.alone, ExtraJitter: l.guard.extraJitter}
	in.RequestsFrom, in.TokensFrom = l.learner.sources()
	return in
}

// at takes note of the time of an event, which is no earlier than that of the event before, and
// returns it as a time since the epoch. The extra jitter does not wear off here.
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

// apply puts the learned rates in force for the learner itself.
func (l *Learner) apply() {
	limit := l.learner.limit()
	l.guard.setRates(l.now(), limit, limit.RequestsPerSecond != l.learner.configured.RequestsPerSecond)
}
