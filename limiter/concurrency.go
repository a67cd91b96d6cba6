package limiter

import "time"

// concurrencyRaiseInterval is how long a learned bound is used before it is raised by one.
const concurrencyRaiseInterval = time.Minute

// MaxInFlight bounds how many calls are in flight at a time, from their admission until they are settled
// or cancelled. Calls that wait for a retry do not count. 0 or less means unlimited. A limiter learns a
// lower bound from a [Throttle] with Concurrent set. While the learned bound is reached, it is raised by
// one each minute.
func MaxInFlight(n int) Option {
	return func(l *Limiter) { l.concurrency.configured = max(0, n) }
}

// concurrency bounds the number of calls in flight.
type concurrency struct {
	configured int       // 0: unlimited
	learned    int       // 0: none
	learnedAt  time.Time // when learned last changed

	// The latest incident: its start, the calls in flight at its start, and how many were rejected.
	incidentStart                     time.Time
	incidentActive, incidentThrottled int
}

// limit returns the bound in force, 0 for unlimited.
func (c *concurrency) limit() int {
	if c.learned > 0 && (c.configured == 0 || c.learned < c.configured) {
		return c.learned
	}
	return c.configured
}

// throttled learns from a 429 for a call sent at the given time. active is the number of calls in
// flight, including this call. The server accepts the calls that it does not reject.
func (c *concurrency) throttled(now, sent time.Time, active int) {
	if !sent.Before(c.incidentStart) {
		c.incidentStart, c.incidentActive, c.incidentThrottled = now, active, 0
	}
	c.incidentThrottled++
	c.learned, c.learnedAt = max(1, c.incidentActive-c.incidentThrottled), now
}

// settle learns from a call that ended while active calls were in flight.
func (c *concurrency) settle(now time.Time, active int) {
	if c.learned > 0 && active >= c.learned && now.Sub(c.learnedAt) >= concurrencyRaiseInterval {
		c.learned++
		c.learnedAt = now
	}
}

// active returns the number of calls in flight, without those that wait for a retry. The caller must
// hold l.mu.
func (l *Limiter) active() int { return l.inFlight - l.queue.retries.len - l.suspended }

// isFull reports whether no call may start before a call in flight ends. The caller must hold l.mu.
func (l *Limiter) isFull() bool {
	limit := l.concurrency.limit()
	return limit > 0 && l.active() >= limit
}
