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

// apiError is the failure that the response of the latest attempt stands for, whose content
// was read as far as err let it be.
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

// errorInside is the failure of a response with a success status that has an error in
// it, which err reports too.
func (c *call) errorInside(body []byte, err error) error {
	e := newAPIError(c.request.Method, c.request.URL.Path, c.latest.resp, c.client.secret.prefix(body, maxErrorBody))
	e.Attempts, e.PreviousErrors, e.Err = c.attempts, slices.Clip(c.previousErrors), c.client.secret.redactError(err)
	e.meaning = e.meaningInside()
	c.client.secret.redactFailure(e)
	return c.withLimit(e)
}

// limited returns the error as it is, or with what is known of the limit that it is
// about.
func (c *call) withLimit(e *APIError) error {
	if e.status() != http.StatusTooManyRequests {
		return e
	}
	counted := c.expected.certain
	if c.expected.fromCaller {
		counted = c.expected.total
	}
	refusal := retry.ReadThrottle(retry.Response{
		Header: e.Header, Message: e.Message, Type: e.Type, Code: e.Code, Prompt: counted, Estimate: c.expected.total,
	}, time.Now())
	e.permanent = refusal.Reason != ""
	return &RateLimitError{APIError: e, RetryAfter: refusal.RetryAfter, LimitType: refusal.LimitType, Reason: refusal.Reason, throttle: refusal}
}

// unusable is the failure of a reply that has a success status and cannot be used.
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

func (c *call) tooLargeError(err *limiter.TooLargeError) error {
	field := "tokens of inputs"
	if c.expected.fromCaller {
		field = "WithTokenEstimate"
	}
	return &RequestError{
		Operation: c.op.name, Field: field, Value: err.Tokens,
		Rule: fmt.Sprintf("must be at most %d, which is what the token bucket holds (TokensPerMinute): it could never be sent", err.Capacity), Err: err,
	}
}

// isPermanent reports whether an error of the transport will come again: a
// certificate that is not trusted, a host that does not exist, a request that
// could not be made. What the HTTP client reports of sending is a url.Error.
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

// isHandshake reports whether an error says that a TLS handshake failed for what the
// server is or has: its certificate, or that it does not speak TLS.
func isHandshake(err error) bool {
	return errors.As(err, new(*tls.CertificateVerificationError)) || errors.As(err, new(tls.RecordHeaderError)) ||
		errors.Is(err, http.ErrSchemeMismatch)
}

// mayHaveArrived reports whether the server may have seen a request that failed:
// it cannot without a connection.
func mayHaveArrived(err error) bool { return !isDial(err) && !isPermanent(err) }

// errTimeout ends an attempt that takes longer than its timeout.
var errTimeout error = timeoutError{}

// errConnect ends a probe of an outage that gets no connection.
var errConnect = fmt.Errorf("no connection within %v", outage.MaxProbeInterval)

// timeoutError is both a net.Error that reports a timeout and
// context.DeadlineExceeded, as the errors of net/http's own timeouts are.
type timeoutError struct{}

func (timeoutError) Error() string        { return "no reply within the timeout" }
func (timeoutError) Timeout() bool        { return true }
func (timeoutError) Temporary() bool      { return true }
func (timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// transportError is the failure of an attempt that the HTTP client reports an
// error of.
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
		e.Err, e.permanent = fmt.Errorf("%w of %v; Config.Timeout or WithTimeout can allow more", errTimeout, c.options.timeout), false
	case context.Cause(c.latest.ctx) == errConnect:
		e.Err, e.permanent = errConnect, false
	case c.latest.idleFor() != nil:
		e.Err, e.permanent = fmt.Errorf("%w; Config.StreamIdleTimeout can allow more", c.latest.idleFor()), false
	case c.latest.events != nil:
		e.permanent = isTooLarge(err)
	case errors.As(err, &sending):
		e.Err = sending.Err // without the address, which the request's method and path are enough of
	}
	if errors.Is(e.Err, io.EOF) {
		e.Err = fmt.Errorf("the connection ended before the reply did: %w", e.Err)
	}
	e.Err = c.client.secret.redactError(e.Err)
	return e
}

// isTooLarge reports whether a stream's bounds ended it: it would have none the next time.
func isTooLarge(err error) bool {
	return errors.As(err, new(*sse.FrameTooLargeError)) || errors.Is(err, errStreamTooLarge)
}

// isUnreachable reports whether an error says that no connection could be made.
func isUnreachable(err error) bool {
	return isDial(err) || errors.As(err, new(*net.DNSError)) || isHandshake(err)
}

// isDial reports whether an error is one of dialing.
func isDial(err error) bool {
	var operation *net.OpError
	return errors.As(err, &operation) && operation.Op == "dial"
}

// isTimeout reports whether an error says that the time was up.
func isTimeout(err error) bool {
	var timeout net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout()
}

// contextError is the end of a context and its cause, both to be found by errors.Is. A
// shutdown is not the end of the caller's context.
func contextError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) || errors.Is(cause, ErrShuttingDown) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}
