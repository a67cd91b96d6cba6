package ratelimited

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited/internal/outage"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited/internal/retry"
)

// retries is what became of a call's attempts, and why they are repeated.
type retries struct {
	failure        error          // of the latest attempt; nil before it
	previousErrors []error        // of those before, as far as they are kept
	outcome        outage.Outcome // what the latest attempt said of the server
	inOutage       bool           // it ended in an outage

	counted        int       // retries that MaxRetries bounds
	mayBeOutage    bool      // the latest attempt may turn out to be the beginning of an outage, and its retry not to count
	resent         bool      // the latest attempt followed at once on one that a stale connection broke
	throttledSince time.Time // since when the rate limit refuses all attempts; zero: it did not refuse the latest
}

// maxEarlier is how many failures are kept of attempts that MaxRetries does not
// bound.
const maxPreviousErrors = 8

// report tells the gates what the latest attempt says of the server.
func (c *call) report(outcome outage.Outcome, failure error) {
	var wait time.Duration
	if failure != nil {
		wait = c.probeDelay(failure)
	}
	change := c.outage.Report(outcome, failure, wait)
	c.outcome, c.inOutage, c.mayBeOutage = outcome, change.Held, change.MayBegin && !change.Held
	for _, o := range change.Began {
		c.emit(OutageBegan{Host: o.Host, Model: o.Model, Err: o.Cause})
	}
	for _, o := range change.Ended {
		c.emit(OutageEnded{Host: o.Host, Model: o.Model, Duration: time.Since(o.Since)})
	}
}

// probeAfter returns how long to wait before the first probe of an outage that a failure
// begins.
func (c *call) probeDelay(failure error) time.Duration {
	var limited *RateLimitError
	var api *APIError
	switch policy := c.client.policy; {
	case errors.As(failure, &limited):
		return max(min(limited.RetryAfter, retry.Window), policy.Backoff(c.attempts))
	case errors.As(failure, &api):
		return min(retry.After(api.Header, time.Now()), policy.MaxDelay)
	}
	return 0
}

// prepareRetry waits until another attempt may be made, as far as the failure of the
// latest one is the reason. (What the limiter and an outage demand, admit waits
// for.) If there is to be no other attempt it returns the call's error at once: a
// wait that the context's deadline would cut short is not begun.
func (c *call) prepareRetry(failure error) error {
	c.failure = failure
	if c.options.atMostOnce && errors.Is(failure, ErrUnconfirmed) {
		return failure
	}
	stale := c.isStale()
	again, wait := stale, time.Duration(0)
	if stale {
		c.outcome, c.inOutage, c.mayBeOutage = outage.Unclear, false, false
	} else {
		again, wait = c.decide(failure)
	}
	switch deadline, ok := c.ctx.Deadline(); {
	case again && errors.Is(context.Cause(c.ctx), ErrShuttingDown):
		return c.gaveUpError(ErrShuttingDown)
	case !again || c.ctx.Err() != nil:
		return failure
	case ok && time.Now().Add(wait).After(deadline):
		return fmt.Errorf("%w; the next attempt would be in %v, after the deadline: %w", failure, wait, context.DeadlineExceeded)
	}
	if len(c.previousErrors) < max(maxPreviousErrors, c.counted) {
		c.previousErrors = append(c.previousErrors, failure)
	}
	if c.resent = stale; stale {
		c.client.http.CloseIdleConnections() // the others are likely to be stale too
	}
	if c.isObserved() && !c.inOutage {
		c.emit(Retrying{Wait: wait})
	}
	if wait == 0 || !c.throttledSince.IsZero() { // the limiter is paused
		return nil
	}
	if c.outage.Sleep(c.ctx, wait) != nil {
		return c.gaveUpError(contextError(c.ctx))
	}
	return nil
}

// gaveUp is the error of a call whose latest attempt failed, and that waited no longer to be
// repeated.
func (c *call) gaveUpError(err error) error {
	return fmt.Errorf("%w; gave up waiting to try again: %w", c.failure, err)
}

// decide returns whether a failed attempt is followed by another, and how long to
// wait before it. If all calls that share a limit have to wait, it pauses them.
func (c *call) decide(failure error) (again bool, wait time.Duration) {
	shown := retry.Failure{Number: c.counted + 1, Transient: errors.Is(failure, ErrRetryable) && !c.isTooSlow(failure)}
	var limited *RateLimitError
	var api *APIError
	switch {
	case errors.As(failure, &limited):
		// What the server says of its limits comes after the refusal: the limiter
		// learns from what it did not know.
		defer c.observeLimits(limited.Header)
		shown.Throttle = &limited.throttle
	case errors.As(failure, &api):
		shown.RetryAfter = retry.After(api.Header, time.Now())
	}
	decision := c.client.policy.Decide(shown)
	if decision.Shared == retry.OneLimit {
		return c.pause(decision, limited.throttle)
	}
	c.throttledSince = time.Time{}
	if c.inOutage && c.outcome == outage.Unreachable {
		return true, 0
	}
	if c.options.maxRetries <= 0 {
		return false, 0
	}
	if c.inOutage {
		return shown.Transient, 0
	}
	return !decision.Stop && c.countRetry(), decision.Wait
}

