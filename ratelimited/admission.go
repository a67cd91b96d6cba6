package ratelimited

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// prepare finds out what the call waits for: its limiter, its estimate and its place.
func (c *call) selectPlace() {
	c.selectLimiter()
	c.place = limiter.PlaceOf(c.ctx)
	host := c.client.host
	if c.options.baseURL != "" {
		host = hostOf(c.options.baseURL)
	}
	c.outage = c.client.outages.Call(host, c.outageName(), c.place, c.limiter)
}

// aim finds out which limiter the call waits for, and its estimate. It reports false if the limiter
// is still the same one: then the estimate is, too.
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

// isMoved reports whether the call's model has another limiter than when the call was admitted.
func (c *call) hasNewLimiter() bool { return c.client.limits.For(c.model) != c.limiter }

// noModel is the name of calls that no model has to do with, where an outage is that of
// a model.
const noModel = "calls without a model"

// gateName is the name of the model that the call needs, or of what else decides
// whether it works.
func (c *call) outageName() string {
	if c.op.prompt == nil {
		return noModel
	}
	name := cmp.Or(c.model, c.agentID, c.op.prompt.conversationID, noModel)
	return name[:min(len(name), maxKeyLength)]
}

// admit returns when the call may send a request: no outage holds it, and its permit
// has one. While an outage holds the call, its permit is given back.
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
			c.updateEstimate() // what was learned before the outage began counts
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

// maxWait is how long the call may wait before it is sent for the first time, as
// [limiter.Call] has it.
func (c *call) maxWait() time.Duration {
	if c.attempts > 0 {
		return 0
	}
	return c.options.maxWait
}

// acquire waits for a permit, or for one more request if there is a permit. A call whose model turns
// out to have another limiter meanwhile waits for that one, in its place.
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

// failedToWait is the call's error for one of its limiter; nil for none. A call that
// was sent before fails with what became of that too.
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
	return &RequestError{Operation: c.op.name, Field: "inputs", Value: c.expected.total, Rule: "must have tokens that can be waited for", Err: err}
}

// takeAgain takes another request of the permit, for one that the transport sends again by
// itself. Like every wait for the limiter, this one ends in a shutdown.
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
