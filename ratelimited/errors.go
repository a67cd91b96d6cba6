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

// Error is implemented by every error type of this package:
//
//	var e ratelimited.Error
//	if errors.As(err, &e) { … }
//
// A context that ends is found with [errors.Is] and [context.DeadlineExceeded] or
// [context.Canceled], also where one of these types is found in the same error.
type Error interface {
	error
	mistralError()
}

// ConfigError reports a field of [Config], or a [CallOption], that breaks its rule.
type ConfigError struct {
	Field string // name of the field or option
	Value any    // what it was set to; never the key
	Rule  string // what it has to be
	Err   error  // what found it, if anything
}

// Error names the field, its value and the rule.
func (e *ConfigError) Error() string {
	return fmt.Sprintf("mistral: %s is %s: %s", e.Field, shown(e.Value), e.Rule)
}

// Unwrap returns Err.
func (e *ConfigError) Unwrap() error { return e.Err }

// RequestError reports an argument of a call that breaks a rule. Nothing was sent.
type RequestError struct {
	Operation string // such as "Conversations.Start"
	Field     string // in the API's spelling, such as "agent_id"
	Value     any    // what it was
	Rule      string // what it has to be; "" if it cannot be encoded as JSON
	Err       error  // what found it, if anything
}

// Error names the operation, the field, its value, the rule and the cause.
func (e *RequestError) Error() string {
	if e.Rule == "" {
		return fmt.Sprintf("mistral: %s: cannot encode %s: %s", e.Operation, oneLine(e.Field), oneLine(textOf(e.Err)))
	}
	text := fmt.Sprintf("mistral: %s: %s is %s: %s", e.Operation, e.Field, shown(e.Value), e.Rule)
	// The rule says what a TooLargeError does.
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
	Err       error  // the counter's
}

// Error names the operation and says what failed.
func (e *TokenCountError) Error() string {
	return fmt.Sprintf("mistral: %s: counting the prompt's tokens: %v", e.Operation, e.Err)
}

// Unwrap returns Err.
func (e *TokenCountError) Unwrap() error { return e.Err }

// WaitError reports a call that was not sent: its context ended, nearly always while it waited for
// the limiter, or it gave way. A call gives way if its context's deadline leaves too little time for
// it (see [limiter.Call.Duration]), or because of [WithMaxWait]. It took nothing.
type WaitError struct {
	Operation    string        // such as "Conversations.Start"
	Model        string        // whose limit it waited for; "" for the one that models share
	Limit        limiter.Limit // that limit; zero if it did not wait
	Tokens       int           // waited for, beside a request
	WaitDuration time.Duration // how long
	Paused       time.Duration // how much longer a 429 would have kept it; 0 without one
	Outage       error         // what was down and why, if it waited for the end of an outage, not for the limiter
	Err          error         // the context's error and its cause, ErrShuttingDown, ErrWouldWait or ErrQueueFull

	// Expected is how long the call would have waited, at least if a deadline is the reason, and
	// Position its position in the queue, from 1. They are set if the call was refused with
	// ErrWouldWait when it came, and 0 in an outage. Position is set with ErrQueueFull too.
	Expected time.Duration
	Position int

	// Left is how long it was until the deadline when the call gave way because of it, and
	// Duration the time that the call would have needed: the least that recent calls to the model
	// took if it was refused when it came, otherwise what most of them took. Err wraps
	// context.DeadlineExceeded too then.
	Left, Duration time.Duration
}

