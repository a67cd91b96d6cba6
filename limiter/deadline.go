package limiter

import (
	"context"
	"time"
)

const (
	// trialInterval is how often a call starts although it has too little time. Without such
	// calls nobody would notice that calls take less time than they did.
	trialInterval = 10 * time.Second

	// similarShare is the share of the tokens of a call that gives way from which on another call
	// needs about as many.
	similarShare = 2.0 / 3
)

// A deadline is what the limiter knows of the time that a waiter has. The limiter's mutex
// guards it. A nil deadline means that the call never gives way.
type deadline struct {
	at          time.Time
	duration    time.Duration // of the call; above 0
	minDuration time.Duration // that the call can take; at most duration

	// dropAt is when the call gives way at the head of the queue. Zero before the call was there
	// with enough time.
	dropAt time.Time
}

// newDeadline returns nil if the call's duration is unknown or its context has no deadline.
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

// remaining returns how long it is until the deadline.
func (d *deadline) remaining(now time.Time) time.Duration { return d.at.Sub(now) }

// isEnough reports whether a call that starts now has the time that it needs.
func (d *deadline) isEnough(now time.Time) bool { return d == nil || d.remaining(now) >= d.duration }

// isTight reports whether a call at the head of the queue has so little time to spare, less
// than half of its duration, that no other call may pass it.
func (d *deadline) isTight(now time.Time) bool {
	return d != nil && d.remaining(now) < addSaturated(d.duration, d.duration/2)
}

// setDropTime notes that the call has come to the head of the queue with enough time. A third of the
// time that it waits there is not counted against it, down to half of its duration: a
// large call needs that time to get its tokens.
func (d *deadline) setDropTime(now time.Time) {
	left := d.remaining(now)
	spare := left - d.duration
	d.dropAt = now.Add(min(addSaturated(spare, spare/2), left-max(d.minDuration, d.duration/2)))
}

// checkDeadline returns the deadline of a call that arrives, or an error if the call cannot meet it. Tokens
// may be refunded, requests are not: so a call is refused if it could not start in time
// even if only requests were limited. It requires that l.mu is held.
func (l *Limiter) checkDeadline(ctx context.Context, now time.Time, p *Permit, c cost, call Call) (*deadline, error) {
	due := newDeadline(ctx, call)
	if due == nil {
		return nil, nil
	}
	ahead := 0 // of a call that came back to its place the position is not known at once
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

// takeTrial reports whether a call may start although it has too little time, once in
// trialInterval. It requires that l.mu is held.
func (l *Limiter) takeTrial(now time.Time) bool {
	if !l.lastTrial.IsZero() && now.Sub(l.lastTrial) < trialInterval {
		return false
	}
	l.lastTrial = now
	return true
}

// dropIfLate refuses w, which is the head of the queue or may pass it, if w has too little time
// left and other calls wait. d is how long w has to wait at least. It reports whether w
// was refused. It requires that l.mu is held.
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
	if isHead && d > l.wait(now, cost{requests: 1}) { // it waits for tokens
		l.promoteSimilar(now, w.permit.class, w.cost.tokens)
	}
	return true
}

// promoteSimilar makes the next waiter of a class that needs about as many tokens the first of the class, after a
// call gave way that waited for that many. Otherwise smaller calls would take what has become
// free for it, and large calls would never start. It requires that l.mu is held.
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

// timeUntilDrop returns how long it is until the head of the queue gives way, Never if it does not. It
// requires that l.mu is held.
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
