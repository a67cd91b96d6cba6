package limiter

import "time"

// concurrencyRaiseInterval is how long a learned number of calls in flight is used before one more is tried.
const concurrencyRaiseInterval = time.Minute

// MaxInFlight bounds how many calls are in flight at a time: from their admission until they are settled or
// cancelled, but for those that wait to be retried. 0 or less: any number. A limiter learns a lower
// number from a [Throttle] that says so, and tries one more each minute while that is reached.
func MaxInFlight(n int) Option {
	return func(l *Limiter) { l.concurrency.configured = max(0, n) }
}

// concurrency bounds the calls that are in flight at a time.
type concurrency struct {
	configured int       // configured; 0: any number
	learned    int       // 0: nothing
	learnedAt  time.Time // when that was learned, or changed

	// The latest incident: when it began, how many were in flight, and how many of them were refused.
	incidentStart                     time.Time
	incidentActive, incidentThrottled int
}

// limit returns how many calls may be in flight, 0 for any number.
func (f *concurrency) limit() int {
	if f.learned > 0 && (f.configured == 0 || f.learned < f.configured) {
		return f.learned
	}
	return f.configured
}

// throttled learns from the refusal of a call that was sent at the given time, while so many calls are in flight, the refused
// one among them: the server accepts those that it does not throttled.
func (f *concurrency) throttled(now, sent time.Time, active int) {
	if !sent.Before(f.incidentStart) {
		f.incidentStart, f.incidentActive, f.incidentThrottled = now, active, 0
	}
	f.incidentThrottled++
	f.learned, f.learnedAt = max(1, f.incidentActive-f.incidentThrottled), now
}

// settle learns from a call that has ended while so many were in flight.
func (f *concurrency) settle(now time.Time, active int) {
	if f.learned > 0 && active >= f.learned && now.Sub(f.learnedAt) >= concurrencyRaiseInterval {
		f.learned++
		f.learnedAt = now
	}
}

// active returns how many calls are in flight, without those that wait to be retried, here or for another limiter. It requires that l.mu is
// held.
func (l *Limiter) active() int { return l.inFlight - l.queue.retries.len - l.suspended }

// isFull reports whether no call may start before one in flight has ended. It requires that l.mu is
// held.
func (l *Limiter) isFull() bool {
	limit := l.concurrency.limit()
	return limit > 0 && l.active() >= limit
}
