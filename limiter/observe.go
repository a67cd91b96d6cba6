package limiter

import "time"

// ServerState is what the server said about its own count, usually in the
// headers of a reply. nil, and a negative number, mean that it said nothing.
type ServerState struct {
	RemainingRequests *int
	RemainingTokens   *int
}

// Observe lowers the local balances to what remains according to the server,
// less what is in flight: the server may not have counted those calls yet. It
// never raises a balance, because what the server last counted is older than
// what was taken here since.
//
// Settle the call whose reply brought the news first. Otherwise it counts as
// still in flight.
func (l *Limiter) Observe(s ServerState) {
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if n := s.RemainingRequests; n != nil && *n >= 0 {
		l.budget.lowerRequests(now, *n-l.inFlight)
	}
	if n := s.RemainingTokens; n != nil && *n >= 0 {
		l.budget.lowerTokens(now, *n-l.heldTokens)
	}
	l.pump(now)
}
