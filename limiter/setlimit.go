package limiter

import "time"

// Limit returns the limit in force, with its defaults filled in: the configured one, or what a
// guarded limiter has learned.
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
// the old and the new limit both forbid. What was learned of the server's limits is forgotten.
// Waiting calls that need more tokens than the new capacity get a [*TooLargeError], since they
// could never start.
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
	l.concurrency.learned = 0
	if l.learner != nil {
		l.learner = newLearner(l.budget.guard, l.limit, l.mayExceed)
	}
	for _, c := range l.queue.classes {
		for w := c.head; w != nil; {
			next := w.next
			if w.cost.tokens > l.limit.TokenBurst && !w.estimate.requestRefresh() {
				l.abandon(w, &TooLargeError{Tokens: w.cost.tokens, Capacity: l.limit.TokenBurst})
			}
			w = next
		}
	}
	l.dispatch(now)
	return nil
}

// apply puts the learned limit in force. It requires that l.mu is held.
func (l *Limiter) apply(now time.Time) {
	limit := l.learner.limit()
	limit.TokenBurst = max(limit.TokenBurst, l.limit.TokenBurst) // so that no waiting call becomes too large
	l.limit = limit
	l.budget.setRates(now, l.limit, l.limit.RequestsPerSecond != l.learner.configured.RequestsPerSecond)
}
