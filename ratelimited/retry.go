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

// retries is the result of a call's attempts so far.
type retries struct {
	failure        error          // of the latest attempt
	previousErrors []error        // of earlier attempts, at most maxPreviousErrors or MaxRetries
	outcome        outage.Outcome // of the latest attempt
	inOutage       bool           // the latest attempt failed in an outage

	counted        int       // retries counted against MaxRetries
	mayBeOutage    bool      // the latest failure may be the beginning of an outage; its retry would not count
	resent         bool      // the latest attempt followed a stale connection
	throttledSince time.Time // first 429 of an uninterrupted series; zero if the latest failure was not a 429
}

// maxPreviousErrors bounds the stored failures, because MaxRetries does not bound all attempts.
const maxPreviousErrors = 8

// report reports the outcome of the latest attempt to the outage tracker.
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

// probeDelay returns the wait before the first probe of an outage that starts with this failure.
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

// prepareRetry waits until the call may be retried after the failure of its latest attempt. It returns the
// call's error if the call is not retried, also if the context's deadline would end the wait. Method admit
// waits for the limiter and for the end of an outage.
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
		c.client.http.CloseIdleConnections() // other idle connections are probably stale too
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

// gaveUpError returns the error of a call that stopped waiting for its next attempt.
func (c *call) gaveUpError(err error) error {
	return fmt.Errorf("%w; gave up waiting to try again: %w", c.failure, err)
}

// decide returns whether a failed attempt is retried, and the wait before it. If all calls under a limit have
// to wait, decide pauses them.
func (c *call) decide(failure error) (again bool, wait time.Duration) {
	observed := retry.Failure{Number: c.counted + 1, Transient: errors.Is(failure, ErrRetryable) && !c.isTooSlow(failure)}
	var limited *RateLimitError
	var api *APIError
	switch {
	case errors.As(failure, &limited):
		// The limiter learns first from the 429 and then from its headers.
		defer c.observeLimits(limited.Header)
		observed.Throttle = &limited.throttle
	case errors.As(failure, &api):
		observed.RetryAfter = retry.After(api.Header, time.Now())
	}
	decision := c.client.policy.Decide(observed)
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
		return observed.Transient, 0
	}
	return !decision.Stop && c.countRetry(), decision.Wait
}

// pause pauses all calls under the limit of a rejected call, because the server would reject them too. The
// rejected call keeps its place in the queue. Its retries count only if the pause takes longer than
// MaxOutage.
func (c *call) pause(decision retry.Decision, throttle retry.Throttle) (again bool, wait time.Duration) {
	if throttle.LimitType == retry.LimitTokens && c.hasNewLimiter() {
		decision.Wait = 0 // the new limiter did not admit this call
	} else {
		wait = c.permit.Throttled(limiter.Throttle{
			RetryAfter: decision.Wait,
			Requests:   throttle.LimitType == retry.LimitRequests,
			Tokens:     throttle.LimitType == retry.LimitTokens,
			Concurrent: throttle.LimitType == retry.LimitConcurrency,
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

// countRetry counts a retry against MaxRetries. It reports false if the maximum is reached.
func (c *call) countRetry() bool {
	if c.counted >= c.options.maxRetries {
		return false
	}
	c.counted++
	return true
}

// refundRetry takes back the count of the latest retry if its cause turned out to be an outage.
func (c *call) refundRetry() {
	if c.mayBeOutage {
		c.mayBeOutage = false
		c.counted--
	}
}

// isTooSlow reports whether the latest attempt timed out while its content was read, or, for a model's call,
// after it was sent. The model would take as long the next time, and cost as much.
func (c *call) isTooSlow(failure error) bool {
	a := c.latest
	if a.readWhole && errors.As(failure, new(*TransportError)) {
		return true
	}
	return c.op.prompt != nil && a.arrived && errors.As(failure, new(*TransportError)) && (a.hitTimeout || a.timedOut() || a.idleFor() != nil)
}

// isStale reports whether the latest attempt failed because a reused connection was closed before a response.
// Servers close idle connections at any time, so the request is sent again once over another connection.
func (c *call) isStale() bool {
	a := c.latest
	return a.isStale() && !c.resent && c.options.maxRetries > 0 && c.ctx.Err() == nil
}

// minConnectTime is the minimum timeout of an attempt for its expiry to show that the server is unreachable.
const minConnectTime = time.Second

// transportOutcome returns the outcome of an attempt without a response.
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

// responseOutcome returns the outcome of an error response.
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

// connectTimeout returns the maximum time until the attempt has a connection; 0 if only the call's timeout
// bounds it.
func (c *call) connectTimeout() time.Duration {
	if c.client.sharesConnections {
		return 0
	}
	return c.outage.ProbeTime()
}

// outageError returns the error of a call that was held for too long, or whose context ended meanwhile.
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
