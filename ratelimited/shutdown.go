package ratelimited

import (
	"context"
	"fmt"
	"sync"
	"time"
)

// Shutdown stops the client. From then on the client does not send requests: waiting and new calls fail at once
// with [ErrShuttingDown]. Calls in flight, including streams, continue until they have ended or ctx ends.
// Shutdown then cancels them with ErrShuttingDown as the cause and settles them. It returns nil if all
// calls in flight have ended by themselves. Otherwise it returns an error, at most 5 s after ctx ends,
// even if the HTTP client hangs. Finally it closes idle connections, like [Client.Close].
//
// A stream is in flight until its loop ends or it is closed, so do not call Shutdown in the goroutine that
// reads it. If an attempt in flight fails, it is not retried, and the call returns this failure. Calls that
// were not sent return a [*WaitError]. Cancelled calls return a [*TransportError] or a [*StreamError].
//
// Shutdown can be called several times, also concurrently: the first ctx that ends cancels the calls, and
// all calls of Shutdown report it. An [Observer] must not call it.
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

// maxCancelWait is how long Shutdown waits for cancelled calls to end.
const maxCancelWait = 5 * time.Second

// calls is the set of a client's calls that have not ended.
type calls struct {
	mu           sync.Mutex
	active       map[*call]struct{}
	shuttingDown bool
	ended        chan struct{} // closed when shuttingDown is set and all calls have ended

	cancelled int // number of calls in flight that Shutdown has cancelled
}

func newCalls() *calls { return &calls{active: map[*call]struct{}{}, ended: make(chan struct{})} }

// begin adds a call and gives it a context that Shutdown can cancel.
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

// stop cancels a call, unless its request is in flight, and prevents further requests.
func (c *calls) stop(call *call, cause error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if call.stopCause = cause; !call.sending {
		call.cancel(cause)
	}
}

// end removes a call if begin has added it.
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

// closeIfEmpty requires that c.mu is held.
func (c *calls) closeIfEmpty() {
	if c.shuttingDown && len(c.active) == 0 {
		select {
		case <-c.ended:
		default:
			close(c.ended)
		}
	}
}

// markSending records that a request of the call is about to be sent. It reports false if Shutdown or WithStop
// prevents this.
func (c *calls) markSending(call *call) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	call.sending = !c.shuttingDown && call.stopCause == nil
	return call.sending
}

// markWaiting records that the call does not have a request in flight, and cancels the call if Shutdown or
// WithStop has ended it.
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

// shutDown rejects new calls and cancels waiting ones. It returns a channel that is closed when all calls have
// ended.
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

// result returns the error of Shutdown.
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
		left = fmt.Sprintf("; calls that did not end within %v: %d", maxCancelWait, n)
	}
	return fmt.Errorf("mistral: Shutdown: calls cancelled: %d%s: %w", c.cancelled, left, cause)
}
