package redislimiter

import (
	"context"
	"errors"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// maxEstimateAge is the maximum age of a call's estimate in an acquire command, as for a limiter in the process.
const maxEstimateAge = time.Second

// errEstimate is the error of a wait whose Estimate function panicked or called runtime.Goexit.
var errEstimate = errors.New("redislimiter: Estimate did not return")

// estimate is the state of a waiter's estimate. The limiter's mutex guards all fields except
// requests. A nil estimate never changes.
type estimate struct {
	at       time.Time     // The time of the latest estimate.
	stale    bool          // The call needs a new estimate before the next acquire command.
	requests chan struct{} // Holds a value once stale is set; the goroutine of the waiter receives it.
}

// newEstimate returns nil if the estimate of the call never changes.
func newEstimate(now time.Time, c limiter.Call) *estimate {
	if c.Estimate == nil {
		return nil
	}
	return &estimate{at: now, requests: make(chan struct{}, 1)}
}

// request makes the goroutine of the waiter estimate the call again. It returns false if the estimate never changes.
func (e *estimate) request() bool {
	if e == nil {
		return false
	}
	if !e.stale {
		e.stale = true
		e.requests <- struct{}{} // never blocks: the previous value was received before stale was reset
	}
	return true
}

// isStale reports whether the call needs a new estimate before the next acquire command, and
// requests the estimate. It returns false while the response to an acquire command is missing:
// Redis may have admitted the call with the old estimate. The limiter's mutex must be held.
func (w *waiter) isStale() bool {
	e := w.estimate
	return e != nil && w.requestedAt.IsZero() && (e.stale || time.Since(e.at) >= maxEstimateAge && e.request())
}

// awaitResult returns when the wait of w has ended or ctx is done. Until then it estimates the
// call again at each request. l.mu must not be held.
func (l *Limiter) awaitResult(ctx context.Context, w *waiter) {
	var requests chan struct{}
	if w.estimate != nil {
		requests = w.estimate.requests
	}
	for {
		select {
		case <-w.ready:
			return
		case <-requests:
			l.reestimate(ctx, w)
		case <-ctx.Done():
			return
		}
	}
}

// reestimate replaces the estimate of w. The goroutine of w calls it without l.mu, so that
// Estimate may use the limiter and a panic reaches the caller of Acquire.
func (l *Limiter) reestimate(ctx context.Context, w *waiter) {
	call, err := w.call, errEstimate // only this goroutine changes w.call
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if !w.done {
			l.revise(w, call, err)
		}
	}()
	call.Prompt, call.Reply = call.Estimate()
	_, err = call.WithDefaults(ctx)
}

// revise stores the new estimate of w. It fails w if the estimate is an error or can never fit.
// l.mu must be held.
func (l *Limiter) revise(w *waiter, call limiter.Call, err error) {
	tokens := call.Tokens()
	if capacity := l.limit.TokenBurst; err == nil && tokens > capacity {
		err = &limiter.TooLargeError{Tokens: tokens, Capacity: capacity}
	}
	if err != nil {
		l.fail(w, err)
		return
	}
	w.estimate.at, w.estimate.stale = time.Now(), false
	if w.requestedAt.IsZero() {
		l.queue.tokens += tokens - w.tokens
		w.call, w.tokens, w.permit.tokens = call, tokens, tokens
	}
	l.wake()
}
