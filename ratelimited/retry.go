package ratelimited

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/sse"
)

// longestPause bounds for how long a Retry-After stops the calls of others. The
// limits are per second and per minute: what asks for more than that is about
// something else, and MaxDelay if that is longer.
const longestPause = time.Minute

// prepareRetry waits until the next attempt may be sent, and takes its request;
// the tokens are held already. If there is to be none it returns the call's error
// at once: a wait that the context's deadline would cut short is not begun.
func (f *flight) prepareRetry(failure error) error {
	wait, again := f.next(failure)
	if !again {
		return failure
	}
	if deadline, ok := f.ctx.Deadline(); ok && time.Now().Add(wait).After(deadline) {
		return fmt.Errorf("%w; the next attempt would be in %v, after the deadline: %w", failure, wait, context.DeadlineExceeded)
	}
	if !f.paused(failure) && !f.client.retries.retry() {
		return fmt.Errorf("%w; not tried again: %w", failure, ErrRetryBudget)
	}
	if f.watched() {
		f.tell(Retrying{Wait: wait})
	}
	if !f.paused(failure) {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-f.ctx.Done():
			return fmt.Errorf("%w; gave up waiting to try again: %w", failure, contextError(f.ctx))
		}
	}
	if err := f.permit.Retry(f.ctx); err != nil {
		if f.ctx.Err() != nil {
			err = contextError(f.ctx)
		}
		return fmt.Errorf("%w; gave up waiting to try again: %w", failure, err)
	}
	return nil
}

// next decides whether a failed attempt is followed by another, and how long to
// wait before it.
func (f *flight) next(failure error) (wait time.Duration, again bool) {
	config := &f.client.config
	wait = backoff(f.attempts, config.BaseDelay, config.MaxDelay)
	again = errors.Is(failure, ErrRetryable)
	var limited *RateLimitError
	var api *APIError
	switch {
	case errors.As(failure, &limited):
		// What the server says of its limits comes after the refusal: the limiter
		// learns from what it did not know.
		defer f.observe(limited.Header)
		limited.Reason = hopeless(limited.Header, limited.LimitType)
		if limited.hopeless = limited.Reason != ""; limited.hopeless {
			return 0, false
		}
		if f.paused(failure) {
			wait = f.permit.Refused(limiter.Refusal{
				RetryAfter: min(limited.RetryAfter, max(longestPause, config.MaxDelay)),
				Requests:   limited.LimitType == limitRequests,
				Tokens:     limited.LimitType == limitTokens,
			})
		}
		wait = max(wait, limited.RetryAfter)
	case errors.As(failure, &api):
		wait = max(wait, retryAfter(api.Header, time.Now()))
	}
	return wait, again && f.ctx.Err() == nil && f.attempts <= f.options.maxRetries && wait <= config.MaxDelay
}

// paused reports whether a failure is a refusal that concerns everybody: what the
// server refuses to one it would refuse to the next, so all who wait for the same
// limiter wait, and the call that was refused stands at their head. Limits of a
// tool, such as web_search, concern those alone who use it.
func (f *flight) paused(failure error) bool {
	var limited *RateLimitError
	if !errors.As(failure, &limited) {
		return false
	}
	switch limited.LimitType {
	case "", limitRequests, limitTokens:
		return true
	}
	return false
}

// What a 429 may be about, for the limiter.
const (
	limitRequests = "requests"
	limitTokens   = "tokens"
)

// backoff draws the wait after the given attempt (1 is the first) uniformly
// between the base delay and twice as much as after the attempt before, at most
// the longest. The randomness keeps callers that failed together from coming
// back together ("full jitter", M. Brooker, "Exponential Backoff And Jitter",
// AWS Architecture Blog, 2015, here with a floor).
func backoff(attempt int, base, longest time.Duration) time.Duration {
	ceiling := longest
	if attempt < 62 && base <= longest>>attempt {
		ceiling = base << attempt
	}
	if ceiling <= base {
		return base
	}
	return base + rand.N(ceiling-base+1)
}

// isTransientStatus reports whether a reply of that status may be followed by a
// success of the same request.
func isTransientStatus(status int) bool {
	switch status {
	case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
		http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		return true
	}
	return false
}

