package limiter

import (
	"fmt"
	"strings"
	"time"
)

// Snapshot is the state of a [Limiter] at one instant.
type Snapshot struct {
	Limit Limit // limit in force, with its defaults filled in

	// Configured is the configured limit. The limit of a guarded limiter is lower if the server
	// names or enforces a lower one; with [LearnLimits] it may also be higher.
	// RequestsFrom and TokensFrom are the sources of the rates in Limit.
	Configured               Limit
	RequestsFrom, TokensFrom Source

	// AvailableRequests and AvailableTokens are what calls could take now: at most the buckets'
	// capacities, and negative while a debt is paid off.
	AvailableRequests float64
	AvailableTokens   float64

	HeldTokens int // tokens held by calls in flight
	InFlight   int // permits neither settled nor cancelled
	Waiting    int // calls and retries in the queue

	// NextStart is when the next waiting call can start. It is zero if no call waits, or if the
	// time depends on calls in flight.
	NextStart time.Time

	// ReturnedRequests is the total number of requests that were returned because they were not
	// sent. Admitted + Retried - ReturnedRequests requests were sent or are about to be.
	ReturnedRequests int64

	PausedUntil time.Time // end of the pause; zero if not paused

	Server ServerState // last value passed to Observe

	// Held is the number of calls that an outage holds without a permit. They are neither in flight
	// nor waiting for this limiter. OutageSince is the start of the outage, zero without one, and
	// OutageCause describes it. Only the client of package ratelimited detects outages and sets
	// these three fields.
	Held        int
	OutageSince time.Time
	OutageCause string

	Counters
}

// Counters are totals since the limiter was made. They satisfy two equations:
//
//   - Admitted = Settled + Cancelled + Snapshot.InFlight.
//   - The tokens of all admitted calls = TokensSettled + TokensRefunded - TokensCharged +
//     Snapshot.HeldTokens.
type Counters struct {
	Admitted   int64 // permits; a call that was held in an outage gets another one
	Retried    int64 // further attempts with the same permit
	Settled    int64 // permits ended by Settle
	Cancelled  int64 // permits ended by Cancel
	Abandoned  int64 // waits that ended without an admission
	Backfilled int64 // admissions ahead of a call that arrived earlier

	TokensSettled  int64 // tokens used, according to Settle
	TokensRefunded int64 // tokens held but not used, even if the bucket was full
	TokensCharged  int64 // tokens used beyond those held

	TotalWait time.Duration // total wait of all admitted calls and retries
}

// Snapshot returns the limiter's current state. It changes nothing.
func (l *Limiter) Snapshot() Snapshot {
	if l.isZero() {
		return Snapshot{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	requests, tokens := l.budget.available(now)
	s := Snapshot{
		Limit:             l.limit,
		Configured:        l.limit,
		AvailableRequests: requests,
		AvailableTokens:   tokens,
		HeldTokens:        l.heldTokens,
		InFlight:          l.inFlight,
		Waiting:           l.queue.len,
		ReturnedRequests:  l.returnedRequests,
		Server:            l.serverState,
		Counters:          l.counters,
	}
	if l.learner != nil {
		s.Configured = l.learner.configured
	}
	s.RequestsFrom, s.TokensFrom = l.learner.sources()
	if head := l.queue.head(); head != nil {
		if d := l.wait(now, head.cost); d != Never {
			s.NextStart = now.Add(d)
		}
	}
	if l.paused(now) > 0 {
		s.PausedUntil = l.pausedUntil
	}
	return s
}

// String returns the rates, the available units, the calls in flight and the waiting calls in one line,
// for logs and progress displays.
func (s Snapshot) String() string {
	var b strings.Builder
	fmt.Fprintf(&b, "%.4g requests/s (%.4g now), %d tokens/min (%.0f now), %d in flight, %d waiting",
		s.Limit.RequestsPerSecond, s.AvailableRequests, s.Limit.TokensPerMinute, s.AvailableTokens, s.InFlight, s.Waiting)
	for _, at := range []struct {
		what string
		time time.Time
	}{{"the next starts in", s.NextStart}, {"paused for", s.PausedUntil}} {
		if !at.time.IsZero() {
			fmt.Fprintf(&b, ", %s %v", at.what, max(0, time.Until(at.time)).Round(time.Millisecond))
		}
	}
	if s.Held > 0 {
		fmt.Fprintf(&b, ", %d held", s.Held)
	}
	if !s.OutageSince.IsZero() {
		fmt.Fprintf(&b, ", outage since %s: %s", s.OutageSince.Format(time.TimeOnly), s.OutageCause)
	}
	return b.String()
}
