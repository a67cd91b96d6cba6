package bulk

import (
	"context"
	"errors"
	"net/http"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// An action is the action that follows a call.
type action int

const (
	actionDone       action = iota
	actionFail              // the row failed permanently
	actionRetryLater        // temporary failure: send the row again at the end of the job
	actionHold              // outage: send the row again after a pause
	actionLeave             // the run stopped before the row was done
	actionStop              // all other rows would fail, too
)

// classify returns the action that follows a call.
func (r *run) classify(err error) action {
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
		return actionDone
	case errors.Is(err, ratelimited.ErrShuttingDown), errors.As(err, &config), errors.Is(err, ratelimited.ErrUnauthorized),
		isAPI && api.StatusCode == http.StatusPaymentRequired,
		errors.As(err, &limited) && limited.Reason != "" && !errors.Is(err, ratelimited.ErrTooLarge):
		return actionStop
	case r.ctx.Err() != nil:
		return actionLeave
	case errors.As(err, &transport) && (!errors.Is(err, ratelimited.ErrRetryable) || !r.reached.Load() && !errors.Is(err, context.DeadlineExceeded)):
		return actionStop // wrong address, invalid certificate, or no network
	case !errors.Is(err, ratelimited.ErrRetryable) && !errors.Is(err, ratelimited.ErrQueueFull) && !errors.Is(err, context.Canceled) &&
		!errors.Is(err, ratelimited.ErrUnconfirmed): // includes a broken response with status 200
		return actionFail
	case r.stop.Err() != nil:
		return actionLeave
	case errors.Is(err, ratelimited.ErrOutage), errors.Is(err, ratelimited.ErrQueueFull), errors.As(err, new(*ratelimited.LimiterError)):
		return actionHold
	}
	return actionRetryLater
}
