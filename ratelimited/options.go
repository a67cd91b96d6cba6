package ratelimited

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// CallOption changes one call. Of two of a kind the last counts, but
// [WithHeader] adds. An option that breaks its rule makes the call fail with a
// [*ConfigError] before anything is sent. Options may be used by any number of calls,
// [WithResponseInto] by one at a time.
type CallOption func(*callOptions) error

// callOptions are a call's settings: the client's, changed by the call's own.
type callOptions struct {
	timeout       time.Duration
	maxRetries    int
	baseURL       string // empty: the client's
	allowHTTP     bool   // of the client
	shortKey      bool   // of the client: must not leave the machine
	header        http.Header
	tokenEstimate int           // negative: not set
	maxWait       time.Duration // as limiter.Call has it
	onQueue       func(QueueStatus)
	responseInto  **http.Response
	atMostOnce    bool
	stop          context.Context
}

// WithTimeout replaces [Config.Timeout] for the call. At least a millisecond.
func WithTimeout(d time.Duration) CallOption {
	return func(o *callOptions) error {
		o.timeout = d
		return checkDuration("WithTimeout", d)
	}
}

// WithMaxRetries replaces [Config.MaxRetries] for the call: 0 to 100. With 0, like
// [NoRetries], at most one request is sent.
func WithMaxRetries(n int) CallOption {
	return func(o *callOptions) error {
		if n < NoRetries || n > maxMaxRetries {
			return &ConfigError{Field: "WithMaxRetries", Value: n, Rule: "must be 0 to 100, or NoRetries"}
		}
		o.maxRetries = n
		return nil
	}
}

// AtMostOnce stops retries of the call as soon as the server may have carried it out: the call then
// fails with an error that matches [ErrUnconfirmed]. Failures before that, such as a 429 or a
// refused connection, are retried. Without it, an append whose response was lost is sent again, and
// the conversation has its inputs twice.
func AtMostOnce() CallOption {
	return func(o *callOptions) error {
		o.atMostOnce = true
		return nil
	}
}

// WithBaseURL sends the call, and the key, to another server than
// [Config.BaseURL]. The same rules apply.
func WithBaseURL(base string) CallOption {
	return func(o *callOptions) error {
		o.baseURL = serverOf(base)
		if err := checkBaseURL("WithBaseURL", base, o.allowHTTP); err != nil {
			return err
		}
		if o.shortKey && isRemote(base) {
			return &ConfigError{Field: "APIKey", Value: hidden{}, Rule: shortKeyRule}
		}
		return nil
	}
}

// WithHeader adds a header field to the call's requests. It may be given several
// times. Fields that the client itself needs cannot be changed; User-Agent can.
func WithHeader(name, value string) CallOption {
	return func(o *callOptions) error {
		switch {
		case name == "" || strings.ContainsFunc(name, func(r rune) bool { return !isTokenChar(r) }):
			return &ConfigError{Field: "WithHeader", Value: name, Rule: "must be a header field name as in RFC 9110"}
		case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
			return &ConfigError{Field: "WithHeader", Value: name, Rule: "must have a value without control characters"}
		case ownHeaders[http.CanonicalHeaderKey(name)]:
			return &ConfigError{Field: "WithHeader", Value: name, Rule: "is set by the client and cannot be changed"}
		}
		if o.header == nil {
			o.header = http.Header{}
		}
		o.header.Add(name, value)
		return nil
	}
}

// isTokenChar reports whether r may be part of a token (RFC 9110, section 5.6.2).
func isTokenChar(r rune) bool {
	return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("!#$%&'*+-.^_`|~", r)
}

var ownHeaders = map[string]bool{
	"Authorization": true, "Content-Type": true, "Content-Length": true, "Accept": true, "Host": true,
	"Transfer-Encoding": true, "Connection": true, "Upgrade": true,
	"Accept-Encoding": true, // the transport undoes only what it has asked for itself
}

// WithTokenEstimate replaces the client's own estimate of how many tokens the
// call will use, prompt and reply together. What it really used is settled
// afterwards as ever. Must be 0 to the capacity of the token bucket.
func WithTokenEstimate(tokens int) CallOption {
	return func(o *callOptions) error {
		if tokens < 0 {
			return &ConfigError{Field: "WithTokenEstimate", Value: tokens, Rule: "must not be negative"}
		}
		o.tokenEstimate = tokens
		return nil
	}
}

// WithMaxWait refuses the call at once, with a [*WaitError] that matches [ErrWouldWait], if the
// limiter is expected to let it wait for longer than d, or if an outage holds it. The error has
// the expected wait and the position in the queue. With 0 the call starts now or not at all.
// The expectation may be wrong: a call that waits may wait for longer, and retries are not
// bounded. Must not be negative.
func WithMaxWait(d time.Duration) CallOption {
	return func(o *callOptions) error {
		if d < 0 {
			return &ConfigError{Field: "WithMaxWait", Value: d, Rule: "must not be negative"}
		}
		if o.maxWait = d; d == 0 {
			o.maxWait = limiter.NoWait
		}
		return nil
	}
}

// QueueStatus is where a call waits: its Position among the calls that wait, from 1 in the order in which they
// are expected to start, and how long it is Expected to wait from now.
type QueueStatus = limiter.QueueStatus

// OnQueue has the function told where the call waits for its limit: when the wait begins, and when that has changed, at
// most once a second. A call that starts at once tells nothing, and neither does one that an outage holds or that is
// tried again. The function is called in the goroutine that makes the call, and should return
// soon, because the call does not start before that. Must not be nil.
func OnQueue(told func(QueueStatus)) CallOption {
	return func(o *callOptions) error {
		if told == nil {
			return &ConfigError{Field: "OnQueue", Value: nil, Rule: "must not be nil"}
		}
		o.onQueue = told
		return nil
	}
}

// WithStop ends the call when ctx ends, unless its request is in flight. A call that waits for the
// limiter, for the end of an outage or for its next attempt fails with an error that wraps the cause
// of ctx. A request in flight is left to end, and is not repeated if it fails. So a program that
// stops loses no response that it has paid for. [Client.Shutdown] does the same for all calls. Must
// not be nil.
func WithStop(ctx context.Context) CallOption {
	return func(o *callOptions) error {
		if ctx == nil {
			return &ConfigError{Field: "WithStop", Value: nil, Rule: contextRule}
		}
		o.stop = ctx
		return nil
	}
}

// WithResponseInto stores a copy of the HTTP response of the last attempt, for
// its status and headers, also when the call fails; nil when that had none. It
// has no body, and its request has no key.
func WithResponseInto(target **http.Response) CallOption {
	return func(o *callOptions) error {
		if target == nil {
			return &ConfigError{Field: "WithResponseInto", Value: nil, Rule: "must not be nil"}
		}
		*target = nil
		o.responseInto = target
		return nil
	}
}
