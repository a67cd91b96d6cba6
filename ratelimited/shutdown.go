package ratelimited

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Shutdown ends the client's work. From then on no request is sent: calls that wait, and new
// ones, fail at once with [ErrShuttingDown]. Calls in flight, streams included, go on until
// they have ended or ctx ends; then they are cancelled with ErrShuttingDown as the cause, and
// settled. Shutdown returns nil if all calls in flight ended by themselves. Otherwise it returns
// an error, no later than 5 s after ctx ends, even if the HTTP client hangs. Finally it closes
// idle connections, like [Client.Close].
//
// A stream is in flight until its loop ends or it is closed: do not call Shutdown in the
// goroutine that is to read it. If an attempt in flight fails, it is not retried, and the call
// returns that failure. Calls that were not sent return a [*WaitError], cancelled ones a
// [*TransportError] or a [*StreamError].
//
// Shutdown may be called several times, also concurrently: the first ctx that ends cancels the
// calls, and all report that. An [Observer] must not call it.
func (c *Client) Shutdown(ctx context.Context) error {
	if err := c.check(); err != nil {
		return err
	}
	if ctx == nil {
		return &RequestError{Operation: "Shutdown", Field: "ctx", Rule: contextRule}
	}
	ended := c.calls.shutDown()
	defer c.Close()
	select {
	case <-ended:
	case <-ctx.Done():
		c.calls.cancelAll()
		timer := time.NewTimer(maxCancelWait)
		defer timer.Stop()
		select {
		case <-ended:
		case <-timer.C:
		}
	}
	return c.calls.result(ctx)
}

// maxWindDown is how long Shutdown waits for calls that it has cancelled.
const maxCancelWait = 5 * time.Second

// calls are the calls of a client that have not ended.
type calls struct {
	mu           sync.Mutex
	active       map[*call]struct{}
	shuttingDown bool
	ended        chan struct{} // closed when there are none and refusing

	cancelled int // calls in flight, by Shutdown
}

func newCalls() *calls { return &calls{active: map[*call]struct{}{}, ended: make(chan struct{})} }

// begin adds a call, and gives it a context that Shutdown can cancel.
func (c *calls) begin(call *call) error {
	ctx, cancel := context.WithCancelCause(call.ctx)
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.shuttingDown {
		cancel(ErrShuttingDown)
		return ErrShuttingDown
	}
	call.ctx, call.cancel = ctx, cancel
	c.active[call] = struct{}{}
	if stop := call.options.stop; stop != nil {
		call.cancelStop = context.AfterFunc(stop, func() { c.stop(call, context.Cause(stop)) })
	}
	return nil
}

// stop ends a call that is not being sent, and keeps another one from being sent again.
func (c *calls) stop(call *call, cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if call.stopCause = cause; !call.sending {
		call.cancel(cause)
	}
}

// end removes a call, if begin has added it.
func (c *calls) end(call *call) {
	if call.cancel == nil {
		return
	}
	if call.cancelStop != nil {
		call.cancelStop()
	}
	call.cancel(nil)
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.active, call)
	c.closeIfEmpty()
}

// endIfEmpty requires that c.mu is held.
func (c *calls) closeIfEmpty() {
	if c.shuttingDown && len(c.active) == 0 {
		select {
		case <-c.ended:
		default:
			close(c.ended)
		}
	}
}

// send notes that a call is being sent, which Shutdown and WithStop let it be. It reports false
// in a shutdown and for a call that was stopped.
func (c *calls) markSending(call *call) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	call.sending = !c.shuttingDown && call.stopCause == nil
	return call.sending
}

// wait notes that a call is not being sent, and cancels it in a shutdown or if it was stopped.
func (c *calls) markWaiting(call *call) {
	c.mu.Lock()
	defer c.mu.Unlock()
	call.sending = false
	if call.stopCause != nil {
		call.cancel(call.stopCause)
	}
	if c.shuttingDown {
		call.cancel(ErrShuttingDown)
	}
}

// shutDown refuses new calls and cancels those that wait. The channel is closed when all
// have ended.
func (c *calls) shutDown() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shuttingDown = true
	for call := range c.active {
		if !call.sending {
			call.cancel(ErrShuttingDown)
		}
	}
	c.closeIfEmpty()
	return c.ended
}

// cancelAll cancels all calls.
func (c *calls) cancelAll() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for call := range c.active {
		if call.sending && call.ctx.Err() == nil {
			c.cancelled++
		}
		call.cancel(ErrShuttingDown)
	}
}

// result returns the error of a Shutdown.
func (c *calls) result(ctx context.Context) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.cancelled+len(c.active) == 0 {
		return nil
	}
	cause := ErrShuttingDown // the context of another Shutdown has ended
	if ctx.Err() != nil {
		cause = contextError(ctx)
	}
	left := ""
	if n := len(c.active); n > 0 {
		left = fmt.Sprintf("; calls that have not ended after %v: %d", maxCancelWait, n)
	}
	return fmt.Errorf("mistral: Shutdown: calls cancelled: %d%s: %w", c.cancelled, left, cause)
}