// pause pauses all calls that share the limit of a refused one: what the server
// refuses to one it would refuse to the next. The refused call waits with them, in its
// place. Only when that takes longer than an outage may do its retries count.
func (c *call) pause(decision retry.Decision, refusal retry.Throttle) (again bool, wait time.Duration) {
	if refusal.LimitType == retry.LimitTokens && c.hasNewLimiter() {
		decision.Wait = 0 // its model's limiter did not admit it
	} else {
		wait = c.permit.Throttled(limiter.Throttle{
			RetryAfter: decision.Wait,
			Requests:   refusal.LimitType == retry.LimitRequests,
			Tokens:     refusal.LimitType == retry.LimitTokens,
			Concurrent: refusal.LimitType == retry.LimitConcurrency,
		})
	}
	wait = max(wait, decision.Wait)
	if c.throttledSince.IsZero() {
		c.throttledSince = time.Now()
	}
	if decision.Stop || c.options.maxRetries <= 0 {
		return false, wait
	}
	return time.Since(c.throttledSince)+wait <= c.client.config.MaxOutage || c.countRetry(), wait
}

// count takes one of the retries that MaxRetries allows; false if there is none.
func (c *call) countRetry() bool {
	if c.counted >= c.options.maxRetries {
		return false
	}
	c.counted++
	return true
}

// uncount gives the latest retry back if its reason turned out to be an outage.
func (c *call) refundRetry() {
	if c.mayBeOutage {
		c.mayBeOutage = false
		c.counted--
	}
}

// isTooSlow reports whether the latest attempt timed out within the content of its response,
// or after it was sent if it asks a model for a response: the model would take as long the
// next time, and cost as much.
func (c *call) isTooSlow(failure error) bool {
	a := c.latest
	if a.readWhole && errors.As(failure, new(*TransportError)) {
		return true
	}
	return c.op.prompt != nil && a.arrived && errors.As(failure, new(*TransportError)) && (a.hitTimeout || a.timedOut() || a.idleFor() != nil)
}

// isStale reports whether the latest attempt failed because its connection, which had
// been used before, was closed before a response: servers close idle connections at
// any time. The request may be sent again at once over another connection, once.
func (c *call) isStale() bool {
	a := c.latest
	return a.isStale() && !c.resent && c.options.maxRetries > 0 && c.ctx.Err() == nil
}

// minConnectTime is how long an attempt must have tried to get a connection, for its
// timeout to be evidence that the server cannot be reached.
const minConnectTime = time.Second

// transportOutcome returns what an attempt without a response says of the server.
func (c *call) transportOutcome(err error) outage.Outcome {
	a := c.latest
	switch {
	case c.ctx.Err() != nil:
		return outage.Unclear
	case a.arrived && (a.hitTimeout || a.reused.Load() || a.responseBegan.Load()):
		return outage.Unclear
	case a.arrived:
		return outage.Failing
	case a.timedOut() && c.options.timeout < minConnectTime:
		return outage.Unclear
	case isUnreachable(err):
		return outage.Unreachable
	case a.hitTimeout && c.client.sharesConnections && !a.dialing.Load():
		return outage.Unclear // it may have waited for another call's connection
	case a.traced.Load():
		return outage.Unreachable
	}
	return outage.Unclear
}

// responseOutcome returns what a response that is not a success says of the server.
func responseOutcome(status int, failure error) outage.Outcome {
	var limited *RateLimitError
	switch {
	case errors.As(failure, &limited) && limited.throttle.Shared == retry.OneModel:
		return outage.Overloaded
	case retry.IsOutage(status):
		return outage.Failing
	}
	return outage.Alive
}

// connectTimeout is how long the attempt may take to get a connection; 0 if only the
// call's timeout bounds that.
func (c *call) connectTimeout() time.Duration {
	if c.client.sharesConnections {
		return 0
	}
	return c.outage.ProbeTime()
}

// outageError is the call's error when it was held for too long, or its context ended
// meanwhile.
func (c *call) outageError(err error, waited time.Duration) error {
	var tooLong *outage.Error
	switch {
	case errors.As(err, &tooLong):
		return &OutageError{
			Operation: c.op.name, Host: tooLong.Host, Model: tooLong.Model, Since: tooLong.Since,
			Duration: time.Since(tooLong.Since), Attempts: c.sent, Err: tooLong.Cause,
		}
	case c.sent > 0:
		return c.gaveUpError(contextError(c.ctx))
	}
	held := &WaitError{
		Operation: c.op.name, Model: c.model, Limit: c.limiter.Limit(), Tokens: c.expected.total, WaitDuration: waited, Err: ErrWouldWait,
	}
	if c.ctx.Err() != nil {
		held.Err = contextError(c.ctx)
	}
	if o, ok := c.outage.Outage(); ok {
		held.Outage = fmt.Errorf("%s since %s: %w", describeOutage(o.Host, o.Model), o.Since.Format(time.TimeOnly), o.Cause)
	}
	return held
}
