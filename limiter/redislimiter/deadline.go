package redislimiter

import (
	"context"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// trialInterval is how often a process starts a call although it has too little time. Without such
// calls nobody would notice that calls take less time than they did.
const trialInterval = 10 * time.Second

// deadlineOf returns when a call has to end, zero if that or its duration is not known.
func deadlineOf(ctx context.Context, call limiter.Call) time.Time {
	if call.Duration <= 0 {
		return time.Time{}
	}
	at, _ := ctx.Deadline()
	return at
}

// tooLate returns the error of a call that gives way.
func tooLate(call limiter.Call, left, duration time.Duration) *limiter.WaitError {
	return &limiter.WaitError{
		Tokens: call.Tokens(), Left: left, Duration: duration, Err: limiter.ErrWouldWait, Cause: context.DeadlineExceeded,
	}
}

// checkDeadline returns an error for a call that arrives and cannot meet its deadline, because of a pause or of
// the requests of those ahead in this process. It does not ask Redis. It requires that l.mu is held.
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
	left, least := time.Until(deadline), min(call.Duration, max(0, call.MinDuration))
	if start < left && least <= left-start || len(l.queue.waiters) == 0 && l.isTrialDue() {
		return nil
	}
	l.counters.Abandoned++
	err := tooLate(call, left, least)
	err.Expected, err.Position = start, ahead+1
	return err
}

// isTrialDue reports whether a call may start although it has too little time. It requires that
// l.mu is held.
func (l *Limiter) isTrialDue() bool { return time.Since(l.trial) >= trialInterval }

// isLate reports whether a waiter has too little time if it starts now: less than its duration or,
// if nobody else waits in this process, than the least that it can take. It requires that l.mu is held.
func (l *Limiter) isLate(w *waiter) bool {
	if w.deadline.IsZero() {
		return false
	}
	needs := w.call.Duration
	if len(l.queue.waiters) == 1 {
		needs = min(needs, w.call.MinDuration)
	}
	return time.Until(w.deadline) < needs
}

// giveWay has a waiter that is late give way. It requires that l.mu is held.
func (l *Limiter) giveWay(w *waiter) {
	err := tooLate(w.call, time.Until(w.deadline), w.call.Duration)
	err.WaitDuration = time.Since(w.since)
	l.refuse(w, err)
}

// punctual returns the head of the queue, after those ahead of it that are late have given way. A late one
// that is due as a trial stays, unless Redis is away and no call can start. It requires that l.mu is held.
func (l *Limiter) punctual() *waiter {
	for {
		w := l.queue.head()
		if w == nil || !l.isLate(w) || l.away.IsZero() && l.isTrialDue() {
			return w
		}
		l.giveWay(w)
	}
}
