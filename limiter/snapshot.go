package limiter

import (
	"fmt"
	"strings"
	"time"
)

// Snapshot is the state of a [Limiter] at one instant.
type Snapshot struct {
	Limit Limit // in force, with its defaults filled in

	// Configured is the limit as it was configured. A guarded limiter keeps to a lower one
	// if the server names or enforces that, and with [LearnLimits] to a higher one too.
	// RequestsFrom and TokensFrom say where the rates of Limit come from.
	Configured               Limit
	RequestsFrom, TokensFrom Source

	// AvailableRequests and AvailableTokens could be taken now: never more than the
	// buckets' capacity, and negative while a debt is being paid off.
	AvailableRequests float64
	AvailableTokens   float64

	HeldTokens int // taken by calls in flight
	InFlight   int // permits neither settled nor cancelled
	Waiting    int // calls and retries in the queue

	// NextStart is when the first of those that wait can start. It is zero if nobody waits, or if that
	// depends on calls in flight.
	NextStart time.Time

	// ReturnedRequests is how many requests were given back so far, because they were not sent:
	// Admitted + Retried - ReturnedRequests requests were, or are about to be.
	ReturnedRequests int64

	PausedUntil time.Time // zero if not paused

	Server ServerState // what the server last said, if anything

	// Held is how many calls an outage holds, without a permit. They are neither in
	// flight nor waiting for this limiter. OutageSince is when the outage began, zero if
	// there is none, and OutageCause says what is down and why. Only the client of
	// package ratelimited knows of outages, and sets the three.
	Held        int
	OutageSince time.Time
	OutageCause string

	Counters
}

// Counters add up what happened since the limiter was made.
//
// Admitted = Settled + Cancelled + Snapshot.InFlight, and the tokens of all
// admitted calls = TokensSettled + TokensRefunded - TokensCharged +
// Snapshot.HeldTokens.
type Counters struct {
	Admitted   int64 // permits: a call that an outage has held gets another one
	Retried    int64 // further attempts with the same permit
	Settled    int64 // permits
	Cancelled  int64 // permits of which nothing was sent
	Abandoned  int64 // waits that ended without an admission
	Backfilled int64 // admissions ahead of a call that had come before

	TokensSettled  int64 // used, according to Settle
	TokensRefunded int64 // held but not used, whether or not the bucket had room
	TokensCharged  int64 // used beyond what was held

	TotalWait time.Duration // of all admitted calls and retries
}

// Snapshot returns the limiter's state. It takes nothing.
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

// String returns the rates, what is left of them, and who waits for what, in one line: for logs and the display of
// progress.
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