// Error says how long the wait was, for what, and why it ended.
func (e *WaitError) Error() string {
	if e.Limit == (limiter.Limit{}) {
		return fmt.Sprintf("mistral: %s: not sent: %v", e.Operation, e.Err)
	}
	if e.Outage != nil {
		return fmt.Sprintf("mistral: %s: not sent: gave up after waiting %v for the end of an outage: %v (%v)", e.Operation, e.WaitDuration.Round(time.Millisecond), e.Err, e.Outage)
	}
	if errors.Is(e.Err, ErrQueueFull) {
		return fmt.Sprintf("mistral: %s: not sent: %d calls wait already, as many as Config.MaxQueue allows: %v", e.Operation, e.Position-1, e.Err)
	}
	var b strings.Builder
	what := "gave up after waiting " + e.WaitDuration.Round(time.Millisecond).String()
	if e.Position > 0 {
		what = fmt.Sprintf("expected to wait %v, at position %d of the queue,", e.Expected.Round(time.Millisecond), e.Position)
	}
	fmt.Fprintf(&b, "mistral: %s: not sent: %s for 1 request and %d tokens", e.Operation, what, e.Tokens)
	if e.Model != "" {
		fmt.Fprintf(&b, " of %s", oneLine(e.Model))
	}
	fmt.Fprintf(&b, " (%v requests a second, %d tokens a minute", e.Limit.RequestsPerSecond, e.Limit.TokensPerMinute)
	if e.Paused > 0 {
		fmt.Fprintf(&b, "; paused for %v more after a 429", e.Paused.Round(time.Millisecond))
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

// errTooLate is the Err of a call that its deadline leaves too little time.
var errTooLate = fmt.Errorf("%w: %w", ErrWouldWait, context.DeadlineExceeded)

// Unwrap returns Err.
func (e *WaitError) Unwrap() error { return e.Err }

// OutageError reports a call that failed because an outage lasts longer than
// [Config.MaxOutage]. It matches [ErrOutage] and [ErrRetryable].
type OutageError struct {
	Operation string        // such as "Conversations.Start"
	Host      string        // scheme and authority of the server
	Model     string        // what is down: see [OutageBegan]; "" if the whole server is
	Since     time.Time     // first failure
	Duration  time.Duration // of the outage, until the call failed
	Attempts  int           // requests of the call that the server may have seen
	Err       error         // the latest failure, of this call or another
}

// Error says what is down, for how long, and why.
func (e *OutageError) Error() string {
	sent := "not sent"
	if e.Attempts > 0 {
		sent = "not sent again"
	}
	return fmt.Sprintf("mistral: %s: %s: %s for %v: %v", e.Operation, sent, down(e.Host, e.Model), e.Duration.Round(time.Millisecond), e.Err)
}

// down says what is down: a model, or a whole server.
func down(host, model string) string {
	if model != "" {
		host = model + " at " + host
	}
	return oneLine(host) + " has been down"
}

// Unwrap returns Err.
func (e *OutageError) Unwrap() error { return e.Err }

// LimiterError is a call that was not sent because its limiter's books could not be
// reached: the Redis of [Config.Limiter] is away, say. It wraps
// [limiter.ErrUnavailable], and is an [ErrRetryable].
type LimiterError struct {
	Operation string // such as "Conversations.Start", or "SetLimit"
	Err       error  // the limiter's
}

// Error names the operation and says what failed.
func (e *LimiterError) Error() string {
	return fmt.Sprintf("mistral: %s: not carried out: %s", e.Operation, oneLine(textOf(e.Err)))
}

// Unwrap returns Err.
func (e *LimiterError) Unwrap() error { return e.Err }

// APIError is a reply that is not a success, or not what the API documents.
type APIError struct {
	Method, Path string // of the request
	StatusCode   int    // of the reply
	Attempts     int    // how many requests were sent, this one included

	// PreviousErrors has the failures of the attempts before, oldest first. [errors.Is] and
	// [errors.As] do not look into it: a call is what its last attempt was.
	PreviousErrors []error

	Code    string       // the API's own code, such as "1300"; a number is written in decimal
	Type    string       // such as "rate_limited"
	Message string       // for people
	Param   string       // the parameter at fault, where the API names one
	Fields  []FieldError // what is wrong with each field, in a reply to invalid input

	RequestID string      // for the vendor's support
	Header    http.Header // of the reply
	Body      []byte      // of the reply, as it came; at most 1 MiB

	// Err says why a response with a success status could not be used; nil otherwise.
	// For a stream that begins with an error it is a [*StreamError].
	Err error

	permanent bool   // it would come again
	meaning   int    // status code that an error inside a success stands for; 0 for any other
	inside    string // status code that the content names
}

// FieldError is one finding of the API's validation.
type FieldError struct {
	Location string // such as "body.inputs.0.role"
	Type     string // such as "missing"
	Message  string // for people
}

// mostFields is how many findings an error's text shows.
const mostFields = 10

// Error is one line: request, status, type, code and message, and what the
// fields are.
func (e *APIError) Error() string {
	if e == nil {
		return "mistral: " + textOf(nil)
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
		fmt.Fprintf(&b, ": %s: the response begins %q", oneLine(e.Err.Error()), beginning(e.Body))
	case len(e.Body) > 0:
		fmt.Fprintf(&b, ": %q", beginning(e.Body))
	case http.StatusText(e.StatusCode) != "":
		fmt.Fprintf(&b, ": %s", http.StatusText(e.StatusCode))
	}
	for i, field := range e.Fields {
		separator := "; "
		if i == 0 {
			separator = ": "
		}
		if i == mostFields {
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

// RateLimitError reports a response with status 429, or an error of that meaning inside a
// response with a success status: the server reports a limit as exceeded.
type RateLimitError struct {
	*APIError

	// RetryAfter is how long the server asked to wait; 0 when it did not say.
	RetryAfter time.Duration

	// LimitType is what is used up: "requests" or "tokens", or a tool of the API,
	// such as "web_search"; empty when the server does not say.
	LimitType string

	// Reason says why trying again would be of no use, where the headers show
	// that; empty when the limit may pass.
	Reason string

	refusal retry.Throttle
}

// Error is that of the [APIError], with Reason and RetryAfter if there are any.
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

// TransportError is a request that got no reply, or only a part of it: the
// connection failed, or [Config.Timeout] passed. Such a timeout is found by
// [errors.Is] as [context.DeadlineExceeded] too, as those of net/http are; the
// caller's own context tells the two apart.
type TransportError struct {
	Method, Path string // of the request
	Attempts     int    // how many requests were sent, this one included
	Err          error  // that of net/http

	// PreviousErrors has the failures of the attempts before, as [APIError.PreviousErrors].
	PreviousErrors []error

	permanent bool // it would come again
	reached   bool // the server may have received the request
}

// Error is one line: request, what happened, and the number of attempts.
func (e *TransportError) Error() string {
	attempts := ""
	if e.Attempts > 1 {
		attempts = fmt.Sprintf(" (%d attempts)", e.Attempts)
	}
	return fmt.Sprintf("mistral: %s %s: %s%s", e.Method, oneLine(e.Path), oneLine(textOf(e.Err)), attempts)
}

// Unwrap returns Err.
func (e *TransportError) Unwrap() error { return e.Err }

// StreamError is a stream that did not come to its proper end.
type StreamError struct {
	Code    int    // of the API's error event; 0 where there was none
	Message string // of the API's error event, or what happened
	Events  int    // how many events were delivered before
	Err     error  // the cause, if it was not the API

	broken bool // the connection failed: another stream may come to its end
	status int  // status code that the API's error stands for; 0: that of Code
}

// Error is one line: what happened, and after how many events.
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