// isPermanent reports whether an error of the transport will come again: a
// certificate that is not trusted, a host that does not exist, a request that
// could not be made. What the HTTP client reports of sending is a url.Error.
func isPermanent(err error) bool {
	var (
		sending     *url.Error
		certificate *tls.CertificateVerificationError
		record      tls.RecordHeaderError
		dns         *net.DNSError
	)
	switch {
	case errors.Is(err, errTimeout):
		return false
	case errors.As(err, &certificate), errors.As(err, &record), errors.Is(err, http.ErrSchemeMismatch):
		return true
	case errors.As(err, &dns):
		return dns.IsNotFound
	}
	return !errors.As(err, &sending)
}

// mayHaveArrived reports whether the server may have seen a request that failed:
// it cannot if there was no connection.
func mayHaveArrived(err error) bool {
	var dial *net.OpError
	unreached := errors.As(err, &dial) && dial.Op == "dial"
	return !unreached && !isPermanent(err)
}

// retryAfter reads how long a server asks to wait: Retry-After in seconds or as
// an HTTP date (RFC 9110, section 10.2.3), or retry-after-ms, which some
// gateways send. A date is as far away as the reply's own Date says, where it has one:
// one of the two clocks may be wrong by hours. 0 means that it does not say, or not
// sensibly.
func retryAfter(header http.Header, now time.Time) time.Duration {
	if ms, err := strconv.ParseFloat(strings.TrimSpace(header.Get("Retry-After-Ms")), 64); err == nil && ms > 0 {
		return duration(ms, time.Millisecond)
	}
	value := strings.TrimSpace(header.Get("Retry-After"))
	if seconds, err := strconv.ParseFloat(value, 64); err == nil {
		return duration(seconds, time.Second)
	}
	if date, err := http.ParseTime(value); err == nil {
		if sent, err := http.ParseTime(header.Get("Date")); err == nil {
			now = sent
		}
		return max(0, date.Sub(now))
	}
	return 0
}

// duration is n units of time; 0 if n is negative or not a number, and the
// longest duration if it is too large for one.
func duration(n float64, unit time.Duration) time.Duration {
	switch {
	case math.IsNaN(n) || n <= 0:
		return 0
	case n >= float64(math.MaxInt64/unit):
		return math.MaxInt64
	}
	return time.Duration(n * float64(unit))
}

// limitType reads which limit a 429 is about from its message, the only place
// that says it: "Token rate limit reached.", "Requests rate limit exceeded",
// "web_search rate limit reached.".
func limitType(message string) string {
	name, _, found := strings.Cut(strings.ToLower(message), " rate limit ")
	if !found {
		return ""
	}
	switch name {
	case "token", "tokens":
		return limitTokens
	case "request", "requests":
		return limitRequests
	case "web_search", "web_search_premium", "code_interpreter", "image_generation", "document_library":
		return name
	}
	return "" // "API rate limit exceeded" says nothing
}

// errTimeout ends an attempt that takes longer than its timeout.
var errTimeout error = timeoutError{}

// timeoutError is both a net.Error that reports a timeout and
// context.DeadlineExceeded, as the errors of net/http's own timeouts are.
type timeoutError struct{}

func (timeoutError) Error() string        { return "no reply within the timeout" }
func (timeoutError) Timeout() bool        { return true }
func (timeoutError) Temporary() bool      { return true }
func (timeoutError) Is(target error) bool { return target == context.DeadlineExceeded }

// transportError is the failure of an attempt that the HTTP client reports an
// error of.
func (f *flight) transportError(err error) error {
	e := &TransportError{
		Method: f.op.method, Path: f.path, Attempts: f.attempts, Earlier: slices.Clip(f.failures), Err: err, permanent: isPermanent(err),
	}
	var sending *url.Error
	switch {
	case f.ctx.Err() != nil:
		e.Err, e.permanent = contextError(f.ctx), true
	case f.latest.timedOut():
		e.Err, e.permanent = fmt.Errorf("%w of %v", errTimeout, f.options.timeout), false
	case f.latest.idleFor() != nil:
		e.Err, e.permanent = f.latest.idleFor(), false
	case f.latest.events != nil:
		e.permanent = isTooLarge(err)
	case errors.As(err, &sending):
		e.Err = sending.Err // without the address, which the request's method and path are enough of
	}
	if errors.Is(e.Err, io.EOF) {
		e.Err = fmt.Errorf("the connection ended before the reply did: %w", e.Err)
	}
	e.Err = f.client.secret.cause(e.Err)
	return e
}

// isTooLarge reports whether a stream's bounds ended it: it would have none the next time.
func isTooLarge(err error) bool {
	return errors.As(err, new(*sse.FrameTooLargeError)) || errors.Is(err, errStreamTooLarge)
}

// contextError is the end of a context and its cause, both to be found by errors.Is.
func contextError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}
