package ratelimited

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// CallOption changes the settings of one call. If an option is given several times, the last one
// counts, except that [WithHeader] adds a header field. An invalid option makes the call fail with a
// [*ConfigError] before anything is sent. An option can be used for any number of calls, but
// [WithResponseInto] only for one at a time.
type CallOption func(*callOptions) error

// callOptions are the settings of a call: the client's defaults, changed by the call's options.
type callOptions struct {
	timeout       time.Duration
	maxRetries    int
	baseURL       string // empty: the client's
	allowHTTP     bool   // of the client
	shortKey      bool   // of the client: loopback addresses only
	header        http.Header
	tokenEstimate int           // negative: not set
	maxWait       time.Duration // as in limiter.Call
	onQueue       func(QueueStatus)
	responseInto  **http.Response
	atMostOnce    bool
	stop          context.Context
}

// WithTimeout replaces [Config.Timeout] for the call. At least 1 ms.
func WithTimeout(d time.Duration) CallOption {
	return func(o *callOptions) error {
		o.timeout = d
		return checkDuration("WithTimeout", d)
	}
}

// WithMaxRetries replaces [Config.MaxRetries] for the call: 0 to 100. With 0 or [NoRetries], the client
// sends at most one request.
func WithMaxRetries(n int) CallOption {
	return func(o *callOptions) error {
		if n < NoRetries || n > maxMaxRetries {
			return &ConfigError{Field: "WithMaxRetries", Value: n, Rule: "must be 0 to 100, or NoRetries"}
		}
		o.maxRetries = n
		return nil
	}
}

// AtMostOnce disables retries after any failure that leaves open whether the server has carried out
// the call. The call then fails with an error that matches [ErrUnconfirmed]. Other failures, such as a
// 429 or a refused connection, are still retried. Without AtMostOnce, the client sends an append again
// if its response is lost, and the conversation may then contain its inputs twice.
func AtMostOnce() CallOption {
	return func(o *callOptions) error {
		o.atMostOnce = true
		return nil
	}
}

// WithBaseURL sends the call, and the API key, to another server than [Config.BaseURL]. The same rules
// apply.
func WithBaseURL(base string) CallOption {
	return func(o *callOptions) error {
		o.baseURL = serverOf(base)
		if err := checkBaseURL("WithBaseURL", base, o.allowHTTP); err != nil {
			return err
		}
		if o.shortKey && isRemote(base) {
			return &ConfigError{Field: "APIKey", Value: hiddenValue{}, Rule: shortKeyRule}
		}
		return nil
	}
}

// WithHeader adds a header field to the requests of the call. It can be given several times. Fields
// that the client sets cannot be changed, except User-Agent.
func WithHeader(name, value string) CallOption {
	return func(o *callOptions) error {
		switch {
		case name == "" || strings.ContainsFunc(name, func(r rune) bool { return !isTokenChar(r) }):
			return &ConfigError{Field: "WithHeader", Value: name, Rule: "must be a header field name (RFC 9110)"}
		case strings.ContainsFunc(value, func(r rune) bool { return r < ' ' && r != '\t' || r == 0x7f }):
			return &ConfigError{Field: "WithHeader", Value: name, Rule: "must have a value without control characters"}
		case reservedHeaders[http.CanonicalHeaderKey(name)]:
			return &ConfigError{Field: "WithHeader", Value: name, Rule: "must not be a header field that the client sets"}
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

var reservedHeaders = map[string]bool{
	"Authorization": true, "Content-Type": true, "Content-Length": true, "Accept": true, "Host": true,
	"Transfer-Encoding": true, "Connection": true, "Upgrade": true,
	"Accept-Encoding": true, // the transport decompresses only if it sets this field itself
}

// WithTokenEstimate replaces the client's estimate of the tokens that the call will use, for prompt and
// response together. The client still settles the real usage afterwards. Must be from 0 to the
// capacity of the token bucket.
func WithTokenEstimate(tokens int) CallOption {
	return func(o *callOptions) error {
		if tokens < 0 {
			return &ConfigError{Field: "WithTokenEstimate", Value: tokens, Rule: "must not be negative"}
		}
		o.tokenEstimate = tokens
		return nil
	}
}

// WithMaxWait rejects the call at once if it is expected to wait for the limiter for longer than d, or
// if an outage holds it. The error is a [*WaitError] that matches [ErrWouldWait], with the expected
// wait and the position in the queue. With 0, the call starts now or fails. The wait is an estimate,
// so an accepted call may wait for longer. Retries are not bounded. Must not be negative.
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

// QueueStatus is a waiting call's Position in the queue, from 1 in the expected order of starts, and its
// Expected remaining wait.
type QueueStatus = limiter.QueueStatus

// OnQueue calls the function while the call waits for its limit: when the wait begins, and when the
// status changes, at most once a second. It is not called if the call starts at once, while an outage
// holds the call, or before a retry. The function runs in the goroutine of the call and must return
// soon, because the call cannot start before that. Must not be nil.
func OnQueue(notify func(QueueStatus)) CallOption {
	return func(o *callOptions) error {
		if notify == nil {
			return &ConfigError{Field: "OnQueue", Value: nil, Rule: "must be a function, got nil"}
		}
		o.onQueue = notify
		return nil
	}
}

// WithStop stops the call when ctx ends, unless its request is in flight. If the call is waiting for the
// limiter, an outage or its next attempt, it fails with an error that wraps the cause of ctx. A request
// in flight continues, but the client does not retry it. So a program that
// stops does not lose a response that it has paid for. [Client.Shutdown] does the same for all calls.
// Must not be nil.
func WithStop(ctx context.Context) CallOption {
	return func(o *callOptions) error {
		if ctx == nil {
			return &ConfigError{Field: "WithStop", Value: nil, Rule: contextRule}
		}
		o.stop = ctx
		return nil
	}
}

// WithResponseInto stores a copy of the HTTP response of the last attempt, for its status code and
// headers, even if the call fails. It stores nil if the last attempt had no response. The copy does
// not have a body, and its request does not have the API key.
func WithResponseInto(target **http.Response) CallOption {
	return func(o *callOptions) error {
		if target == nil {
			return &ConfigError{Field: "WithResponseInto", Value: nil, Rule: "must be a pointer, got nil"}
		}
		*target = nil
		o.responseInto = target
		return nil
	}
}
