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
	failure error          // of the latest attempt; nil before it
	earlier []error        // of those before, as far as they are kept
	outcome outage.Outcome // what the latest attempt said of the server
	held    bool           // it ended in an outage

	counted  int       // retries that MaxRetries bounds
	evidence bool      // the latest attempt may turn out to be the beginning of an outage, and its retry not to count
	resent   bool      // the latest attempt followed at once on one that a stale connection broke
	refused  time.Time // since when the rate limit refuses all attempts; zero: it did not refuse the latest
}

// maxEarlier is how many failures are kept of attempts that MaxRetries does not
// bound.
const maxEarlier = 8

// report tells the gates what the latest attempt says of the server.
func (f *flight) report(outcome outage.Outcome, failure error) {
	var wait time.Duration
	if failure != nil {
		wait = f.probeAfter(failure)
	}
	change := f.gate.Report(outcome, failure, wait)
	f.outcome, f.held, f.evidence = outcome, change.Held, change.Evidence && !change.Held
	for _, o := range change.Began {
		f.tell(OutageBegan{Host: o.Host, Model: o.Model, Err: o.Cause})
	}
	for _, o := range change.Ended {
		f.tell(OutageEnded{Host: o.Host, Model: o.Model, Duration: time.Since(o.Since)})
	}
}

// probeAfter returns how long to wait before the first probe of an outage that a failure
// begins.
func (f *flight) probeAfter(failure error) time.Duration {
	var limited *RateLimitError
	var api *APIError
	switch policy := f.client.policy; {
	case errors.As(failure, &limited):
		return max(min(limited.RetryAfter, retry.Window), policy.Backoff(f.attempts))
	case errors.As(failure, &api):
		return min(retry.After(api.Header, time.Now()), policy.MaxDelay)
	}
	return 0
}

// prepareRetry waits until another attempt may be made, as far as the failure of the
// latest one is the reason. (What the limiter and an outage demand, admit waits
// for.) If there is to be no other attempt it returns the call's error at once: a
// wait that the context's deadline would cut short is not begun.
func (f *flight) prepareRetry(failure error) error {
	f.failure = failure
	if f.options.atMostOnce && errors.Is(failure, ErrUnconfirmed) {
		return failure
	}
	stale := f.isStale()
	again, wait := stale, time.Duration(0)
	if stale {
		f.outcome, f.held, f.evidence = outage.Unclear, false, false
	} else {
		again, wait = f.decide(failure)
	}
	switch deadline, ok := f.ctx.Deadline(); {
	case again && errors.Is(context.Cause(f.ctx), ErrShuttingDown):
		return f.gaveUp(ErrShuttingDown)
	case !again || f.ctx.Err() != nil:
		return failure
	case ok && time.Now().Add(wait).After(deadline):
		return fmt.Errorf("%w; the next attempt would be in %v, after the deadline: %w", failure, wait, context.DeadlineExceeded)
	}
	if len(f.earlier) < max(maxEarlier, f.counted) {
		f.earlier = append(f.earlier, failure)
	}
	if f.resent = stale; stale {
		f.client.http.CloseIdleConnections() // the others are likely to be stale too
	}
	if f.watched() && !f.held {
		f.tell(Retrying{Wait: wait})
	}
	if wait == 0 || !f.refused.IsZero() { // the limiter is paused
		return nil
	}
	if f.gate.Sleep(f.ctx, wait) != nil {
		return f.gaveUp(contextError(f.ctx))
	}
	return nil
}

// gaveUp is the error of a call whose latest attempt failed, and that waited no longer to be
// repeated.
func (f *flight) gaveUp(err error) error {
	return fmt.Errorf("%w; gave up waiting to try again: %w", f.failure, err)
}

// decide returns whether a failed attempt is followed by another, and how long to
// wait before it. If all calls that share a limit have to wait, it pauses them.
func (f *flight) decide(failure error) (again bool, wait time.Duration) {
	shown := retry.Failure{Number: f.counted + 1, Transient: errors.Is(failure, ErrRetryable) && !f.isTooSlow(failure)}
	var limited *RateLimitError
	var api *APIError
	switch {
	case errors.As(failure, &limited):
		// What the server says of its limits comes after the refusal: the limiter
		// learns from what it did not know.
		defer f.observe(limited.Header)
		shown.Throttle = &limited.refusal
	case errors.As(failure, &api):
		shown.RetryAfter = retry.After(api.Header, time.Now())
	}
	decision := f.client.policy.Decide(shown)
	if decision.Shared == retry.OneLimit {
		return f.pause(decision, limited.refusal)
	}
	f.refused = time.Time{}
	if f.held && f.outcome == outage.Unreachable {
		return true, 0
	}
	if f.options.maxRetries <= 0 {
		return false, 0
	}
	if f.held {
		return shown.Transient, 0
	}
	return !decision.Stop && f.count(), decision.Wait
}

