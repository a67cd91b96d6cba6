package ratelimited

import (
	"errors"
	"net/http"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited/internal/retry"
)

// Sentinel errors for the kinds of failures, for [errors.Is]:
//
//	if errors.Is(err, ratelimited.ErrNotFound) { … }
var (
	// ErrRetryable matches temporary failures: the same call may succeed later. The client has already
	// retried it as often as allowed, except after a timeout of a model's call and for a stream that had
	// started. A 429 with a [RateLimitError.Reason] does not match.
	ErrRetryable = errors.New("mistral: temporary failure")

	// ErrUnconfirmed matches failures after which the server may have carried out the call: the request
	// was sent, and a complete response was not received. It also matches the status codes 502, 504, 520
	// and 524, which gateways send when the server does not respond. See [AtMostOnce].
	ErrUnconfirmed = errors.New("mistral: the server may have carried out the call")

	// ErrOutage matches an [*OutageError]: the server, or one model, has been down for longer than
	// [Config.MaxOutage].
	ErrOutage = errors.New("mistral: the server is down")

	// ErrWouldWait matches a [*WaitError] of a call that would have to wait for longer than
	// [WithMaxWait] or its context's deadline allows.
	ErrWouldWait = errors.New("mistral: the call would wait too long")

	// ErrQueueFull matches a [*WaitError] of a call that was rejected because of [Config.MaxQueue].
	ErrQueueFull = errors.New("mistral: the queue is full")

	// ErrTooLarge matches a call that exceeds the token limit by itself, either the client's limit or the
	// server's. Other calls may succeed.
	ErrTooLarge = errors.New("mistral: the call exceeds the token limit")

	// ErrShuttingDown matches calls that were not sent, or were cancelled, because of [Client.Shutdown].
	ErrShuttingDown = errors.New("mistral: the client is shutting down")

	ErrInvalid      = errors.New("mistral: invalid request")     // 400, 422 and RequestError
	ErrUnauthorized = errors.New("mistral: invalid API key")     // 401
	ErrForbidden    = errors.New("mistral: forbidden")           // 403, also by a guardrail
	ErrNotFound     = errors.New("mistral: not found")           // 404
	ErrRateLimited  = errors.New("mistral: rate limit exceeded") // 429
	ErrServer       = errors.New("mistral: server error")        // 500 and above
)

// Is reports whether target is the kind of the failure.
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

// isKind reports whether target is the sentinel error of a status code.
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

// Is matches [ErrRetryable] for a temporary failure, and [ErrUnconfirmed] if the server may have received
// the request.
func (e *TransportError) Is(target error) bool {
	return target == ErrRetryable && !e.permanent || target == ErrUnconfirmed && e.reached
}

// Is matches [ErrOutage] and [ErrRetryable].
func (e *OutageError) Is(target error) bool { return target == ErrOutage || target == ErrRetryable }

// Is matches [ErrRetryable].
func (e *LimiterError) Is(target error) bool { return target == ErrRetryable }

// Is matches [ErrUnconfirmed], [ErrRetryable] if the connection broke, and the kind of the API's error
// event, by its code or its text.
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

// Is matches [ErrInvalid], and [ErrTooLarge] if the call exceeds the token limit by itself.
func (e *RequestError) Is(target error) bool {
	return target == ErrInvalid || target == ErrTooLarge && errors.As(e.Err, new(*limiter.TooLargeError))
}

// Is matches [ErrTooLarge] if Reason says so, and the kinds of an [APIError].
func (e *RateLimitError) Is(target error) bool {
	return target == ErrTooLarge && e.Reason == retry.ReasonTooLarge || e.APIError.Is(target)
}
