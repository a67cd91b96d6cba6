package redislimiter

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// A Permit is a [limiter.Admission] of a [Limiter].
type Permit struct {
	limiter *Limiter
	seq     uint64 // order of acquisition in this process
	id      string // in the books
	tokens  int

	// Guarded by the limiter's mutex.
	order    int64   // among all processes; 0: none yet
	waiter   *waiter // while Acquire or Retry waits
	attempt  int     // the latest that was admitted
	waited   time.Duration
	sent     time.Time // when the latest request was admitted, or sent
	unsent   bool      // the latest request was given back
	finished bool
	local    *limiter.Permit // it was admitted without Redis
}

// Tokens implements [limiter.Admission].
func (p *Permit) Tokens() int { return p.tokens }

// Waited implements [limiter.Admission].
func (p *Permit) Waited() time.Duration {
	p.limiter.mu.Lock()
	defer p.limiter.mu.Unlock()
	return p.waited
}

// Settle implements [limiter.Admission]. If Redis is away, it is told when it is back.
func (p *Permit) Settle(actual int) {
	actual = min(max(0, actual), limiter.MaxTokens)
	l := p.limiter
	l.mu.Lock()
	if !p.finish() {
		l.mu.Unlock()
		return
	}
	l.counters.Settled++
	l.counters.TokensSettled += int64(actual)
	l.counters.TokensRefunded += int64(max(0, p.tokens-actual))
	l.counters.TokensCharged += int64(max(0, actual-p.tokens))
	l.recent.add(time.Now(), actual)
	if p.local != nil {
		l.owed += actual
	}
	l.mu.Unlock()
	if p.local != nil {
		p.local.Settle(actual)
		return
	}
	l.deliver("settle", p.id, actual, p.tokens)
}

// Cancel implements [limiter.Admission]. If Redis is away, it is told when it is back.
func (p *Permit) Cancel() {
	l := p.limiter
	l.mu.Lock()
	if !p.finish() {
		l.mu.Unlock()
		return
	}
	l.counters.Cancelled++
	l.counters.TokensRefunded += int64(p.tokens)
	l.mu.Unlock()
	if p.local != nil {
		p.local.Cancel()
		return
	}
	l.deliver("cancel", p.id)
}

// finish ends the permit, and a Retry that waits for it. It reports false if the
// permit was finished before. It requires that the limiter's mutex is held.
func (p *Permit) finish() bool {
	if p.finished {
		return false
	}
	p.finished = true
	l := p.limiter
	delete(l.live, p.id)
	l.inFlight--
	l.heldTokens -= p.tokens
	if p.waiter != nil {
		l.refuse(p.waiter, limiter.ErrFinished)
	}
	return true
}

// Sent implements [limiter.Admission]. The slack for jitter covers what is sent at
// once, as nearly all is: Redis hears only of what took longer than half of it.
func (p *Permit) Sent() {
	l := p.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	if p.finished || p.unsent || p.waiter != nil || p.local != nil || now.Sub(p.sent) <= l.store.config.Jitter/2 {
		return
	}
	p.sent = now
	go func() { _, _ = l.do("sent", p.id) }() // what Redis does not hear of was counted when it was admitted
}

// Unsent implements [limiter.Admission].
func (p *Permit) Unsent() {
	l := p.limiter
	l.mu.Lock()
	if p.finished || p.unsent || p.waiter != nil {
		l.mu.Unlock()
		return
	}
	p.unsent = true
	l.mu.Unlock()
	if p.local != nil {
		p.local.Unsent()
		return
	}
	l.deliver("unsent", p.id)
}

// Refused implements [limiter.Admission]: it pauses every process.
func (p *Permit) Refused(r limiter.Refusal) time.Duration {
	if p.local != nil {
		return p.local.Refused(r)
	}
	l := p.limiter
	c := &l.store.config
	answer, err := l.do("refused", p.id, r.RetryAfter.Microseconds(), flag(r.Requests), flag(r.Tokens),
		c.BaseDelay.Microseconds(), c.MaxDelay.Microseconds(), rand.Float64())
	if err != nil {
		return max(r.RetryAfter, c.BaseDelay)
	}
	return answer.answer()
}

func flag(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Retry implements [limiter.Admission]. Beside the errors named at
// [limiter.Permit.Retry], it fails with an [*UnavailableError] like Acquire.
func (p *Permit) Retry(ctx context.Context) error {
	if ctx.Err() != nil {
		return waitError(ctx, 0, 0)
	}
	l := p.limiter
	l.mu.Lock()
	if p.finished || p.waiter != nil {
		defer l.mu.Unlock()
		if p.finished {
			return limiter.ErrFinished
		}
		return limiter.ErrRetrying
	}
	return l.admit(ctx, p, 0)
}
