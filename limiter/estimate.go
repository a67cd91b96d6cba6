package limiter

import (
	"context"
	"errors"
	"math"
	"time"
)

// maxEstimateAge is the maximum age of an estimate at the admission. A call that starts sooner keeps
// its first estimate.
const maxEstimateAge = time.Second

// minEstimateChange is the smallest relative change that replaces the estimate of a call at the head of
// the queue once its start is known. The calls that were backfilled were chosen by the former estimate.
// Estimates change by a few percent all the time. If every rise counted, each one would delay a large
// call again while the tokens reserved for it are unused.
const minEstimateChange = 1.0 / 8

// errEstimate ends the wait of a call whose Estimate function did not return but panicked or called
// runtime.Goexit. The caller itself does not receive this error.
var errEstimate = errors.New("limiter: Estimate did not return")

// An estimate is the state of a waiter's estimate. The limiter's mutex guards all fields except the
// channel. A nil estimate never changes.
type estimate struct {
	call    Call          // with the latest estimate
	at      time.Time     // when it was estimated
	stale   bool          // the call must be estimated again before its admission
	refresh chan struct{} // capacity 1; receives a value when stale is set
}

// newEstimate returns nil if the call does not have an Estimate function.
func newEstimate(now time.Time, c Call) *estimate {
	if c.Estimate == nil {
		return nil
	}
	return &estimate{call: c, at: now, refresh: make(chan struct{}, 1)}
}

// isStale reports whether the call must be estimated again before its admission. If so, it requests the
// new estimate.
func (e *estimate) isStale(now time.Time) bool {
	return e != nil && (e.stale || now.Sub(e.at) >= maxEstimateAge && e.requestRefresh())
}

// isStale reports whether the call must be estimated again before its admission. If so, it requests the
// new estimate. While OnQueue runs, which may take any time, the call keeps its estimate.
func (w *waiter) isStale(now time.Time) bool {
	return (w.notifier == nil || !w.notifier.notifying) && w.estimate.isStale(now)
}

// requestRefresh makes the waiter's goroutine estimate the call again. It reports false if e is nil.
func (e *estimate) requestRefresh() bool {
	if e == nil {
		return false
	}
	if !e.stale {
		e.stale = true
		e.refresh <- struct{}{} // does not block: the last value was received before stale was reset
	}
	return true
}

// refreshEstimate replaces the estimate of w. The goroutine of w calls it, so a panic of Estimate
// reaches the caller. It runs Estimate without l.mu, so Estimate may use the limiter.
func (l *Limiter) refreshEstimate(ctx context.Context, w *waiter) {
	call, err := w.estimate.call, errEstimate // no other goroutine changes call
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if !w.done {
			l.applyEstimate(w, call, err)
		}
	}()
	call.Prompt, call.Reply = call.Estimate()
	_, err = call.WithDefaults(ctx)
}

// applyEstimate replaces the cost of w by that of call. It ends the wait if err is not nil or if the
// call can never fit. The caller must hold l.mu.
func (l *Limiter) applyEstimate(w *waiter, call Call, err error) {
	now := time.Now()
	if tokens := call.Tokens(); err == nil && tokens > l.limit.TokenBurst {
		err = &TooLargeError{Tokens: tokens, Capacity: l.limit.TokenBurst}
	}
	if err != nil {
		l.abandon(w, err)
	} else {
		w.estimate.at, w.estimate.stale = now, false
		c := l.budget.cost(call)
		change := math.Abs(float64(c.tokens - w.cost.tokens))
		if w.expectedStart.IsZero() || w.cost.tokens > l.limit.TokenBurst || change > minEstimateChange*float64(w.cost.tokens) {
			w.estimate.call, w.cost, w.permit.cost = call, c, c
		}
	}
	l.dispatch(now)
}
