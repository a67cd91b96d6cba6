package bulk

import (
	"context"
	"errors"
	"net/http"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// A verdict is what follows a call.
type verdict int

const (
	verdictDone  verdict = iota
	verdictRow           // the row has failed for good
	verdictAgain         // the row may succeed later: at the end of the job
	verdictHold          // it may succeed soon, and so may all others: the row waits
	verdictLeft          // the run has stopped before the row was done
	verdictStop          // all other rows would fail, too
)

// judge returns what follows a call.
func (r *run) judge(err error) verdict {
	var config *ratelimited.ConfigError
	var api *ratelimited.APIError
	var limited *ratelimited.RateLimitError
	var transport *ratelimited.TransportError
	isAPI := errors.As(err, &api)
	if err == nil || isAPI {
		r.reached.Store(true)
	}
	switch {
	case err == nil:
		return verdictDone
	case errors.Is(err, ratelimited.ErrShuttingDown), errors.As(err, &config), errors.Is(err, ratelimited.ErrUnauthorized),
		isAPI && api.StatusCode == http.StatusPaymentRequired,
		errors.As(err, &limited) && limited.Reason != "" && !errors.Is(err, ratelimited.ErrTooLarge):
		return verdictStop
	case r.ctx.Err() != nil:
		return verdictLeft
	case errors.As(err, &transport) && (!errors.Is(err, ratelimited.ErrRetryable) || !r.reached.Load() && !errors.Is(err, context.DeadlineExceeded)):
		return verdictStop // the server does not exist, it has no valid certificate, or the network is down
	case !errors.Is(err, ratelimited.ErrRetryable) && !errors.Is(err, ratelimited.ErrQueueFull) && !errors.Is(err, context.Canceled) &&
		!errors.Is(err, ratelimited.ErrUnconfirmed): // a response of status 200 that breaks off
		return verdictRow
	case r.stop.Err() != nil:
		return verdictLeft
	case errors.Is(err, ratelimited.ErrOutage), errors.Is(err, ratelimited.ErrQueueFull), errors.As(err, new(*ratelimited.LimiterError)):
		return verdictHold
	}
	return verdictAgain
}
