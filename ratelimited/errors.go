package ratelimited

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited/internal/retry"
)

// Error is the interface that every error type of this package implements:
//
//	var e ratelimited.Error
//	if errors.As(err, &e) { … }
//
// If a context ended the call, [errors.Is] matches [context.DeadlineExceeded] or
// [context.Canceled], also if the error is one of these types.
type Error interface {
	error
	mistralError()
}

// ConfigError reports a field of [Config] or a [CallOption] that breaks its rule.
type ConfigError struct {
	Field string // name of the field or option
	Value any    // its value, never the API key; nil if the text does not show it
	Rule  string // such as "must be at least 1ms"
	Err   error  // the cause, if any
}

// Error returns the field, its value and the rule.
func (e *ConfigError) Error() string {
	if e.Rule == missingKeyRule {
		return "mistral: " + e.Rule
	}
	return "mistral: " + describe(e.Field, e.Value, e.Rule)
}

// Unwrap returns Err.
func (e *ConfigError) Unwrap() error { return e.Err }

// RequestError reports an argument of a call that breaks a rule. Nothing was sent.
type RequestError struct {
	Operation string // such as "Conversations.Start"
	Field     string // in the API's spelling, such as "agent_id"
	Value     any    // its value; nil if the text does not show it
	Rule      string // such as "must not be empty"; "" if it cannot be encoded as JSON
	Err       error  // the cause, if any
}

// Error returns the operation, the field, its value, the rule and the cause.
func (e *RequestError) Error() string {
	if e.Rule == "" {
		return fmt.Sprintf("mistral: %s: cannot encode %s: %s", e.Operation, oneLine(e.Field), oneLine(errorText(e.Err)))
	}
	text := "mistral: " + e.Operation + ": " + describe(e.Field, e.Value, e.Rule)
	// The text of a TooLargeError would repeat the rule.
	if e.Err != nil && !errors.As(e.Err, new(*limiter.TooLargeError)) {
		text += ": " + oneLine(e.Err.Error())
	}
	return text
}

// Unwrap returns Err.
func (e *RequestError) Unwrap() error { return e.Err }

// TokenCountError reports a prompt whose tokens could not be counted. Nothing was sent.
type TokenCountError struct {
	Operation string // such as "Conversations.Start"
	Err       error  // the cause
}

// Error returns the operation and the cause.
func (e *TokenCountError) Error() string {
	return fmt.Sprintf("mistral: %s: cannot count the prompt's tokens: %v", e.Operation, e.Err)
}

// Unwrap returns Err.
func (e *TokenCountError) Unwrap() error { return e.Err }

// WaitError reports a call that was not sent and used nothing. Either its context ended, usually while
// the call waited for the limiter. Or the client rejected the call because of [WithMaxWait], because
// of [Config.MaxQueue], because of [Client.Shutdown], or because the context's deadline leaves too
// little time for it (see [limiter.Call.Duration]).
type WaitError struct {
	Operation    string        // such as "Conversations.Start"
	Model        string        // "" if it is not known
	Limit        limiter.Limit // the model's limit; zero if the call did not get as far as the limiter
	Tokens       int           // estimated
	WaitDuration time.Duration // until the call failed
	Paused       time.Duration // remaining pause after a 429; 0 without one
	Outage       error         // the outage that held the call, if any
	Err          error         // the context's error and cause, ErrShuttingDown, ErrWouldWait or ErrQueueFull

	// Expected is the expected wait, or a lower bound if a deadline is the reason. Position is the
	// position in the queue, from 1. Both are set if the call was rejected with ErrWouldWait when it
	// arrived, and 0 in an outage. With ErrQueueFull only Position is set.
	Expected time.Duration
	Position int

	// Left is the time until the deadline, if the call was rejected because of it; Err then also wraps
	// context.DeadlineExceeded. Duration is the time that the call would have needed: the shortest
	// duration of recent calls to the model if the call was rejected when it arrived, and otherwise a
	// duration that most of them did not exceed.
	Left, Duration time.Duration
}

// Error returns the awaited limit, the duration of the wait, and the reason for its end.
func (e *WaitError) Error() string {
	if e.Limit == (limiter.Limit{}) {
		return fmt.Sprintf("mistral: %s: not sent: %v", e.Operation, e.Err)
	}
	if e.Outage != nil {
		return fmt.Sprintf("mistral: %s: not sent: gave up after waiting %v for the end of an outage: %v (%v)", e.Operation, e.WaitDuration.Round(time.Millisecond), e.Err, e.Outage)
	}
	if errors.Is(e.Err, ErrQueueFull) {
		return fmt.Sprintf("mistral: %s: not sent: %d calls are waiting, the maximum that Config.MaxQueue allows: %v", e.Operation, e.Position-1, e.Err)
	}
	var b strings.Builder
	wait := "gave up after waiting " + e.WaitDuration.Round(time.Millisecond).String()
	if e.Position > 0 {
		wait = fmt.Sprintf("expected to wait %v, at position %d of the queue,", e.Expected.Round(time.Millisecond), e.Position)
	}
	fmt.Fprintf(&b, "mistral: %s: not sent: %s for 1 request and %d tokens", e.Operation, wait, e.Tokens)
	if e.Model != "" {
		fmt.Fprintf(&b, " of %s", oneLine(e.Model))
	}
	fmt.Fprintf(&b, " (%v requests/s, %d tokens/min", e.Limit.RequestsPerSecond, e.Limit.TokensPerMinute)
	if e.Paused > 0 {
		fmt.Fprintf(&b, "; paused for another %v after a 429", e.Paused.Round(time.Millisecond))
	}
	fmt.Fprintf(&b, "): %v", e.reason())
	return b.String()
}

