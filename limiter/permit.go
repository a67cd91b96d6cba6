package limiter

import (
	"context"
	"time"
)

// A Permit is an admitted call. It holds its tokens until it is settled or
// cancelled, whichever comes first; what comes second does nothing. Its methods
// are safe for concurrent use.
type Permit struct {
	limiter *Limiter
	seq     uint64 // order of acquisition
	tokens  int

	// Guarded by the limiter's mutex.
	waiter   *waiter // while Acquire or Retry waits
	waited   time.Duration
	admitted bool
	finished bool
}

// Tokens returns how many tokens were acquired.
func (p *Permit) Tokens() int { return p.tokens }

// Waited returns how long Acquire, and every Retry that succeeded, waited.
func (p *Permit) Waited() time.Duration {
	p.limiter.mu.Lock()
	defer p.limiter.mu.Unlock()
	return p.waited
}

// Settle ends the call with the tokens that it really used, a negative number
// counting as 0: a surplus goes back to the bucket, as far as that has room, and
// a shortfall is taken from it, whole, even if the balance becomes negative. The
// request stays spent.
func (p *Permit) Settle(actual int) {
	actual = max(0, actual)
	l := p.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	if !p.finish() {
		return
	}
	l.counters.Settled++
	l.counters.TokensSettled += int64(actual)
	l.counters.TokensRefunded += int64(max(0, p.tokens-actual))
	l.counters.TokensCharged += int64(max(0, actual-p.tokens))
	if actual == p.tokens {
		return // the balance stays as it is, so nobody can start sooner
	}
	now := time.Now()
	l.budget.settle(now, p.tokens, actual)
	l.pump(now)
}

// Cancel ends a call that never reached the server: its request and all its
// tokens go back. After Retry it is the last attempt's request alone that goes
// back, since the attempts before it did reach the server.
func (p *Permit) Cancel() {
	l := p.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	if !p.finish() {
		return
	}
	now := time.Now()
	l.counters.Cancelled++
	l.counters.TokensRefunded += int64(p.tokens)
	l.budget.give(now, cost{requests: 1, tokens: p.tokens})
	l.pump(now)
}

// finish ends the permit, and a Retry that waits for it. It reports false if
// the permit was finished before. It requires that the limiter's mutex is held.
func (p *Permit) finish() bool {
	if p.finished {
		return false
	}
	p.finished = true
	l := p.limiter
	l.inFlight--
	l.heldTokens -= p.tokens
	if p.waiter != nil {
		l.refuse(p.waiter, ErrFinished)
		l.pump(time.Now())
	}
	return true
}

// Retry waits for one more request, for a further attempt of the same call. The
// tokens are held already. A retry stands ahead of every call that was acquired
// later than this one, so that it does not queue behind all newcomers.
//
// It returns a [*WaitError] when ctx is done, and leaves the permit as it was;
// [ErrFinished] if the permit is or gets settled or cancelled; and [ErrRetrying]
// while another Retry of the same permit waits.
func (p *Permit) Retry(ctx context.Context) error {
	c := cost{requests: 1}
	if ctx.Err() != nil {
		return newWaitError(ctx, c, 0)
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
	return l.admit(ctx, p, c)
}
