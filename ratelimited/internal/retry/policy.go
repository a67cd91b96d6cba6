package retry

import (
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// Window bounds for how long a call waits for a 429 to pass. The limits are per
// second and per minute, and a minute that is counted in another place may end a
// little later. A server that asks for more than that means something else.
const Window = 61 * time.Second

// A Policy is how long calls wait between attempts.
type Policy struct {
	BaseDelay time.Duration // the shortest wait
	MaxDelay  time.Duration // the longest, except after a 429: see [Window]
}

// A Failure is what a failed attempt shows.
type Failure struct {
	Number     int           // of the attempt; 1 is the first
	Transient  bool          // another attempt may succeed
	RetryAfter time.Duration // as the server asks; 0 if it does not
	Throttle   *Throttle     // of a 429; nil otherwise
}

// A Decision says what follows a failed attempt.
type Decision struct {
	Wait   time.Duration // at least, before another attempt
	Shared Scope         // which calls wait
	Stop   bool          // the call is not tried again
}

// Decide decides what follows a failed attempt. The wait of a [OneLimit] is the
// limiter's to choose if the server does not ask for one: it knows how often others
// were refused.
func (p Policy) Decide(f Failure) Decision {
	d := Decision{Wait: f.RetryAfter, Stop: !f.Transient}
	maxWait := p.MaxDelay
	if r := f.Throttle; r != nil {
		d.Wait, d.Shared = r.RetryAfter, r.Shared
		if r.Reason != "" {
			return Decision{Stop: true}
		}
		maxWait = max(maxWait, Window)
	}
	if d.Wait > maxWait {
		d.Wait, d.Stop = maxWait, true
	}
	if d.Shared != OneLimit {
		d.Wait = max(d.Wait, p.Backoff(f.Number))
	}
	return d
}

// Backoff draws the wait after the n-th failure in a row; 1 is the first.
func (p Policy) Backoff(n int) time.Duration {
	return limiter.ExponentialBackoff(p.BaseDelay, p.MaxDelay)(n)
}