// pause pauses all calls that share the limit of a refused one: what the server
// refuses to one it would refuse to the next. The refused call waits with them, in its
// place. Only when that takes longer than an outage may do its retries count.
func (f *flight) pause(decision retry.Decision, refusal retry.Throttle) (again bool, wait time.Duration) {
	if refusal.LimitType == retry.LimitTokens && f.isMoved() {
		decision.Wait = 0 // its model's limiter did not admit it
	} else {
		wait = f.permit.Throttled(limiter.Throttle{
			RetryAfter: decision.Wait,
			Requests:   refusal.LimitType == retry.LimitRequests,
			Tokens:     refusal.LimitType == retry.LimitTokens,
			Concurrent: refusal.LimitType == retry.LimitConcurrency,
		})
	}
	wait = max(wait, decision.Wait)
	if f.refused.IsZero() {
		f.refused = time.Now()
	}
	if decision.Stop || f.options.maxRetries <= 0 {
		return false, wait
	}
	return time.Since(f.refused)+wait <= f.client.config.MaxOutage || f.count(), wait
}

// count takes one of the retries that MaxRetries allows; false if there is none.
func (f *flight) count() bool {
	if f.counted >= f.options.maxRetries {
		return false
	}
	f.counted++
	return true
}

// uncount gives the latest retry back if its reason turned out to be an outage.
func (f *flight) uncount() {
	if f.evidence {
		f.evidence = false
		f.counted--
	}
}

// isTooSlow reports whether the latest attempt timed out within the content of its response,
// or after it was sent if it asks a model for a response: the model would take as long the
// next time, and cost as much.
func (f *flight) isTooSlow(failure error) bool {
	a := f.latest
	if a.good && errors.As(failure, new(*TransportError)) {
		return true
	}
	return f.op.prompt != nil && a.arrived && errors.As(failure, new(*TransportError)) && (a.late || a.timedOut() || a.idleFor() != nil)
}

// isStale reports whether the latest attempt failed because its connection, which had
// been used before, was closed before a response: servers close idle connections at
// any time. The request may be sent again at once over another connection, once.
func (f *flight) isStale() bool {
	a := f.latest
	return a.isStale() && !f.resent && f.options.maxRetries > 0 && f.ctx.Err() == nil
}

// minConnectTime is how long an attempt must have tried to get a connection, for its
// timeout to be evidence that the server cannot be reached.
const minConnectTime = time.Second

// transportOutcome returns what an attempt without a response says of the server.
func (f *flight) transportOutcome(err error) outage.Outcome {
	a := f.latest
	switch {
	case f.ctx.Err() != nil:
		return outage.Unclear
	case a.arrived && (a.late || a.reused.Load() || a.answered.Load()):
		return outage.Unclear
	case a.arrived:
		return outage.Failing
	case a.timedOut() && f.options.timeout < minConnectTime:
		return outage.Unclear
	case isUnreachable(err):
		return outage.Unreachable
	case a.late && f.client.sharesConnections && !a.dialing.Load():
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
	case errors.As(failure, &limited) && limited.refusal.Shared == retry.OneModel:
		return outage.Overloaded
	case retry.IsOutage(status):
		return outage.Failing
	}
	return outage.Alive
}

// connectTimeout is how long the attempt may take to get a connection; 0 if only the
// call's timeout bounds that.
func (f *flight) connectTimeout() time.Duration {
	if f.client.sharesConnections {
		return 0
	}
	return f.gate.ProbeTime()
}

// outageError is the call's error when it was held for too long, or its context ended
// meanwhile.
func (f *flight) outageError(err error, waited time.Duration) error {
	var tooLong *outage.Error
	switch {
	case errors.As(err, &tooLong):
		return &OutageError{
			Operation: f.op.name, Host: tooLong.Host, Model: tooLong.Model, Since: tooLong.Since,
			Duration: time.Since(tooLong.Since), Attempts: f.sent, Err: tooLong.Cause,
		}
	case f.sent > 0:
		return f.gaveUp(contextError(f.ctx))
	}
	held := &WaitError{
		Operation: f.op.name, Model: f.model, Limit: f.limiter.Limit(), Tokens: f.guess.total, WaitDuration: waited, Err: ErrWouldWait,
	}
	if f.ctx.Err() != nil {
		held.Err = contextError(f.ctx)
	}
	if o, ok := f.gate.Outage(); ok {
		held.Outage = fmt.Errorf("%s since %s: %w", down(o.Host, o.Model), o.Since.Format(time.TimeOnly), o.Cause)
	}
	return held
}
