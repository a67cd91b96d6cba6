package redislimiter

import (
	"fmt"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// UnavailableError reports that Redis could not be asked, so that the call was not
// admitted. It wraps [limiter.ErrUnavailable] and what Redis or the network said.
type UnavailableError struct {
	Since time.Duration // for how long that has been so; 0 if the store is closed
	Err   error         // the latest failure
}

// Error says for how long, and what Redis or the network said.
func (e *UnavailableError) Error() string {
	if e.Since == 0 {
		return "redislimiter: " + e.Err.Error()
	}
	return fmt.Sprintf("redislimiter: Redis has been away for %v: %v", e.Since.Round(time.Millisecond), e.Err)
}

// Unwrap makes errors.Is find both.
func (e *UnavailableError) Unwrap() []error { return []error{limiter.ErrUnavailable, e.Err} }
