package redislimiter

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// Permit is the [limiter.Admission] of a [Limiter].
type Permit struct {
	limiter *Limiter
	place   limiter.Place // The place among the calls of this process.
	id      string        // The id in the shared state.
	tokens  int

	// The limiter's mutex guards the fields below.
	order        int64   // The order among the calls of all processes; 0: not assigned yet.
	waiter       *waiter // Set while Acquire or Retry waits.
	attempt      int     // The latest admitted attempt.
	waitDuration time.Duration
	sent         time.Time // The time at which the latest request was admitted or sent.
	returned     bool      // ReturnRequest returned the latest request.
	finished     bool
	local        *limiter.Permit // The permit of the active fallback, if that admitted the latest attempt.
}

// Tokens implements [limiter.Admission].
func (p *Permit) Tokens() int { return p.tokens }

// WaitDuration implements [limiter.Admission].
func (p *Permit) WaitDuration() time.Duration {
	p.limiter.mu.Lock()
	defer p.limiter.mu.Unlock()
	return p.waitDuration
}

// Settle implements [limiter.Admission]. It does not wait: the next command reports the
// settlement to Redis.
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
		l.enqueue(update{op: "settle", id: p.id, args: []any{actual, p.tokens}})
		actual = 0 // Redis counts the tokens, not the fallback
	}
	if p.local != nil {
		p.local.Settle(actual)
		l.activeFallback.recordEnd(p.id, actual)
	}
}

// Cancel implements [limiter.Admission]. Like Settle it does not wait.
func (p *Permit) Cancel() {
	l := p.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	if !p.finish() {
		return
	}
	l.counters.Cancelled++
	l.counters.TokensRefunded += int64(p.tokens)
	if !p.returned {
		l.returnedRequests++
	}
	if p.local != nil {
		p.local.Cancel()
		l.activeFallback.recordEnd(p.id, 0)
	}
	switch {
	case l.live[p.id] == nil:
	case p.local != nil: // Redis did not admit the latest request and must not return it
		l.enqueue(update{op: "settle", id: p.id, args: []any{0, p.tokens}})
	default:
		l.enqueue(update{op: "cancel", id: p.id})
	}
}

// finish ends the permit and a waiting Retry. It returns false if the permit has ended before.
// The limiter's mutex must be held.
func (p *Permit) finish() bool {
	if p.finished {
		return false
	}
	p.finished = true
	l := p.limiter
	l.inFlight--
	l.heldTokens -= p.tokens
	if p.waiter != nil {
		l.fail(p.waiter, limiter.ErrFinished)
	}
	return true
}

// Sent implements [limiter.Admission]. The tolerated jitter covers nearly all requests, which
// are sent at once. Sent reports a request to Redis only if more than half the jitter has passed
// since its admission.
func (p *Permit) Sent() {
	l := p.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	switch {
	case p.finished || p.returned || p.waiter != nil:
	case p.local != nil:
		p.local.Sent()
	case now.Sub(p.sent) > l.store.config.Jitter/2:
		p.sent = now
		l.enqueue(update{op: "sent", id: p.id})
	}
}

// ReturnRequest implements [limiter.Admission].
func (p *Permit) ReturnRequest() {
	l := p.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.finished || p.returned || p.waiter != nil {
		return
	}
	p.returned = true
	l.returnedRequests++
	if p.local != nil {
		p.local.ReturnRequest()
	} else {
		l.enqueue(update{op: "return_request", id: p.id})
	}
}

// Throttled implements [limiter.Admission]. It pauses every process. While Redis is unreachable
// it pauses this process, and the others once Redis is reachable again.
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
	u := update{op: "throttled", id: p.id, args: []any{flag(r.Requests), flag(r.Tokens), c.BaseDelay.Microseconds(), c.MaxDelay.Microseconds(), rand.Float64()}}
	if r.RetryAfter > 0 {
		u.until = time.Now().Add(r.RetryAfter)
	} else {
		u.args = append(u.args, 0)
	}
	l.enqueue(u)
	l.mu.Unlock()
	state, err := l.do("state")
	if err == nil {
		return state.paused
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

// Retry implements [limiter.Admission]. Besides the errors of [limiter.Permit.Retry] it may
// return an [*UnavailableError], like Acquire.
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
