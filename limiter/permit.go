package limiter

import (
	"context"
	"time"
)

// A Permit is an admitted call. It holds its tokens until it is settled or
// cancelled, whichever comes first; what comes second does nothing. Its methods
// are safe for concurrent use. A nil or zero Permit holds nothing: its methods do nothing, and
// Retry returns [ErrFinished].
type Permit struct {
	limiter *Limiter
	place   Place
	class   *class
	cost    cost

	// Guarded by the limiter's mutex.
	waiter          *waiter // while Acquire or Retry waits
	waited          time.Duration
	sent            time.Time // when the latest request was admitted, or sent
	requestReturned bool      // the latest request was given back
	chargedSeconds  float64   // seconds of the account that the class is counted as having used for it
	admitted        bool
	finished        bool
	suspended       bool // it waits for another limiter to be retried
}

// Tokens returns how many tokens were acquired.
func (p *Permit) Tokens() int {
	if p.isZero() {
		return 0
	}
	return p.cost.tokens
}

// isZero reports whether no limiter has granted the permit.
func (p *Permit) isZero() bool { return p == nil || p.limiter == nil }

// WaitDuration returns how long Acquire, and every Retry that succeeded, waited.
func (p *Permit) WaitDuration() time.Duration {
	if p.isZero() {
		return 0
	}
	p.limiter.mu.Lock()
	defer p.limiter.mu.Unlock()
	return p.waited
}

// Settle ends the call with the tokens that it really used, a negative number
// counting as 0: a surplus goes back to the bucket, as far as that has room, and
// a shortfall is taken from it, whole, even if the balance becomes negative. The
// request stays spent.
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
		l.consecutiveThrottles = 0 // the server takes calls again
	}
	now := time.Now()
	c := p.cost
	if p.requestReturned {
		c.prompt = 0 // it was taken back
	}
	l.budget.settle(now, c, actual, now.Sub(p.sent))
	p.class.charge(l.limit.seconds(cost{requests: 1, tokens: actual}) - p.chargedSeconds)
	l.concurrency.settle(now, l.active()+1)
	if l.learner.settled(now, actual) {
		l.apply(now)
	}
	l.dispatch(now)
}

// Cancel ends a call that never reached the server: its request and all its
// tokens go back. After Retry it is the last attempt's request alone that goes
// back, since the attempts before it did reach the server, unless [Permit.ReturnRequest]
// said otherwise.
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

// Sent says that the latest request left only now, and not when it was admitted:
// it had to wait for a connection, say. A guarded limiter counts it from now on,
// so that the next one does not follow too closely. It is optional.
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

// ReturnRequest says that the latest request never left, because there was no
// connection, say. It goes back; the permit keeps its tokens for a [Permit.Retry].
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

// returnRequest gives back the latest request, once. It requires that the limiter's
// mutex is held.
func (p *Permit) returnRequest(now time.Time) {
	if !p.requestReturned {
		p.requestReturned = true
		p.limiter.returnedRequests++
		p.limiter.learner.returnRequest(p.sent)
		p.limiter.budget.returnRequest(now, p.sent, p.cost)
	}
}

// finish ends the permit, and a Retry that waits for it. It reports false if
// the permit was finished before. It requires that the limiter's mutex is held.
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

// Retry waits for one more request, for a further attempt of the same call. The
// tokens are held already. Retries go before all calls that hold no permit, of whatever class, and among
// themselves in the places of their calls.
//
// It returns a [*WaitError] when ctx is done, and leaves the permit as it was;
// [ErrFinished] if the permit is or gets settled or cancelled; and [ErrRetrying]
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
	again.tokens = 0 // they are held
	return l.acquire(ctx, p, again, Call{})
}

// setSuspended says that the call waits for another limiter to be retried, or no longer: meanwhile it is not in flight.
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