// reason returns why the call was not sent.
func (e *WaitError) reason() any {
	if e.Duration == 0 {
		return e.Err
	}
	atLeast := ""
	if e.Position > 0 {
		atLeast = "at least "
	}
	return fmt.Sprintf("the deadline is in %v, and such calls take %s%v", e.Left.Round(time.Millisecond), atLeast, e.Duration.Round(time.Millisecond))
}

// errDeadlineTooClose is the Err of a call whose deadline leaves too little time.
var errDeadlineTooClose = fmt.Errorf("%w: %w", ErrWouldWait, context.DeadlineExceeded)

// Unwrap returns Err.
func (e *WaitError) Unwrap() error { return e.Err }

// OutageError reports a call that failed because an outage lasts longer than [Config.MaxOutage]. It
// matches [ErrOutage] and [ErrRetryable].
type OutageError struct {
	Operation string        // such as "Conversations.Start"
	Host      string        // scheme and authority of the server
	Model     string        // as in [OutageBegan]; "" if the whole server is down
	Since     time.Time     // the first failure
	Duration  time.Duration // of the outage, until the call failed
	Attempts  int           // requests of the call that the server may have received
	Err       error         // the latest failure, of this call or another one
}

// Error returns the model or server that is down, for how long, and the cause.
func (e *OutageError) Error() string {
	sent := "not sent"
	if e.Attempts > 0 {
		sent = "not sent again"
	}
	return fmt.Sprintf("mistral: %s: %s: %s for %v: %v", e.Operation, sent, describeOutage(e.Host, e.Model), e.Duration.Round(time.Millisecond), e.Err)
}

// describeOutage returns a sentence that names the model or server that is down.
func describeOutage(host, model string) string {
	if model != "" {
		host = model + " at " + host
	}
	return oneLine(host) + " has been down"
}

// Unwrap returns Err.
func (e *OutageError) Unwrap() error { return e.Err }

// LimiterError reports a call that was not sent because its shared limiter could not be reached, for
// example the Redis of [Config.Limiter]. It wraps [limiter.ErrUnavailable] and matches [ErrRetryable].
type LimiterError struct {
	Operation string // such as "Conversations.Start", or "SetLimit"
	Err       error  // the limiter's error
}

// Error returns the operation and the cause.
func (e *LimiterError) Error() string {
	return fmt.Sprintf("mistral: %s: the limiter failed: %s", e.Operation, oneLine(errorText(e.Err)))
}

// Unwrap returns Err.
func (e *LimiterError) Unwrap() error { return e.Err }

// APIError reports a response that is not a success, or that does not match the API's documentation.
type APIError struct {
	Method, Path string // of the request
	StatusCode   int    // of the response
	Attempts     int    // number of requests, including this one

	// PreviousErrors holds the failures of earlier attempts, oldest first. [errors.Is] and
	// [errors.As] do not search it: only the last attempt decides the kind of an error.
	PreviousErrors []error

	Code    string       // the API's error code, such as "1300"; numbers are in decimal
	Type    string       // such as "rate_limited"
	Message string       // for people
	Param   string       // the invalid parameter, if the API names one
	Fields  []FieldError // validation errors

	RequestID string      // for the vendor's support
	Header    http.Header // of the response
	Body      []byte      // of the response, unchanged; at most 1 MiB

	// Err is why a response with a success status could not be used; nil otherwise. For a stream
	// that begins with an error it is a [*StreamError].
	Err error

	permanent   bool   // a retry would fail too
	meaning     int    // equivalent status code of an error in a success response; 0 otherwise
	namedStatus string // status code in the content
}

// FieldError is one validation error in a response of the API.
type FieldError struct {
	Location string // such as "body.inputs.0.role"
	Type     string // such as "missing"
	Message  string // for people
}

// maxFields is the maximum number of field errors in the text of an APIError.
const maxFields = 10

