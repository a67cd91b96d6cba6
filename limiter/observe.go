package limiter

import (
	"fmt"
	"strings"
	"time"
)

// ServerState is what the server said about its own count, usually in the
// headers of a reply. nil means that it said nothing. What is left is what the
// server counts at that time, the call of the reply included.
type ServerState struct {
	LimitRequests     *int // in a minute
	RemainingRequests *int // of them
	LimitTokens       *int // in a minute
	RemainingTokens   *int // of them
	QueryCost         *int // tokens that the call itself was charged

	At time.Time // when it said so: Observe sets it
}

// String says what the server said, and when.
func (s ServerState) String() string {
	var b strings.Builder
	for _, said := range []struct {
		what string
		n    *int
	}{
		{"limit of requests", s.LimitRequests}, {"requests left", s.RemainingRequests},
		{"limit of tokens", s.LimitTokens}, {"tokens left", s.RemainingTokens}, {"tokens charged", s.QueryCost},
	} {
		if said.n != nil {
			fmt.Fprintf(&b, "%s: %d, ", said.what, *said.n)
		}
	}
	if b.Len() == 0 {
		return "nothing"
	}
	return b.String() + "at " + s.At.Format(time.RFC3339)
}

// Observe keeps what the server said for [Limiter.Snapshot], and believes it
// where less remains than is known here: the balances are lowered to that, less
// what is in flight, because the server may not have counted those calls yet. It
// never raises a balance, because what the server last counted is older than
// what was taken here since. A guarded limiter counts as the server does: requests
// when they arrive, so that those in flight are not a reason to lower anything (and what
// is left of a minute does not empty a bucket of one request), and
// tokens when they are used: it takes what is missing there beyond its own count
// as used by others, until the next word, for a minute at most.
//
// A number that makes no sense (one below 0, a limit of 0, more remaining than
// the limit) changes nothing.
//
// Settle the call whose reply brought the news first. Otherwise it counts as
// still in flight.
func (l *Limiter) Observe(s ServerState) {
	if l.isZero() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	s.At = now
	l.serverState = s
	requests, tokens := s.Remaining()
	if tokens >= 0 && s.LimitTokens != nil && l.learner.observeLimit(now, *s.LimitTokens) {
		l.apply(now)
	}
	l.budget.observe(now, requests, tokens, cost{requests: l.inFlight, tokens: l.heldTokens})
	if tokens >= 0 && l.learner.observeUsage(now) {
		l.apply(now)
	}
	l.dispatch(now)
}

// Remaining returns what remains of each limit, -1 where the server said nothing or
// a number that makes no sense.
func (s ServerState) Remaining() (requests, tokens int) {
	return believable(s.RemainingRequests, s.LimitRequests), believable(s.RemainingTokens, s.LimitTokens)
}

// believable returns what remains of a limit according to the server, -1 if that
// is nothing to go by.
func believable(remaining, limit *int) int {
	if remaining == nil || *remaining < 0 || limit != nil && (*limit <= 0 || *remaining > *limit) {
		return -1
	}
	return *remaining
}
