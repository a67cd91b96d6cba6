package limiter

import (
	"math/rand/v2"
	"time"
)

// Throttle is what the server said when it refused a call with a 429.
type Throttle struct {
	// RetryAfter is how long it asked to wait; 0 if it did not say.
	RetryAfter time.Duration

	// Requests and Tokens say which limit it named, if any.
	Requests, Tokens bool

	// Concurrent says that it was the number of calls in flight that was too high.
	Concurrent bool
}

// Throttled says that the server refused the latest request, and pauses the whole
// limiter, because a refusal is about the account and not about one call: until
// RetryAfter has passed, or else by the limiter's backoff. It returns how long
// the pause lasts from now. [Permit.Retry] then waits for its end, ahead of those
// who came later.
//
// The backoff grows with each refusal of a call that was sent after the end of
// the pause before. Calls that were already under way when that pause began are
// part of the same incident and add nothing to it. It starts anew when a call is settled
// that was sent after the pause before the latest one: with responses of seconds, the next
// refusal comes before any call that was sent after the latest pause has ended.
//
// A guarded limiter also learns from a refusal: see [Guarded].
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
	pause := max(0, l.paused(now)) // before a call that starts now pauses the others
	l.dispatch(now)
	return pause
}

// Backoff makes a limiter pause, after the n-th refusal in a row of which the
// server did not say how long to wait (n is 1 at first), as long as f returns.
// Without it, or if f is nil, f is an [ExponentialBackoff] of 1 s to 32 s. f is called with the
// limiter locked and must not use it.
func Backoff(f func(n int) time.Duration) Option {
	return func(l *Limiter) {
		if f != nil {
			l.backoff = f
		}
	}
}

// ExponentialBackoff returns a function that draws the wait after the n-th failure
// in a row (n is 1 at first) uniformly between base and base * 2^n, at most
// maxDelay. Where maxDelay is below base, the wait is base. The randomness keeps
// callers that failed together from coming back together ("full jitter", M. Brooker,
// "Exponential Backoff And Jitter", AWS Architecture Blog, 2015, here with a lower
// bound).
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

// The backoff of a limiter that is given none.
const (
	defaultBaseDelay = time.Second
	defaultMaxDelay  = 32 * time.Second
)
