package redislimiter

import (
	"fmt"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// UnavailableError reports that the limiter did not admit a call because it could not reach
// Redis. It wraps [limiter.ErrUnavailable] and the error from Redis or the network.
type UnavailableError struct {
	Since time.Duration // The time since Redis became unreachable; 0 if the store is closed.
	Err   error         // The latest failure.
}

// Error returns the length of the outage and the latest failure.
func (e *UnavailableError) Error() string {
	if e.Since == 0 {
		return "redislimiter: " + e.Err.Error()
	}
	return fmt.Sprintf("redislimiter: Redis has been unreachable for %v: %v", e.Since.Round(time.Millisecond), e.Err)
}

// Unwrap returns [limiter.ErrUnavailable] and the latest failure.
func (e *UnavailableError) Unwrap() []error { return []error{limiter.ErrUnavailable, e.Err} }
