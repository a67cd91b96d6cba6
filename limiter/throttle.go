package limiter

import (
	"math/rand/v2"
	"time"
)

// A Throttle describes a 429 response of the server.
type Throttle struct {
	// RetryAfter is the wait that the server requested; 0 if it did not send one.
	RetryAfter time.Duration

	// Requests and Tokens report whether the response named the request limit or the token limit.
	Requests, Tokens bool

	// Concurrent reports whether the number of calls in flight was too high.
	Concurrent bool
}

// Throttled reports that the server rejected the latest request with a 429. It pauses the whole limiter,
// because the limit belongs to the account and not to one call. The pause lasts for RetryAfter,
// or for the limiter's backoff if RetryAfter is 0. Throttled returns how long the pause lasts from now.
// [Permit.Retry] then waits for its end, ahead of calls that came later.
//
// The backoff grows with each 429 of a call that was sent after the previous pause. Calls that were
// already in flight when that pause began belong to the same incident and do not count. The backoff is
// reset when a call is settled that was sent after the second-latest pause. It does not wait for a call
// sent after the latest pause: if responses take seconds, the next 429 arrives before such a call ends.
//
// A guarded limiter also learns from the response: see [Guarded].
func (p *Permit) Throttled(r Throttle) time.Duration {
	if p.isZero() {
		return 0
	}
	l := p.limiter
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	switch g := l.budget.guard; {
	case r.Concurrent:
		l.concurrency.throttled(now, p.sent, l.active())
	case g != nil:
		t := g.at(now)
		g.throttled(t, r)
		if r.RetryAfter == 0 && !r.Requests {
			l.pause(now, now.Add(g.timeUntilRefill(t)))
		}
	}
	if !r.Concurrent && l.learner.throttled(now, p.sent, l.throttledUntil, r) {
		l.apply(now)
	}
	switch {
	case r.RetryAfter > 0:
		l.pause(now, now.Add(r.RetryAfter))
	case p.sent.Before(l.throttledUntil):
	default:
		l.consecutiveThrottles++
		l.pause(now, now.Add(l.backoff(l.consecutiveThrottles)))
	}
	if before := l.throttledUntil; !p.sent.Before(before) {
		l.resetFrom = l.pausedUntil
		if l.consecutiveThrottles > 1 {
			l.resetFrom = before
		}
	}
	l.throttledUntil = l.pausedUntil
	l.learner.pauseStarted(now, now.Sub(p.sent), r)
	pause := max(0, l.paused(now)) // dispatch may pause again, after the call that starts first
	l.dispatch(now)
	return pause
}

// Backoff sets how long a limiter pauses after the n-th consecutive 429 without Retry-After; n starts
// at 1. The default, also if f is nil, is an [ExponentialBackoff] from 1 s to 32 s. The limiter calls f
// with its lock held, so f must not use the limiter.
func Backoff(f func(n int) time.Duration) Option {
	return func(l *Limiter) {
		if f != nil {
			l.backoff = f
		}
	}
}

// ExponentialBackoff returns a function that chooses the wait after the n-th consecutive failure; n
// starts at 1. The wait is random, uniform between base and base * 2^n, at most maxDelay. If maxDelay is
// below base, the wait is base. The jitter prevents callers that failed together from retrying together
// ("full jitter" with a lower bound; M. Brooker, "Exponential Backoff And Jitter", AWS Architecture
// Blog, 2015).
func ExponentialBackoff(base, maxDelay time.Duration) func(n int) time.Duration {
	return func(n int) time.Duration {
		ceiling := maxDelay
		n = max(0, n)
		if n < 62 && base <= maxDelay>>n {
			ceiling = base << n
		}
		if ceiling <= base {
			return base
		}
		return base + rand.N(ceiling-base+1)
	}
}

// The range of the default backoff.
const (
	defaultBaseDelay = time.Second
	defaultMaxDelay  = 32 * time.Second
)
