package bulk

import (
	"context"
	"errors"
	"net/http"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// A verdict is the action that follows a call.
type verdict int

const (
	verdictDone  verdict = iota
	verdictRow           // the row failed permanently
	verdictAgain         // temporary failure: send the row again at the end of the job
	verdictHold          // outage: send the row again after a pause
	verdictLeft          // the run stopped before the row was done
	verdictStop          // all other rows would fail, too
)

// judge returns the action that follows a call.
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
		return verdictStop // wrong address, invalid certificate, or no network
	case !errors.Is(err, ratelimited.ErrRetryable) && !errors.Is(err, ratelimited.ErrQueueFull) && !errors.Is(err, context.Canceled) &&
		!errors.Is(err, ratelimited.ErrUnconfirmed): // includes a broken response with status 200
		return verdictRow
	case r.stop.Err() != nil:
		return verdictLeft
	case errors.Is(err, ratelimited.ErrOutage), errors.Is(err, ratelimited.ErrQueueFull), errors.As(err, new(*ratelimited.LimiterError)):
		return verdictHold
	}
	return verdictAgain
}
