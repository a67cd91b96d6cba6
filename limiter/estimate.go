package limiter

import (
	"context"
	"errors"
	"time"
)

// freshness is how old the estimate of a call may be when the call is admitted. A call that starts
// at once, or soon, keeps the estimate that it came with.
const freshness = time.Second

// errEstimate ends a wait whose Estimate did not return. Only other goroutines can see it: the one
// that waited panics, or exits.
var errEstimate = errors.New("limiter: Estimate did not return")

func newWaiter(now time.Time, p *Permit, c cost, call Call, due *deadline) *waiter {
	w := &waiter{permit: p, cost: c, since: now, call: call, estimated: now, due: due, ready: make(chan struct{})}
	if call.Estimate != nil {
		w.asks = make(chan struct{}, 1)
	}
	return w
}

// isStale reports whether the call must be estimated again before it is admitted, and asks for
// that. It requires that the limiter's mutex is held.
func (w *waiter) isStale(now time.Time) bool {
	return w.stale || now.Sub(w.estimated) >= freshness && w.ask()
}

// ask has the goroutine of w estimate its call again. It reports whether the call can be. It
// requires that the limiter's mutex is held.
func (w *waiter) ask() bool {
	if w.asks == nil {
		return false
	}
	if !w.stale {
		w.stale = true
		w.asks <- struct{}{} // has room: the goroutine receives before it resets stale
	}
	return true
}

// await reports true when the wait of w is over, or false when ctx is done. Meanwhile it estimates
// the call again, as often as it is asked.
func (l *Limiter) await(ctx context.Context, w *waiter) bool {
	for {
		select {
		case <-w.ready:
			return true
		case <-w.asks:
			l.estimate(ctx, w)
		case <-ctx.Done():
			return false
		}
	}
}

// estimate replaces the estimate of w. It is called without l.mu, so that Estimate may use the
// limiter, and by the goroutine of w, so that a panic is its caller's.
func (l *Limiter) estimate(ctx context.Context, w *waiter) {
	call, err := w.call, errEstimate
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
func (l *Limiter) revise(w *waiter, call Call, err error) {
	now := time.Now()
	if tokens := call.Tokens(); err == nil && tokens > l.limit.TokenBurst {
		err = &TooLargeError{Tokens: tokens, Capacity: l.limit.TokenBurst}
	}
	if err != nil {
		l.refuse(w, err)
	} else {
		w.call, w.estimated, w.stale = call, now, false
		w.cost = l.budget.cost(call)
		w.permit.cost = w.cost
	}
	l.pump(now)
}
