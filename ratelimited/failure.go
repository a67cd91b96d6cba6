package ratelimited

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited/internal/outage"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited/internal/retry"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/sse"
)

// apiError returns the failure that the response of the latest attempt reports. body is its content; err is
// the error of reading it, if any.
func (c *call) apiError(body []byte, err error) error {
	resp := c.latest.resp
	e := newAPIError(c.request.Method, c.request.URL.Path, resp, c.client.secret.prefix(body, maxErrorBody))
	c.client.secret.redactFailure(e)
	e.Attempts, e.PreviousErrors = c.attempts, slices.Clip(c.previousErrors)
	if err != nil && c.ctx.Err() != nil {
		e.Err = contextError(c.ctx)
	}
	return c.withLimit(e)
}

// errorInside returns the failure for an error in a response with a success status. err describes the error
// too.
func (c *call) errorInside(body []byte, err error) error {
	e := newAPIError(c.request.Method, c.request.URL.Path, c.latest.resp, c.client.secret.prefix(body, maxErrorBody))
	e.Attempts, e.PreviousErrors, e.Err = c.attempts, slices.Clip(c.previousErrors), c.client.secret.redactError(err)
	e.meaning = e.meaningInside()
	c.client.secret.redactFailure(e)
	return c.withLimit(e)
}

// withLimit returns e, or a RateLimitError if it reports a limit.
func (c *call) withLimit(e *APIError) error {
	if e.status() != http.StatusTooManyRequests {
		return e
	}
	counted := c.expected.certain
	if c.expected.fromCaller {
		counted = c.expected.total
	}
	throttle := retry.ReadThrottle(retry.Response{
		Header: e.Header, Message: e.Message, Type: e.Type, Code: e.Code, Prompt: counted, Estimate: c.expected.total,
	}, time.Now())
	e.permanent = throttle.Reason != ""
	return &RateLimitError{APIError: e, RetryAfter: throttle.RetryAfter, LimitType: throttle.LimitType, Reason: throttle.Reason, throttle: throttle}
}

// unusableResponse returns the failure for a success response that cannot be used.
func (c *call) unusableResponse(body []byte, err error) error {
	resp := c.latest.resp
	e := &APIError{
		Method: c.request.Method, Path: c.request.URL.Path, StatusCode: resp.StatusCode, Attempts: c.attempts, PreviousErrors: slices.Clip(c.previousErrors),
		RequestID: requestID(resp.Header), Header: resp.Header,
		Body: c.client.secret.prefix(body, maxErrorBody), Err: c.client.secret.redactError(err),
	}
	c.client.secret.redactFailure(e)
	return e
}

// tooLargeError returns the error of a call that exceeds the token limit by itself.
func (c *call) tooLargeError(err *limiter.TooLargeError) error {
	field := "tokens of inputs"
	if c.expected.fromCaller {
		field = "WithTokenEstimate"
	}
	return &RequestError{
		Operation: c.op.name, Field: field, Value: err.Tokens,
		Rule: fmt.Sprintf("must be at most %d, the capacity of the token bucket (TokensPerMinute)", err.Capacity), Err: err,
	}
}

// isPermanent reports whether a transport error would occur again: an untrusted certificate, an unknown host,
// or a request that could not be made. The HTTP client wraps errors of sending in a url.Error.
func isPermanent(err error) bool {
	var dns *net.DNSError
	switch {
	case errors.Is(err, errTimeout):
		return false
	case isHandshake(err):
		return true
	case errors.As(err, &dns):
		return dns.IsNotFound
	}
	return !errors.As(err, new(*url.Error))
}

// isHandshake reports whether a TLS handshake failed because of the server: it has an invalid certificate, or
// it does not use TLS.
func isHandshake(err error) bool {
	return errors.As(err, new(*tls.CertificateVerificationError)) || errors.As(err, new(tls.RecordHeaderError)) ||
		errors.Is(err, http.ErrSchemeMismatch)
}

// mayHaveArrived reports whether the server may have received a request that failed with err.
func mayHaveArrived(err error) bool { return !isDial(err) && !isPermanent(err) }

// errTimeout ends an attempt that exceeds its timeout.
var errTimeout error = timeoutError{}

// errConnect ends a probe of an outage that does not get a connection.
var errConnect = fmt.Errorf("no connection within %v", outage.MaxProbeInterval)

// timeoutError is a net.Error that reports a timeout and matches context.DeadlineExceeded, like the timeouts
// of net/http.
type timeoutError struct{}

func (timeoutError) Error() string        { return "no response within the timeout" }
func (timeoutError) Timeout() bool        { return true }
func (timeoutError) Temporary() bool      { return true }
func (timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// transportError returns the failure of an attempt for an error of the HTTP client.
func (c *call) transportError(err error) error {
	e := &TransportError{
		Method: c.request.Method, Path: c.request.URL.Path, Attempts: c.attempts, PreviousErrors: slices.Clip(c.previousErrors), Err: err, permanent: isPermanent(err),
		reached: c.latest.arrived,
	}
	var sending *url.Error
	switch {
	case c.ctx.Err() != nil:
		e.Err, e.permanent = contextError(c.ctx), true
	case c.latest.timedOut():
		e.Err, e.permanent = fmt.Errorf("%w of %v; set Config.Timeout or WithTimeout to allow more", errTimeout, c.options.timeout), false
	case context.Cause(c.latest.ctx) == errConnect:
		e.Err, e.permanent = errConnect, false
	case c.latest.idleFor() != nil:
		e.Err, e.permanent = fmt.Errorf("%w; set Config.StreamIdleTimeout to allow more", c.latest.idleFor()), false
	case c.latest.events != nil:
		e.permanent = isTooLarge(err)
	case errors.As(err, &sending):
		e.Err = sending.Err // without the URL: the text has the method and path
	}
	if errors.Is(e.Err, io.EOF) {
		e.Err = fmt.Errorf("the connection ended before the response did: %w", e.Err)
	}
	e.Err = c.client.secret.redactError(e.Err)
	return e
}

// isTooLarge reports whether a stream exceeded a size limit. A retry would exceed it too.
func isTooLarge(err error) bool {
	return errors.As(err, new(*sse.FrameTooLargeError)) || errors.Is(err, errStreamTooLarge)
}

// isUnreachable reports whether err means that a connection could not be made.
func isUnreachable(err error) bool {
	return isDial(err) || errors.As(err, new(*net.DNSError)) || isHandshake(err)
}

// isDial reports whether err is an error of dialing.
func isDial(err error) bool {
	var operation *net.OpError
	return errors.As(err, &operation) && operation.Op == "dial"
}

// isTimeout reports whether err is a timeout.
func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// contextError returns the error of a context and its cause; errors.Is matches both. A shutdown is not an end
// of the caller's context, so only its cause is returned.
func contextError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) || errors.Is(cause, ErrShuttingDown) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}
