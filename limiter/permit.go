package limiter

import (
	"context"
	"time"
)

// A Permit is an admitted call. It holds the call's tokens until the first call of Settle or Cancel;
// further calls of either do nothing. Its methods are safe for concurrent use. A nil or zero Permit
// holds nothing: its methods do nothing, and Retry returns [ErrFinished].
type Permit struct {
	limiter *Limiter
	place   Place
	class   *class
	cost    cost

	// The limiter's mutex guards the fields below.
	waiter          *waiter // set while Acquire or Retry waits
	waited          time.Duration
	sent            time.Time // when the latest request was admitted, or sent if Sent was called
	requestReturned bool      // the latest request was returned
	chargedSeconds  float64   // what the class was charged for the admission, see Limit.seconds
	admitted        bool
	finished        bool
	suspended       bool // the call waits for another limiter before a retry
}

// Tokens returns the number of tokens acquired: the call's latest estimate.
func (p *Permit) Tokens() int {
	if p.isZero() {
		return 0
	}
	return p.cost.tokens
}

// isZero reports whether p does not belong to a limiter.
func (p *Permit) isZero() bool { return p == nil || p.limiter == nil }

// WaitDuration returns how long Acquire and all successful Retry calls waited, in total.
func (p *Permit) WaitDuration() time.Duration {
	if p.isZero() {
		return 0
	}
	p.limiter.mu.Lock()
	defer p.limiter.mu.Unlock()
	return p.waited
}

// Settle ends the call and replaces its held tokens with the tokens it actually used. A surplus
// returns to the bucket, up to the capacity. A shortfall is taken from the bucket in full, even if the
// balance becomes negative. The request remains spent. A negative actual counts as 0.
func (p *Permit) Settle(actual int) {
	if p.isZero() {
		return
	}
	actual = max(0, actual)
	l := p.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	if !p.finish() {
		return
	}
	l.counters.Settled++
	l.counters.TokensSettled += int64(actual)
	l.counters.TokensRefunded += int64(max(0, p.cost.tokens-actual))
	l.counters.TokensCharged += int64(max(0, actual-p.cost.tokens))
	if !p.sent.Before(l.resetFrom) {
		l.consecutiveThrottles = 0
	}
	now := time.Now()
	c := p.cost
	if p.requestReturned {
		c.prompt = 0 // returnRequest has removed it
	}
	l.budget.settle(now, c, actual, now.Sub(p.sent))
	p.class.charge(l.limit.seconds(cost{requests: 1, tokens: actual}) - p.chargedSeconds)
	l.concurrency.settle(now, l.active()+1)
	if l.learner.settled(now, actual) {
		l.apply(now)
	}
	l.dispatch(now)
}

// Cancel ends a call that never reached the server, and returns its request and all its tokens.
// After a Retry, only the latest attempt's request returns, because the earlier requests did reach
// the server. [Permit.ReturnRequest] returns the request of an earlier attempt.
func (p *Permit) Cancel() {
	if p.isZero() {
		return
	}
	l := p.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	if !p.finish() {
		return
	}
	now := time.Now()
	l.counters.Cancelled++
	l.counters.TokensRefunded += int64(p.cost.tokens)
	l.budget.cancel(now, p.cost)
	p.class.charge(-p.chargedSeconds)
	p.returnRequest(now)
	l.dispatch(now)
}

// Sent reports that the latest request is sent now, later than its admission: for example, because it
// waited for a connection. A guarded limiter then counts the request from now on, so the next request
// does not follow too closely. Calling Sent is optional.
func (p *Permit) Sent() {
	if p.isZero() {
		return
	}
	l := p.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.finished || p.requestReturned || p.waiter != nil {
		return
	}
	now := time.Now()
	l.budget.resend(now, p.sent, p.cost)
	l.learner.resent(now, p.sent)
	p.sent = now
}

// ReturnRequest reports that the latest request was not sent: for example, because the client could
// not connect. The request returns to the bucket. The permit keeps its tokens for a [Permit.Retry].
func (p *Permit) ReturnRequest() {
	if p.isZero() {
		return
	}
	l := p.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.finished || p.waiter != nil {
		return
	}
	now := time.Now()
	p.returnRequest(now)
	l.dispatch(now)
}

// returnRequest returns the latest request to the limiter, once. The caller must hold the limiter's
// mutex.
func (p *Permit) returnRequest(now time.Time) {
	if !p.requestReturned {
		p.requestReturned = true
		p.limiter.returnedRequests++
		p.limiter.learner.returnRequest(p.sent)
		p.limiter.budget.returnRequest(now, p.sent, p.cost)
	}
}

// finish ends the permit, and a Retry that waits. It reports false if the permit was already
// finished. The caller must hold the limiter's mutex.
func (p *Permit) finish() bool {
	if p.finished {
		return false
	}
	p.finished = true
	l := p.limiter
	if p.suspended {
		l.suspended--
	}
	l.inFlight--
	l.heldTokens -= p.cost.tokens
	if p.waiter != nil {
		l.abandon(p.waiter, ErrFinished)
		l.dispatch(time.Now())
	}
	return true
}

// Retry waits for one request, for a further attempt of the same call. The permit still holds the
// call's tokens. Retries of any class go ahead of all calls without a permit. Among retries, the
// [Place] of the call decides.
//
// Retry fails with a [*WaitError] when ctx is done, and leaves the permit as it was. It returns
// [ErrFinished] if the permit is settled or cancelled, before or during the wait, and [ErrRetrying]
// while another Retry of the same permit waits.
func (p *Permit) Retry(ctx context.Context) error {
	switch {
	case p.isZero():
		return ErrFinished
	case ctx == nil:
		return errNilContext
	}
	if ctx.Err() != nil {
		return newWaitError(ctx, 0, 0)
	}
	l := p.limiter
	l.mu.Lock()
	if p.finished || p.waiter != nil {
		defer l.mu.Unlock()
		if p.finished {
			return ErrFinished
		}
		return ErrRetrying
	}
	again := p.cost
	again.tokens = 0 // the permit holds them
	return l.acquire(ctx, p, again, Call{})
}

// setSuspended sets whether the call waits for another limiter before a retry. A suspended call does
// not count as in flight.
func (p *Permit) setSuspended(resting bool) {
	l := p.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.finished || p.suspended == resting {
		return
	}
	if p.suspended = resting; resting {
		l.suspended++
	} else {
		l.suspended--
	}
	l.dispatch(time.Now())
}
