package ratelimited

import (
	"errors"
	"net/http"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited/internal/retry"
)

// Kinds of failures, for [errors.Is]:
//
//	if errors.Is(err, ratelimited.ErrNotFound) { … }
var (
	// ErrRetryable matches failures that may pass: the same call may succeed later. The
	// client has tried again as often as it was allowed to, except after a timeout of a
	// model's call and for a stream that had begun. A 429 with a [RateLimitError.Reason]
	// does not match.
	ErrRetryable = errors.New("mistral: may succeed later")

	// ErrUnconfirmed matches failures after which the server may have carried out the call: the request
	// was sent, and its response did not come whole. The status codes 502, 504, 520 and 524 come from
	// gateways that waited for the server. See [AtMostOnce].
	ErrUnconfirmed = errors.New("mistral: the server may have carried out the call")

	// ErrOutage matches an [*OutageError]: an outage of the server, or of one model,
	// lasts longer than [Config.MaxOutage].
	ErrOutage = errors.New("mistral: the server is down")

	// ErrWouldWait matches a [*WaitError] of a call that may not wait for as long as it would
	// have to, because of [WithMaxWait] or its context's deadline.
	ErrWouldWait = errors.New("mistral: longer than the call may wait")

	// ErrQueueFull matches a [*WaitError] of a call that found [Config.MaxQueue] calls waiting.
	ErrQueueFull = errors.New("mistral: too many calls wait")

	// ErrTooLarge matches a call that alone is larger than the limit of tokens, by the client's
	// limit or the server's: other calls may succeed.
	ErrTooLarge = errors.New("mistral: the call alone is larger than the limit")

	// ErrShuttingDown matches calls that were not sent, or were cancelled, because of
	// [Client.Shutdown].
	ErrShuttingDown = errors.New("mistral: the client is shutting down")

	ErrInvalid      = errors.New("mistral: the request is not valid") // 400 and 422, and RequestError
	ErrUnauthorized = errors.New("mistral: the key is not valid")     // 401
	ErrForbidden    = errors.New("mistral: not allowed")              // 403, also by a guardrail
	ErrNotFound     = errors.New("mistral: not found")                // 404
	ErrRateLimited  = errors.New("mistral: a limit is used up")       // 429
	ErrServer       = errors.New("mistral: the server failed")        // 500 and above
)

// Is makes [errors.Is] find the kind of the failure.
func (e *APIError) Is(target error) bool {
	switch {
	case e == nil:
		return false
	case target == ErrRetryable:
		return retry.IsTransient(e.status()) && !e.permanent
	case target == ErrUnconfirmed:
		return e.StatusCode < http.StatusMultipleChoices || retry.IsUnconfirmed(e.StatusCode)
	}
	return isKind(target, e.status())
}

// isKind reports whether target is the kind of the failures with a status code.
func isKind(target error, status int) bool {
	switch target {
	case ErrInvalid:
		return status == http.StatusBadRequest || status == http.StatusUnprocessableEntity
	case ErrUnauthorized:
		return status == http.StatusUnauthorized
	case ErrForbidden:
		return status == http.StatusForbidden
	case ErrNotFound:
		return status == http.StatusNotFound
	case ErrRateLimited:
		return status == http.StatusTooManyRequests
	case ErrServer:
		return status >= http.StatusInternalServerError
	}
	return false
}

// Is makes [errors.Is] find ErrRetryable where the failure may pass, and ErrUnconfirmed where the
// request may have reached the server.
func (e *TransportError) Is(target error) bool {
	return target == ErrRetryable && !e.permanent || target == ErrUnconfirmed && e.reached
}

// Is makes [errors.Is] find ErrOutage and ErrRetryable.
func (e *OutageError) Is(target error) bool { return target == ErrOutage || target == ErrRetryable }

// Is makes [errors.Is] find ErrRetryable.
func (e *LimiterError) Is(target error) bool { return target == ErrRetryable }

// Is makes [errors.Is] find the kind of the failure: that of the API's error event, by
// its code or its words, or ErrRetryable where the connection broke. All are ErrUnconfirmed.
func (e *StreamError) Is(target error) bool {
	if target == ErrUnconfirmed {
		return true
	}
	status := e.status
	if status == 0 {
		status = meaningOfCode(e.Code)
	}
	if target == ErrRetryable {
		return e.broken || retry.IsTransient(status)
	}
	return isKind(target, status)
}

// Is makes [errors.Is] find ErrInvalid, and ErrTooLarge where that is the reason.
func (e *RequestError) Is(target error) bool {
	return target == ErrInvalid || target == ErrTooLarge && errors.As(e.Err, new(*limiter.TooLargeError))
}

// Is makes [errors.Is] find ErrTooLarge, and the kinds of an [APIError].
func (e *RateLimitError) Is(target error) bool {
	return target == ErrTooLarge && e.Reason == retry.ReasonTooLarge || e.APIError.Is(target)
}
