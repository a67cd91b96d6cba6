package limiter

import (
	"context"
	"errors"
	"math"
	"time"
)

// maxEstimateAge is how old the estimate of a call may be when the call is admitted. A call that starts
// at once, or soon, keeps the estimate that it came with.
const maxEstimateAge = time.Second

// minEstimateChange is the share by which the estimate of a call at the head of the queue does not change
// once it is known when the call can start. What may pass the call was chosen by its former
// estimate, and estimates change by some percent all the time: a call of most of a minute's tokens
// would be put off by one rise after the other, while the tokens that wait for it are unused.
const minEstimateChange = 1.0 / 8

// errEstimate ends a wait whose Estimate did not return. Only other goroutines can see it: the one
// that waited panics, or exits.
var errEstimate = errors.New("limiter: Estimate did not return")

// An estimate is what the limiter knows of the estimate of a waiter. The limiter's mutex guards it,
// but for asks. A nil estimate never changes.
type estimate struct {
	call    Call          // as it was estimated last
	at      time.Time     // when that was
	stale   bool          // the call must be estimated again before it is admitted
	refresh chan struct{} // has a value once stale is set; the goroutine of the waiter receives it
}

// newEstimate returns nil if the call keeps the estimate that it came with.
func newEstimate(now time.Time, c Call) *estimate {
	if c.Estimate == nil {
		return nil
	}
	return &estimate{call: c, at: now, refresh: make(chan struct{}, 1)}
}

// isStale reports whether the call must be estimated again before it is admitted, and asks for
// that.
func (e *estimate) isStale(now time.Time) bool {
	return e != nil && (e.stale || now.Sub(e.at) >= maxEstimateAge && e.requestRefresh())
}

// isStale reports whether the call must be estimated again before it is admitted, and asks for that. A call whose
// caller is being told where it waits keeps its estimate: nobody knows how long that takes.
func (w *waiter) isStale(now time.Time) bool {
	return (w.notifier == nil || !w.notifier.notifying) && w.estimate.isStale(now)
}

// requestRefresh has the goroutine of the waiter estimate the call again. It reports whether that is possible.
func (e *estimate) requestRefresh() bool {
	if e == nil {
		return false
	}
	if !e.stale {
		e.stale = true
		e.refresh <- struct{}{} // has room: what was asked before was received before stale was reset
	}
	return true
}

// refreshEstimate replaces the estimate of w. It is called without l.mu, so that Estimate may use the
// limiter, and by the goroutine of w, so that a panic is its caller's.
func (l *Limiter) refreshEstimate(ctx context.Context, w *waiter) {
	call, err := w.estimate.call, errEstimate // only this goroutine changes it
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

// applyEstimate has w wait for what its call is estimated at now, or ends its wait if that is an error or
// can never fit. It requires that l.mu is held.
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
