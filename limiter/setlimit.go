package limiter

import "time"

// Limit returns the limit in force, with its defaults filled in.
func (l *Limiter) Limit() Limit {
	if l.isZero() {
		return Limit{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.limit
}

// SetLimit replaces the limit, for those who wait already too. It returns a
// [*LimitError] and changes nothing if the limit is not valid.
//
// The balances are kept, cut to the new capacities: room that is added starts
// empty and fills at the new rate, so that a change never admits a burst that
// the old and the new limit both forbid. Waiting calls that need more tokens
// than the new capacity get a [*TooLargeError], since they could never start.
func (l *Limiter) SetLimit(limit Limit) error {
	if l.isZero() {
		return errZero
	}
	if err := limit.Validate(); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	l.limit = limit.WithDefaults()
	l.budget.setLimit(now, l.limit)
	for w := l.queue.head; w != nil; {
		next := w.next
		if w.cost.tokens > l.limit.TokenBurst {
			l.refuse(w, &TooLargeError{Tokens: w.cost.tokens, Capacity: l.limit.TokenBurst})
		}
		w = next
	}
	l.pump(now)
	return nil
}