// Error returns one line: request, status code, type, code, message and field errors.
func (e *APIError) Error() string {
	if e == nil {
		return "mistral: " + errorText(nil)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "mistral: %s %s: %d", e.Method, oneLine(e.Path), e.StatusCode)
	if e.Type != "" {
		fmt.Fprintf(&b, " %s", oneLine(e.Type))
	}
	if e.Code != "" {
		fmt.Fprintf(&b, " (code %s)", oneLine(e.Code))
	}
	switch {
	case e.Message != "":
		fmt.Fprintf(&b, ": %s", oneLine(e.Message))
	case len(e.Fields) > 0:
	case e.Err != nil:
		fmt.Fprintf(&b, ": %s: the response begins %q", oneLine(e.Err.Error()), excerpt(e.Body))
	case len(e.Body) > 0:
		fmt.Fprintf(&b, ": %q", excerpt(e.Body))
	case http.StatusText(e.StatusCode) != "":
		fmt.Fprintf(&b, ": %s", http.StatusText(e.StatusCode))
	}
	for i, field := range e.Fields {
		separator := "; "
		if i == 0 {
			separator = ": "
		}
		if i == maxFields {
			fmt.Fprintf(&b, "; and %d more", len(e.Fields)-i)
			break
		}
		fmt.Fprintf(&b, "%s%s: %s", separator, oneLine(field.Location), oneLine(field.Message))
	}
	if e.RequestID != "" {
		fmt.Fprintf(&b, " [request %s]", oneLine(e.RequestID))
	}
	if e.Attempts > 1 {
		fmt.Fprintf(&b, " (%d attempts)", e.Attempts)
	}
	return b.String()
}

// Unwrap returns Err.
func (e *APIError) Unwrap() error {
	if e == nil {
		return nil
	}
	return e.Err
}

// RateLimitError reports a response with status 429, or an equivalent error in a response with a
// success status: the server reports that a limit is exceeded.
type RateLimitError struct {
	*APIError

	// RetryAfter is the wait that the server requested; 0 without one.
	RetryAfter time.Duration

	// LimitType is the exceeded limit: "requests", "tokens" or a tool of the API, such as "web_search". It
	// is empty if the server does not report it.
	LimitType string

	// Reason is why a retry cannot succeed, if the headers show a reason. It is empty if a retry may
	// succeed.
	Reason string

	throttle retry.Throttle
}

// Error returns the text of the [APIError], with Reason and RetryAfter if they are set.
func (e *RateLimitError) Error() string {
	message := e.APIError.Error()
	if e.Reason != "" {
		message += "; " + e.Reason
	}
	if e.RetryAfter > 0 {
		message += fmt.Sprintf("; retry after %v", e.RetryAfter)
	}
	return message
}

// Unwrap returns the APIError.
func (e *RateLimitError) Unwrap() error { return e.APIError }

// TransportError reports a request without a complete response: the connection failed, [Config.Timeout]
// passed, or the context ended. As in net/http, [errors.Is] matches [context.DeadlineExceeded] for a
// timeout. The caller's context shows whether its deadline has passed instead.
type TransportError struct {
	Method, Path string // of the request
	Attempts     int    // number of requests, including this one
	Err          error  // usually of net/http

	// PreviousErrors holds the failures of earlier attempts, as in [APIError.PreviousErrors].
	PreviousErrors []error

	permanent bool // a retry would fail too
	reached   bool // the server may have received the request
}

// Error returns one line: the request, the cause, and the number of attempts.
func (e *TransportError) Error() string {
	attempts := ""
	if e.Attempts > 1 {
		attempts = fmt.Sprintf(" (%d attempts)", e.Attempts)
	}
	return fmt.Sprintf("mistral: %s %s: %s%s", e.Method, oneLine(e.Path), oneLine(errorText(e.Err)), attempts)
}

// Unwrap returns Err.
func (e *TransportError) Unwrap() error { return e.Err }

// StreamError reports a stream that did not end properly.
type StreamError struct {
	Code    int    // of the API's error event; 0 without one
	Message string // of the API's error event, or a description
	Events  int    // number of events before the error
	Err     error  // the cause; nil for an error event of the API

	broken bool // the connection failed: a retry may succeed
	status int  // equivalent status code of the API's error; 0 means that of Code
}

// Error returns one line: the cause, and the number of events before it.
func (e *StreamError) Error() string {
	code := ""
	if e.Code != 0 {
		code = fmt.Sprintf(" (code %d)", e.Code)
	}
	cause := ""
	if e.Err != nil {
		cause = ": " + oneLine(e.Err.Error())
	}
	return fmt.Sprintf("mistral: stream: %s%s, after %d events%s", oneLine(e.Message), code, e.Events, cause)
}

// Unwrap returns Err.
func (e *StreamError) Unwrap() error { return e.Err }

func (*ConfigError) mistralError()     {}
func (*RequestError) mistralError()    {}
func (*TokenCountError) mistralError() {}
func (*WaitError) mistralError()       {}
func (*OutageError) mistralError()     {}
func (*LimiterError) mistralError()    {}
func (*APIError) mistralError()        {}
func (*TransportError) mistralError()  {}
func (*StreamError) mistralError()     {}
