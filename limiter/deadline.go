package limiter

import (
	"context"
	"time"
)

const (
	// trialInterval is how often a call starts although it has too little time. Without such
	// calls nobody would notice that calls take less time than they did.
	trialInterval = 10 * time.Second

	// heirShare is the share of the tokens of a call that gives way from which on another call
	// needs about as many.
	heirShare = 2.0 / 3
)

// A deadline is what the limiter knows of the time that a waiter has. The limiter's mutex
// guards it. A nil deadline means that the call never gives way.
type deadline struct {
	at       time.Time
	duration time.Duration // of the call; above 0
	least    time.Duration // that the call can take; at most duration

	// giveUp is when the call gives way at the head of the queue. Zero before the call was there
	// with enough time.
	giveUp time.Time
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
	return &deadline{at: at, duration: c.Duration, least: min(c.Duration, max(0, c.MinDuration))}
}

// left returns how long it is until the deadline.
func (d *deadline) left(now time.Time) time.Duration { return d.at.Sub(now) }

// isEnough reports whether a call that starts now has the time that it needs.
func (d *deadline) isEnough(now time.Time) bool { return d == nil || d.left(now) >= d.duration }

// isPressing reports whether a call at the head of the queue has so little time to spare, less
// than half of its duration, that no other call may pass it.
func (d *deadline) isPressing(now time.Time) bool {
	return d != nil && d.left(now) < addSaturated(d.duration, d.duration/2)
}

// reach notes that the call has come to the head of the queue with enough time. A third of the
// time that it waits there is not counted against it, down to half of its duration: a
// large call needs that time to get its tokens.
func (d *deadline) reach(now time.Time) {
	left := d.left(now)
	spare := left - d.duration
	d.giveUp = now.Add(min(addSaturated(spare, spare/2), left-max(d.least, d.duration/2)))
}

// join returns the deadline of a call that arrives, or an error if the call cannot meet it. Tokens
// may be refunded, requests are not: so a call is refused if it could not start in time
// even if only requests were limited. It requires that l.mu is held.
func (l *Limiter) join(ctx context.Context, now time.Time, p *Permit, c cost, call Call) (*deadline, error) {
	due := newDeadline(ctx, call)
	if due == nil {
		return nil, nil
	}
	ahead := 0 // of a call that came back to its place the position is not known at once
	if last := p.class.tail; last != nil && !p.place.Before(last.permit.place) {
		ahead = p.class.len
	}
	start := max(0, l.paused(now), l.budget.requestWait(now, ahead+1))
	left := due.left(now)
	if start < left && due.least <= left-start || l.queue.len == 0 && l.wait(now, c) == 0 && l.takeTrial(now) {
		return due, nil
	}
	l.counters.Abandoned++
	return nil, &WaitError{
		Tokens: c.tokens, Expected: start, Position: p.class.position(p.place), Left: left, Duration: due.least,
		Err: ErrWouldWait, Cause: context.DeadlineExceeded,
	}
}

// takeTrial reports whether a call may start although it has too little time, once in
// trialInterval. It requires that l.mu is held.
func (l *Limiter) takeTrial(now time.Time) bool {
	if !l.trial.IsZero() && now.Sub(l.trial) < trialInterval {
		return false
	}
	l.trial = now
	return true
}

// giveWay refuses w, which is the head of the queue or may pass it, if w has too little time
// left and other calls wait. d is how long w has to wait at least. It reports whether w
// was refused. It requires that l.mu is held.
func (l *Limiter) giveWay(now time.Time, w *waiter, d time.Duration) bool {
	due := w.due
	if due == nil {
		return false
	}
	isHead, isAlone, isEnough := w == l.queue.head(), l.queue.len == 1, due.isEnough(now)
	if isHead && isEnough && due.giveUp.IsZero() {
		due.reach(now)
	}
	switch {
	case isEnough, isHead && now.Before(due.giveUp), isAlone && due.left(now) >= due.least:
		return false
	case d == 0 && l.takeTrial(now):
		return false
	}
	l.refuse(w, &WaitError{
		Tokens: w.cost.tokens, WaitDuration: now.Sub(w.since), Left: due.left(now), Duration: due.duration,
		Err: ErrWouldWait, Cause: context.DeadlineExceeded,
	})
	if isHead && d > l.wait(now, cost{requests: 1}) { // it waits for tokens
		l.handOver(now, w.permit.class, w.cost.tokens)
	}
	return true
}

// handOver makes the next waiter of a class that needs about as many tokens the first of the class, after a
// call gave way that waited for that many. Otherwise smaller calls would take what has become
// free for it, and large calls would never start. It requires that l.mu is held.
func (l *Limiter) handOver(now time.Time, c *class, tokens int) {
	w := c.head
	for i := 0; i < backfillDepth && w != nil && !w.permit.admitted; i++ {
		if float64(w.cost.tokens) >= heirShare*float64(tokens) && w.due.isEnough(now) {
			c.promote(w)
			return
		}
		w = w.next
	}
}

// patience returns how long it is until the head of the queue gives way, Never if it does not. It
// requires that l.mu is held.
func (l *Limiter) patience(now time.Time) time.Duration {
	due := l.queue.head().due
	switch {
	case due == nil:
		return Never
	case l.queue.len == 1:
		return addSaturated(max(0, due.left(now)-due.least), 1)
	}
	return max(1, due.giveUp.Sub(now))
}
