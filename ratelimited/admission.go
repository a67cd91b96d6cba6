package ratelimited

import (
	"cmp"
	"context"
	"errors"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// prepare finds out what the call waits for: its limiter, its estimate and its place.
func (f *flight) prepare() {
	f.aim()
	f.place = limiter.PlaceOf(f.ctx)
	host := f.client.host
	if f.options.baseURL != "" {
		host = hostOf(f.options.baseURL)
	}
	f.gate = f.client.gates.Call(host, f.gateName(), f.place, f.limiter)
}

// aim finds out which limiter the call waits for, and its estimate. It reports false if the limiter
// is still the same one: then the estimate is, too.
func (f *flight) aim() (changed bool) {
	var history conversation
	var own agent
	if f.op.prompt != nil {
		f.model, f.agentID, history, own = f.resolve()
	}
	l := f.client.limits.For(f.model)
	if l == f.limiter {
		return false
	}
	f.limiter = l
	if f.op.prompt != nil {
		if !f.client.config.FixedEstimates {
			f.learned = f.client.memory.model(f.model)
		}
		f.know(history, own)
		f.estimate()
	}
	return true
}

// isMoved reports whether the call's model has another limiter than when the call was admitted.
func (f *flight) isMoved() bool { return f.client.limits.For(f.model) != f.limiter }

// noModel is the name of calls that no model has to do with, where an outage is that of
// a model.
const noModel = "calls without a model"

// gateName is the name of the model that the call needs, or of what else decides
// whether it works.
func (f *flight) gateName() string {
	if f.op.prompt == nil {
		return noModel
	}
	name := cmp.Or(f.model, f.agentID, f.op.prompt.conversationID, noModel)
	return name[:min(len(name), maxKey)]
}

// admit returns when the call may send a request: no outage holds it, and its permit
// has one. While an outage holds the call, its permit is given back.
func (f *flight) admit() error {
	for {
		held, began := f.gate.IsHeld(), time.Now()
		if held && f.maxWait() != 0 {
			return f.outageError(ErrWouldWait, 0)
		}
		if held {
			f.uncount()
			f.giveBack()
		}
		err := f.gate.Wait(f.ctx)
		if held {
			f.estimate() // what was learned before the outage began counts
			if f.watched() {
				f.tell(Held{WaitDuration: time.Since(began)})
			}
		}
		if err != nil {
			return f.outageError(err, time.Since(began))
		}
		if err := f.acquire(); err != nil {
			return err
		}
		mayBeSent := f.client.calls.send(f)
		if mayBeSent && f.gate.Enter() {
			f.client.state.touch()
			return nil
		}
		f.client.calls.wait(f)
		f.permit.ReturnRequest()
		f.giveBack()
		if !mayBeSent {
			return f.failedToWait(ErrShuttingDown)
		}
	}
}

// maxWait is how long the call may wait before it is sent for the first time, as
// [limiter.Call] has it.
func (f *flight) maxWait() time.Duration {
	if f.attempts > 0 {
		return 0
	}
	return f.options.maxWait
}

// acquire waits for a permit, or for one more request if there is a permit. A call whose model turns
// out to have another limiter meanwhile waits for that one, in its place.
func (f *flight) acquire() error {
	if f.permit != nil && !f.isMoved() {
		return f.failedToWait(f.permit.Retry(f.ctx))
	}
	f.giveBack()
	f.aim()
	for {
		call := limiter.Call{Prompt: f.guess.prompt, Reply: f.guess.total - f.guess.prompt, Place: f.place, MaxWait: f.maxWait()}
		if f.op.prompt != nil && !f.guess.given {
			call.Estimate = f.estimateAgain
		}
		call.Class, call.OnQueue = f.class(), f.options.onQueue
		if !f.queued {
			call.MaxQueue = f.client.config.MaxQueue
		}
		if f.learned != nil {
			call.Duration, call.MinDuration = f.learned.Duration()
		}
		permit, err := f.limiter.Acquire(f.ctx, call)
		if err != nil {
			return f.failedToWait(err)
		}
		f.permit, f.queued = permit, true
		f.guess.total = permit.Tokens()
		f.guess.prompt = min(f.guess.prompt, f.guess.total)
		f.ended.Store(false)
		if f.watched() {
			f.tell(Acquired{Model: f.model, Tokens: f.guess.total, WaitDuration: permit.WaitDuration()})
		}
		if !f.aim() {
			return nil
		}
		f.giveBack()
	}
}

// failedToWait is the call's error for one of its limiter; nil for none. A call that
// was sent before fails with what became of that too.
func (f *flight) failedToWait(err error) error {
	var tooLarge *limiter.TooLargeError
	var waited *limiter.WaitError
	switch {
	case err == nil:
		return nil
	case f.sent == 0 && f.ctx.Err() != nil && f.gate.IsHeld():
		return f.outageError(err, time.Since(f.began))
	case f.failure != nil:
		if f.ctx.Err() != nil {
			err = contextError(f.ctx)
		}
		return f.gaveUp(err)
	case errors.As(err, &tooLarge):
		return f.tooLarge(tooLarge)
	case errors.As(err, &waited) || f.ctx.Err() != nil:
		if waited == nil {
			waited = new(limiter.WaitError)
		}
		failure := &WaitError{
			Operation: f.op.name, Model: f.model, Limit: f.limiter.Limit(), Tokens: f.guess.total,
			WaitDuration: waited.WaitDuration, Paused: waited.Paused, Expected: waited.Expected, Position: waited.Position,
			Left: waited.Left, Duration: waited.Duration, Err: ErrWouldWait,
		}
		switch {
		case errors.Is(err, limiter.ErrQueueFull):
			failure.Err = ErrQueueFull
		case !errors.Is(err, limiter.ErrWouldWait):
			failure.Err = contextError(f.ctx)
		case errors.Is(err, context.DeadlineExceeded):
			failure.Err = errTooLate
		}
		return failure
	case errors.Is(err, limiter.ErrUnavailable):
		return &LimiterError{Operation: f.op.name, Err: err}
	}
	return &RequestError{Operation: f.op.name, Field: "inputs", Value: f.guess.total, Rule: "must have tokens that can be waited for", Err: err}
}

// takeAgain takes another request of the permit, for one that the transport sends again by
// itself. Like every wait for the limiter, this one ends in a shutdown.
func (f *flight) takeAgain(ctx context.Context) error {
	f.client.calls.wait(f)
	if err := f.permit.Retry(ctx); err != nil {
		return err
	}
	if !f.client.calls.send(f) {
		f.permit.ReturnRequest()
		return ErrShuttingDown
	}
	return nil
}
