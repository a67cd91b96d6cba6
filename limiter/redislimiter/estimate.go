package redislimiter

import (
	"context"
	"errors"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// freshness is how old the estimate of a call may be when Redis is asked for it: as a limiter in the process has it.
const freshness = time.Second

// errEstimate ends a wait whose Estimate did not return.
var errEstimate = errors.New("redislimiter: Estimate did not return")

// An estimate is what is known of the estimate of a waiter. The limiter's mutex guards it, but for
// asks. A nil estimate never changes.
type estimate struct {
	at    time.Time     // of the latest
	stale bool          // the call must be estimated again before Redis is asked for it
	asks  chan struct{} // has a value once stale is set; the goroutine of the waiter receives it
}

// newEstimate returns nil if the call keeps the estimate that it came with.
func newEstimate(now time.Time, c limiter.Call) *estimate {
	if c.Estimate == nil {
		return nil
	}
	return &estimate{at: now, asks: make(chan struct{}, 1)}
}

// ask has the goroutine of the waiter estimate the call again. It reports whether that is possible.
func (e *estimate) ask() bool {
	if e == nil {
		return false
	}
	if !e.stale {
		e.stale = true
		e.asks <- struct{}{} // has room: what was asked before was received before stale was reset
	}
	return true
}

// isStale reports whether the call must be estimated again before Redis is asked for it, and has
// that done. Not while an answer is missing: Redis may have admitted the call with the estimate
// that it knows. It requires that the limiter's mutex is held.
func (w *waiter) isStale() bool {
	e := w.estimate
	return e != nil && w.askedAt.IsZero() && (e.stale || time.Since(e.at) >= freshness && e.ask())
}

// watch returns when the wait of w is over or ctx is done. Meanwhile it estimates the call again,
// as often as it is asked to. It is called without l.mu.
func (l *Limiter) watch(ctx context.Context, w *waiter) {
	var asks chan struct{}
	if w.estimate != nil {
		asks = w.estimate.asks
	}
	for {
		select {
		case <-w.ready:
			return
		case <-asks:
			l.estimateAgain(ctx, w)
		case <-ctx.Done():
			return
		}
	}
}

// estimateAgain replaces the estimate of w. It is called without l.mu, by the goroutine of w: so
// Estimate may use the limiter, and a panic is its caller's.
func (l *Limiter) estimateAgain(ctx context.Context, w *waiter) {
	call, err := w.call, errEstimate // only this goroutine changes it
	defer func() {
		l.mu.Lock()
		defer l.mu.Unlock()
		if !w.over {
			l.revise(w, call, err)
		}
	}()
	call.Prompt, call.Reply = call.Estimate()
	_, err = call.WithDefaults(ctx)
}

// revise has w wait for what its call is estimated at now, or ends its wait if that is an error or
// can never fit. It requires that l.mu is held.
func (l *Limiter) revise(w *waiter, call limiter.Call, err error) {
	tokens := call.Tokens()
	if capacity := l.limit.TokenBurst; err == nil && tokens > capacity {
		err = &limiter.TooLargeError{Tokens: tokens, Capacity: capacity}
	}
	if err != nil {
		l.refuse(w, err)
		return
	}
	w.estimate.at, w.estimate.stale = time.Now(), false
	if w.askedAt.IsZero() {
		l.queue.tokens += tokens - w.tokens
		w.call, w.tokens, w.permit.tokens = call, tokens, tokens
	}
	l.wake()
}
