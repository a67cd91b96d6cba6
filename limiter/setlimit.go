package limiter

import "time"

// Limit returns the limit in force, with its defaults filled in: the configured one, or a learned one.
// See [Guarded].
func (l *Limiter) Limit() Limit {
	if l.isZero() {
		return Limit{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.limit
}

// SetLimit replaces the limit, also for calls that already wait. An invalid limit fails with a
// [*LimitError] and changes nothing.
//
// The buckets keep their balances, up to the new capacities. Additional capacity starts empty, so a
// change never admits a burst that both the old and the new limit forbid. The limiter forgets what it
// learned about the server's limits. Waiting calls that need more tokens than the new capacity fail
// with a [*TooLargeError].
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

// apply puts the learned limit in force. The caller must hold l.mu.
func (l *Limiter) apply(now time.Time) {
	limit := l.learner.limit()
	limit.TokenBurst = max(limit.TokenBurst, l.limit.TokenBurst) // a waiting call must not become too large
	l.limit = limit
	l.budget.setRates(now, l.limit, l.limit.RequestsPerSecond != l.learner.configured.RequestsPerSecond)
}
