package limiter

import (
	"fmt"
	"strings"
	"time"
)

// ServerState is the server's count of the account's usage, usually from the rate-limit headers of a
// response. A nil field means that the server did not report it. The remaining numbers already include
// the call of the response.
type ServerState struct {
	LimitRequests     *int // requests per minute
	RemainingRequests *int // of LimitRequests
	LimitTokens       *int // tokens per minute
	RemainingTokens   *int // of LimitTokens
	QueryCost         *int // tokens charged for the call itself

	At time.Time // when Observe was called; Observe sets it
}

// String returns the reported values and their time in one line, or "nothing" without any value.
func (s ServerState) String() string {
	var b strings.Builder
	for _, value := range []struct {
		name string
		n    *int
	}{
		{"request limit", s.LimitRequests}, {"remaining requests", s.RemainingRequests},
		{"token limit", s.LimitTokens}, {"remaining tokens", s.RemainingTokens}, {"query cost", s.QueryCost},
	} {
		if value.n != nil {
			fmt.Fprintf(&b, "%s: %d, ", value.name, *value.n)
		}
	}
	if b.Len() == 0 {
		return "nothing"
	}
	return b.String() + "at " + s.At.Format(time.RFC3339)
}

// Observe processes the server's count and stores it for [Limiter.Snapshot]. If the server reports less
// than a bucket holds, Observe lowers the balance to the reported value minus the calls in flight. The
// server may not have counted those yet. It never raises a balance, because the report is older than the
// latest admissions.
//
// A guarded limiter knows more about the server's count. Requests count on arrival, so requests in
// flight do not lower the balance, and the remainder of a minute does not empty a bucket of one request.
// Tokens count when they are used. Usage that the limiter cannot account for is attributed to other
// clients until the next report, for a minute at most.
//
// Implausible values change nothing: below 0, a limit of 0, or more remaining than the limit.
//
// Settle the call of the response before Observe. Otherwise the call still counts as in flight.
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

// Remaining returns the remaining requests and tokens, or -1 for a value that is missing or implausible.
func (s ServerState) Remaining() (requests, tokens int) {
	return plausible(s.RemainingRequests, s.LimitRequests), plausible(s.RemainingTokens, s.LimitTokens)
}

// plausible returns the remaining units of a limit, -1 if they are missing or implausible.
func plausible(remaining, limit *int) int {
	if remaining == nil || *remaining < 0 || limit != nil && (*limit <= 0 || *remaining > *limit) {
		return -1
	}
	return *remaining
}
