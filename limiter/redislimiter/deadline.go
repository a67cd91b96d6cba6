package redislimiter

import (
	"context"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// trialInterval is the time between trial calls: calls that start although they have too little time. Without
// them the client would not notice that calls have become faster.
const trialInterval = 10 * time.Second

// deadlineOf returns the deadline of a call, zero without a deadline or with an unknown duration.
func deadlineOf(ctx context.Context, call limiter.Call) time.Time {
	if call.Duration <= 0 {
		return time.Time{}
	}
	at, _ := ctx.Deadline()
	return at
}

// tooLate returns the error of a call with too little time left.
func tooLate(call limiter.Call, left, duration time.Duration) *limiter.WaitError {
	return &limiter.WaitError{
		Tokens: call.Tokens(), Left: left, Duration: duration, Err: limiter.ErrWouldWait, Cause: context.DeadlineExceeded,
	}
}

// checkDeadline returns an error for a new call that cannot meet its deadline, because of a pause or of the requests
// ahead of it in this process. It sends no command. l.mu must be held.
func (l *Limiter) checkDeadline(ctx context.Context, call limiter.Call) error {
	deadline := deadlineOf(ctx, call)
	if deadline.IsZero() {
		return nil
	}
	ahead := 0
	for _, w := range l.queue.waiters {
		if !call.Place.Before(w.permit.place) {
			ahead++
		}
	}
	requests := max(0, float64(ahead+1)-l.limit.RequestBurst) / l.limit.RequestsPerSecond
	start := max(0, time.Until(l.resume), micros(requests*1e6))
	left, needed := time.Until(deadline), min(call.Duration, max(0, call.MinDuration))
	if start < left && needed <= left-start || len(l.queue.waiters) == 0 && l.isTrialDue() {
		return nil
	}
	l.counters.Abandoned++
	err := tooLate(call, left, needed)
	err.Expected, err.Position = start, ahead+1
	return err
}

// isTrialDue reports whether a call may start although it has too little time. l.mu must be held.
func (l *Limiter) isTrialDue() bool { return time.Since(l.trial) >= trialInterval }

// isLate reports whether a waiter has less time left than its duration. If it is the only waiter of this process,
// the minimum duration counts instead. l.mu must be held.
func (l *Limiter) isLate(w *waiter) bool {
	if w.deadline.IsZero() {
		return false
	}
	needed := w.call.Duration
	if len(l.queue.waiters) == 1 {
		needed = min(needed, w.call.MinDuration)
	}
	return time.Until(w.deadline) < needed
}

// failLate fails a late waiter. l.mu must be held.
func (l *Limiter) failLate(w *waiter) {
	err := tooLate(w.call, time.Until(w.deadline), w.call.Duration)
	err.WaitDuration = time.Since(w.since)
	l.fail(w, err)
}

// nextWaiter fails the late waiters at the head of the queue and returns the next one. It keeps a late head if a
// trial is due and Redis is reachable, so that the call can start. l.mu must be held.
func (l *Limiter) nextWaiter() *waiter {
	for {
		w := l.queue.head()
		if w == nil || !l.isLate(w) || l.unreachableSince.IsZero() && l.isTrialDue() {
			return w
		}
		l.failLate(w)
	}
}
