package limiter

import (
	"context"
	"time"
)

const (
	// trialInterval is how often a late call starts anyway. Without such calls the limiter would not
	// notice that calls have become faster.
	trialInterval = 10 * time.Second

	// similarShare defines similar sizes: a call is similar to a dropped call if it needs at
	// least this share of its tokens.
	similarShare = 2.0 / 3
)

// A deadline records when a waiter's context ends and how long its call takes. The limiter's mutex
// guards it. A call with a nil deadline is never dropped.
type deadline struct {
	at          time.Time
	duration    time.Duration // expected duration of the call, above 0
	minDuration time.Duration // shortest possible duration, at most duration

	// dropAt is when the call is dropped at the head of the queue. It is zero until the call
	// reaches the head with enough time.
	dropAt time.Time
}

// newDeadline returns nil if the call's duration is unknown or its context does not have a deadline.
func newDeadline(ctx context.Context, c Call) *deadline {
	if c.Duration <= 0 {
		return nil
	}
	at, ok := ctx.Deadline()
	if !ok {
		return nil
	}
	return &deadline{at: at, duration: c.Duration, minDuration: min(c.Duration, max(0, c.MinDuration))}
}

// remaining returns the time left until the deadline.
func (d *deadline) remaining(now time.Time) time.Duration { return d.at.Sub(now) }

// isEnough reports whether a call that starts now has enough time left.
func (d *deadline) isEnough(now time.Time) bool { return d == nil || d.remaining(now) >= d.duration }

// isTight reports whether a call at the head of the queue has less than half of its duration to
// spare. Calls behind it then must not be backfilled.
func (d *deadline) isTight(now time.Time) bool {
	return d != nil && d.remaining(now) < addSaturated(d.duration, d.duration/2)
}

// setDropTime sets dropAt of a call that reaches the head of the queue with enough time. A third of
// its wait there does not count, down to half of its duration, because a large call needs that wait
// to get its tokens.
func (d *deadline) setDropTime(now time.Time) {
	left := d.remaining(now)
	spare := left - d.duration
	d.dropAt = now.Add(min(addSaturated(spare, spare/2), left-max(d.minDuration, d.duration/2)))
}

// checkDeadline returns the deadline of a call that arrives, or an error if the call cannot meet it.
// Tokens of the calls ahead may be refunded, requests are not. So the call fails only if it could not
// start in time even if requests were the only limit. The caller must hold l.mu.
func (l *Limiter) checkDeadline(ctx context.Context, now time.Time, p *Permit, c cost, call Call) (*deadline, error) {
	due := newDeadline(ctx, call)
	if due == nil {
		return nil, nil
	}
	ahead := 0 // if the call returns to an earlier place, its position is not known here
	if last := p.class.tail; last != nil && !p.place.Before(last.permit.place) {
		ahead = p.class.len
	}
	start := max(0, l.paused(now), l.budget.requestWait(now, ahead+1))
	left := due.remaining(now)
	if start < left && due.minDuration <= left-start || l.queue.len == 0 && l.wait(now, c) == 0 && l.takeTrial(now) {
		return due, nil
	}
	l.counters.Abandoned++
	return nil, &WaitError{
		Tokens: c.tokens, Expected: start, Position: p.class.position(p.place), Left: left, Duration: due.minDuration,
		Err: ErrWouldWait, Cause: context.DeadlineExceeded,
	}
}

// takeTrial reports whether a late call may start anyway, and takes that chance. It returns true once
// per trialInterval. The caller must hold l.mu.
func (l *Limiter) takeTrial(now time.Time) bool {
	if !l.lastTrial.IsZero() && now.Sub(l.lastTrial) < trialInterval {
		return false
	}
	l.lastTrial = now
	return true
}

// dropIfLate abandons w, which is the head of the queue or about to be backfilled, if w has too little
// time left and other calls wait. d is the shortest time that w still has to wait. It reports whether
// it abandoned w. The caller must hold l.mu.
func (l *Limiter) dropIfLate(now time.Time, w *waiter, d time.Duration) bool {
	due := w.deadline
	if due == nil {
		return false
	}
	isHead, isAlone, isEnough := w == l.queue.head(), l.queue.len == 1, due.isEnough(now)
	if isHead && isEnough && due.dropAt.IsZero() {
		due.setDropTime(now)
	}
	switch {
	case isEnough, isHead && now.Before(due.dropAt), isAlone && due.remaining(now) >= due.minDuration:
		return false
	case d == 0 && l.takeTrial(now):
		return false
	}
	l.abandon(w, &WaitError{
		Tokens: w.cost.tokens, WaitDuration: now.Sub(w.since), Left: due.remaining(now), Duration: due.duration,
		Err: ErrWouldWait, Cause: context.DeadlineExceeded,
	})
	if isHead && d > l.wait(now, cost{requests: 1}) { // w waited for tokens
		l.promoteSimilar(now, w.permit.class, w.cost.tokens)
	}
	return true
}

// promoteSimilar makes the next waiter of a similar size the head of class c, after a call that waited
// for the given number of tokens was dropped. Otherwise smaller calls would take the tokens that have
// become free, and large calls would never start. The caller must hold l.mu.
func (l *Limiter) promoteSimilar(now time.Time, c *class, tokens int) {
	w := c.head
	for i := 0; i < backfillDepth && w != nil && !w.permit.admitted; i++ {
		if float64(w.cost.tokens) >= similarShare*float64(tokens) && w.deadline.isEnough(now) {
			c.promote(w)
			return
		}
		w = w.next
	}
}

// timeUntilDrop returns how long it takes until the head of the queue is dropped, Never if it is not.
// The caller must hold l.mu.
func (l *Limiter) timeUntilDrop(now time.Time) time.Duration {
	due := l.queue.head().deadline
	switch {
	case due == nil:
		return Never
	case l.queue.len == 1:
		return addSaturated(max(0, due.remaining(now)-due.minDuration), 1)
	}
	return max(1, due.dropAt.Sub(now))
}
