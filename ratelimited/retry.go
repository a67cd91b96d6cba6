package ratelimited

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// next decides whether a failed attempt is followed by another, and how long to
// wait before it.
func (f *flight) next(ctx context.Context, failure error) (wait time.Duration, again bool) {
	config := &f.client.config
	wait = backoff(f.attempts, config.BaseDelay, config.MaxDelay)
	if api := (*APIError)(nil); errors.As(failure, &api) {
		asked := retryAfter(api.Header, time.Now())
		if isRateLimit(failure) && asked > 0 {
			wait = asked // the server knows when there is room again
		}
		wait = max(wait, asked)
	}
	if isRateLimit(failure) {
		// What the server refuses to one it would refuse to the next: everybody who
		// waits for the same limiter waits.
		f.limiter.Pause(time.Now().Add(min(wait, config.MaxDelay)))
	}
	again = ctx.Err() == nil && isTransient(failure) && f.attempts <= f.options.maxRetries && wait <= config.MaxDelay
	return wait, again
}

// waitToRetry waits until the next attempt may be sent, and takes its request;
// the tokens are held already. After a 429 the pause of the limiter is the wait,
// and the call stands at the head of the queue when it ends. A wait that the
// context's deadline would cut short is not begun.
func (f *flight) waitToRetry(ctx context.Context, wait time.Duration, failure error) error {
	if deadline, ok := ctx.Deadline(); ok && time.Now().Add(wait).After(deadline) {
		return context.DeadlineExceeded
	}
	if !isRateLimit(failure) {
		timer := time.NewTimer(wait)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
			return contextError(ctx)
		}
	}
	return f.permit.Retry(ctx)
}

func isRateLimit(failure error) bool {
	var limited *RateLimitError
	return errors.As(failure, &limited)
}

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

// isTransient reports whether the same request may succeed later.
func isTransient(failure error) bool {
	if api := (*APIError)(nil); errors.As(failure, &api) {
		switch api.StatusCode {
		case http.StatusTooManyRequests, http.StatusInternalServerError, http.StatusBadGateway,
			http.StatusServiceUnavailable, http.StatusGatewayTimeout:
			return true
		}
		return false
	}
	if transport := (*TransportError)(nil); errors.As(failure, &transport) {
		return !isPermanent(transport.Err)
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
	case errors.As(err, &certificate), errors.As(err, &record):
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
// gateways send. 0 means that it does not say, or not sensibly.
func retryAfter(header http.Header, now time.Time) time.Duration {
	if ms, err := strconv.ParseFloat(strings.TrimSpace(header.Get("Retry-After-Ms")), 64); err == nil {
		return duration(ms, time.Millisecond)
	}
	value := strings.TrimSpace(header.Get("Retry-After"))
	if seconds, err := strconv.ParseFloat(value, 64); err == nil {
		return duration(seconds, time.Second)
	}
	if date, err := http.ParseTime(value); err == nil {
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
	if !found || strings.ContainsAny(name, " \t\n") {
		return ""
	}
	switch name {
	case "token", "tokens":
		return "tokens"
	case "request", "requests":
		return "requests"
	}
	return name
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

func (f *flight) timedOut() bool { return context.Cause(f.ctx) == errTimeout }

// transportError wraps what the HTTP client reports of an attempt without a reply.
func (f *flight) transportError(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		err = contextError(ctx)
	case f.timedOut():
		err = fmt.Errorf("%w of %v", errTimeout, f.options.timeout)
	}
	return &TransportError{Method: f.op.method, Path: f.path, Attempts: f.attempts, Err: err}
}

// contextError is the end of a context and its cause, both to be found by errors.Is.
func contextError(ctx context.Context) error {
	err, cause := ctx.Err(), context.Cause(ctx)
	if errors.Is(cause, err) {
		return cause
	}
	return fmt.Errorf("%w: %w", err, cause)
}
