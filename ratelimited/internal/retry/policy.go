package retry

import (
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// Window bounds how long a call waits after a 429. Limits are per second and per minute, and the server's minute may
// end slightly later than the client's. A server that requests a longer wait does not mean these limits.
const Window = 61 * time.Second

// A Policy holds the bounds of the waits between attempts.
type Policy struct {
	BaseDelay time.Duration // minimum wait
	MaxDelay  time.Duration // maximum wait, except after a 429: see [Window]
}

// A Failure describes a failed attempt.
type Failure struct {
	Number     int           // of the attempt, from 1
	Transient  bool          // another attempt may succeed
	RetryAfter time.Duration // requested by the server; 0 without a request
	Throttle   *Throttle     // of a 429; nil otherwise
}

// A Decision says what follows a failed attempt.
type Decision struct {
	Wait   time.Duration // minimum wait before another attempt
	Shared Scope         // which other calls wait
	Stop   bool          // the call is not retried
}

// Decide decides what follows a failed attempt. For [OneLimit], if the server does not request a wait, the limiter
// chooses it, because it knows how often other calls were throttled.
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

// Backoff returns a random wait after the n-th failure in a row; n counts from 1.
func (p Policy) Backoff(n int) time.Duration {
	return limiter.ExponentialBackoff(p.BaseDelay, p.MaxDelay)(n)
}
