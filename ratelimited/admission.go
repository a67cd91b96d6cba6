package ratelimited

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// prepare selects the limiter, the estimate and the place in the queue of the call.
func (c *call) prepare() {
	c.selectLimiter()
	c.place = limiter.PlaceOf(c.ctx)
	host := c.client.host
	if c.options.baseURL != "" {
		host = hostOf(c.options.baseURL)
	}
	c.outage = c.client.outages.Call(host, c.outageName(), c.place, c.limiter)
}

// selectLimiter selects the limiter of the call's model and updates the estimate. It reports whether
// the limiter has changed; if not, the estimate has not changed either.
func (c *call) selectLimiter() (changed bool) {
	var history conversation
	var own agent
	if c.op.prompt != nil {
		c.model, c.agentID, history, own = c.resolveModel()
	}
	l := c.client.limits.For(c.model)
	if l == c.limiter {
		return false
	}
	c.limiter = l
	if c.op.prompt != nil {
		if !c.client.config.FixedEstimates {
			c.learned = c.client.memory.model(c.model)
		}
		c.initEstimate(history, own)
		c.updateEstimate()
	}
	return true
}

// hasNewLimiter reports whether the limiter of the call's model has changed since the call was admitted.
func (c *call) hasNewLimiter() bool { return c.client.limits.For(c.model) != c.limiter }

// noModel is the model name of calls that do not use a model, for outages.
const noModel = "calls without a model"

// outageName returns the name under which the call's outages are tracked: its model or, if that is
// unknown, its agent or conversation.
func (c *call) outageName() string {
	if c.op.prompt == nil {
		return noModel
	}
	name := cmp.Or(c.model, c.agentID, c.op.prompt.conversationID, noModel)
	return name[:min(len(name), maxKeyLength)]
}

// admit returns when the call may send a request: no outage holds it, and the limiter has admitted it.
// While an outage holds the call, the call does not keep a permit.
func (c *call) admit() error {
	for {
		held, began := c.outage.IsHeld(), time.Now()
		if held && c.maxWait() != 0 {
			return c.outageError(ErrWouldWait, 0)
		}
		if held {
			c.refundRetry()
			c.returnPermit()
		}
		err := c.outage.Wait(c.ctx)
		if held {
			c.updateEstimate() // the client may have learned more in the meantime
			if c.isObserved() {
				c.emit(Held{WaitDuration: time.Since(began)})
			}
		}
		if err != nil {
			return c.outageError(err, time.Since(began))
		}
		if err := c.acquire(); err != nil {
			return err
		}
		mayBeSent := c.client.calls.markSending(c)
		if mayBeSent && c.outage.Enter() {
			c.client.saver.scheduleSave()
			return nil
		}
		c.client.calls.markWaiting(c)
		c.permit.ReturnRequest()
		c.returnPermit()
		if !mayBeSent {
			return c.waitError(ErrShuttingDown)
		}
	}
}

// maxWait returns the maximum wait before the first attempt, as in [limiter.Call].
func (c *call) maxWait() time.Duration {
	if c.attempts > 0 {
		return 0
	}
	return c.options.maxWait
}

// acquire waits for a permit, or for one more request of the current permit. If the call's model gets
// another limiter in the meantime, the call waits for that one, in the same place.
func (c *call) acquire() error {
	if c.permit != nil && !c.hasNewLimiter() {
		return c.waitError(c.permit.Retry(c.ctx))
	}
	c.returnPermit()
	c.selectLimiter()
	for {
		call := limiter.Call{Prompt: c.expected.prompt, Reply: c.expected.total - c.expected.prompt, Place: c.place, MaxWait: c.maxWait()}
		if c.op.prompt != nil && !c.expected.fromCaller {
			call.Estimate = c.reestimate
		}
		call.Class, call.OnQueue = c.class(), c.options.onQueue
		if !c.queued {
			call.MaxQueue = c.client.config.MaxQueue
		}
		if c.learned != nil {
			call.Duration, call.MinDuration = c.learned.Duration()
		}
		permit, err := c.limiter.Acquire(c.ctx, call)
		if err != nil {
			return c.waitError(err)
		}
		c.permit, c.queued = permit, true
		c.expected.total = permit.Tokens()
		c.expected.prompt = min(c.expected.prompt, c.expected.total)
		c.ended.Store(false)
		if c.isObserved() {
			c.emit(Acquired{Model: c.model, Tokens: c.expected.total, WaitDuration: permit.WaitDuration()})
		}
		if !c.selectLimiter() {
			return nil
		}
		c.returnPermit()
	}
}

// waitError returns the call's error for an error of its limiter; nil for nil. After a failed attempt,
// the error includes that failure.
func (c *call) waitError(err error) error {
	var tooLarge *limiter.TooLargeError
	var waited *limiter.WaitError
	switch {
	case err == nil:
		return nil
	case c.sent == 0 && c.ctx.Err() != nil && c.outage.IsHeld():
		return c.outageError(err, time.Since(c.began))
	case c.failure != nil:
		if c.ctx.Err() != nil {
			err = contextError(c.ctx)
		}
		return c.gaveUpError(err)
	case errors.As(err, &tooLarge):
		return c.tooLargeError(tooLarge)
	case errors.As(err, &waited) || c.ctx.Err() != nil:
		if waited == nil {
			waited = new(limiter.WaitError)
		}
		failure := &WaitError{
			Operation: c.op.name, Model: c.model, Limit: c.limiter.Limit(), Tokens: c.expected.total,
			WaitDuration: waited.WaitDuration, Paused: waited.Paused, Expected: waited.Expected, Position: waited.Position,
			Left: waited.Left, Duration: waited.Duration, Err: ErrWouldWait,
		}
		switch {
		case errors.Is(err, limiter.ErrQueueFull):
			failure.Err = ErrQueueFull
		case !errors.Is(err, limiter.ErrWouldWait):
			failure.Err = contextError(c.ctx)
		case errors.Is(err, context.DeadlineExceeded):
			failure.Err = errDeadlineTooClose
		}
		return failure
	case errors.Is(err, limiter.ErrUnavailable):
		return &LimiterError{Operation: c.op.name, Err: err}
	}
	return &RequestError{Operation: c.op.name, Field: "inputs", Value: c.expected.total, Rule: "must have a number of tokens that the limiter can admit", Err: err}
}

// takeRequest takes another request of the permit when the transport sends a request again by itself. A
// shutdown ends this wait too.
func (c *call) takeRequest(ctx context.Context) error {
	c.client.calls.markWaiting(c)
	if err := c.permit.Retry(ctx); err != nil {
		return err
	}
	if !c.client.calls.markSending(c) {
		c.permit.ReturnRequest()
		return ErrShuttingDown
	}
	return nil
}
