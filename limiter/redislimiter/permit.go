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
	place   limiter.Place // among the calls of this process
	id      string        // in the books
	tokens  int

	// Guarded by the limiter's mutex.
	order    int64   // among all processes; 0: none yet
	waiter   *waiter // while Acquire or Retry waits
	attempt  int     // the latest that was admitted
	waited   time.Duration
	sent     time.Time // when the latest request was admitted, or sent
	unsent   bool      // the latest request was given back
	finished bool
	local    *limiter.Permit // of what stood in for Redis when the latest request was admitted, and still does
}

// Tokens implements [limiter.Admission].
func (p *Permit) Tokens() int { return p.tokens }

// WaitDuration implements [limiter.Admission].
func (p *Permit) WaitDuration() time.Duration {
	p.limiter.mu.Lock()
	defer p.limiter.mu.Unlock()
	return p.waited
}

// Settle implements [limiter.Admission]. Redis is told with the next command, which
// need not be waited for.
func (p *Permit) Settle(actual int) {
	actual = min(max(0, actual), limiter.MaxTokens)
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
	if l.live[p.id] != nil {
		l.tell(news{op: "settle", id: p.id, args: []any{actual, p.tokens}})
		actual = 0 // for what stands in
	}
	if p.local != nil {
		p.local.Settle(actual)
		l.inFallback.ended(p.id, actual)
	}
}

// Cancel implements [limiter.Admission]. Redis is told as by Settle.
func (p *Permit) Cancel() {
	l := p.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	if !p.finish() {
		return
	}
	l.counters.Cancelled++
	l.counters.TokensRefunded += int64(p.tokens)
	if !p.unsent {
		l.unsent++
	}
	if p.local != nil {
		p.local.Cancel()
		l.inFallback.ended(p.id, 0)
	}
	switch {
	case l.live[p.id] == nil:
	case p.local != nil: // its latest request was not Redis's to take back
		l.tell(news{op: "settle", id: p.id, args: []any{0, p.tokens}})
	default:
		l.tell(news{op: "cancel", id: p.id})
	}
}

// finish ends the permit, and a Retry that waits for it. It reports false if the
// permit was finished before. It requires that the limiter's mutex is held.
func (p *Permit) finish() bool {
	if p.finished {
		return false
	}
	p.finished = true
	l := p.limiter
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
	switch {
	case p.finished || p.unsent || p.waiter != nil:
	case p.local != nil:
		p.local.Sent()
	case now.Sub(p.sent) > l.store.config.Jitter/2:
		p.sent = now
		l.tell(news{op: "sent", id: p.id})
	}
}

// ReturnRequest implements [limiter.Admission].
func (p *Permit) ReturnRequest() {
	l := p.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.finished || p.unsent || p.waiter != nil {
		return
	}
	p.unsent = true
	l.unsent++
	if p.local != nil {
		p.local.ReturnRequest()
	} else {
		l.tell(news{op: "unsent", id: p.id})
	}
}

// Throttled implements [limiter.Admission]: it pauses every process. If Redis is away,
// those of other processes hear of it when this one can tell.
func (p *Permit) Throttled(r limiter.Throttle) time.Duration {
	l := p.limiter
	c := &l.store.config
	l.mu.Lock()
	if p.local != nil {
		defer l.mu.Unlock()
		d := p.local.Throttled(r)
		l.resume = later(l.resume, time.Now().Add(d))
		return d
	}
	n := news{op: "refused", id: p.id, args: []any{flag(r.Requests), flag(r.Tokens), c.BaseDelay.Microseconds(), c.MaxDelay.Microseconds(), rand.Float64()}}
	if r.RetryAfter > 0 {
		n.until = time.Now().Add(r.RetryAfter)
	} else {
		n.args = append(n.args, 0)
	}
	l.tell(n)
	l.mu.Unlock()
	answer, err := l.do("state")
	if err == nil {
		return answer.paused
	}
	d := max(r.RetryAfter, c.BaseDelay)
	l.mu.Lock()
	l.pause(time.Now().Add(d))
	l.mu.Unlock()
	return d
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
	l := p.limiter
	l.mu.Lock()
	if ctx.Err() != nil {
		defer l.mu.Unlock()
		return l.waitError(ctx, 0, 0)
	}
	if p.finished || p.waiter != nil {
		defer l.mu.Unlock()
		if p.finished {
			return limiter.ErrFinished
		}
		return limiter.ErrRetrying
	}
	return l.admit(ctx, p, limiter.Call{Place: p.place})
}
