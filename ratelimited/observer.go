package ratelimited

import (
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"
)

// Observer receives the lifecycle events of each call, for traces and metrics. The client calls it when a
// call has passed its checks, with the name of the operation, such as "Conversations.StartStream". It
// returns the context of the call, for example with a span in it, and a function that receives the
// events; nil for none. Derive the context from ctx, or the call ignores the caller's deadline.
//
// The events of one call arrive one after another: an [Acquired], an [Attempted] for each request, a
// [Retrying] between two of them, a [Settled], and finally one [Ended] for every call. A call that was
// not admitted does not have Acquired and Settled.
//
// If an outage holds a call, the call returns its permit. It then has a Settled, a [Held] when the wait
// is over, and another Acquired, without a Retrying. The call that detects the beginning or the end of an
// outage has an [OutageBegan] or an [OutageEnded].
//
// Operations that [Client.Observe] reports, such as the runs of package runner, have only an Ended.
//
// Events contain numbers and codes, never the API key or any text of requests and responses. The events of
// a stream end when it is closed.
//
// The client calls an Observer from many goroutines concurrently. The call waits for it, so it must not
// block. It may use the client and the stream.
type Observer func(ctx context.Context, operation string) (context.Context, func(CallEvent))

// CallEvent is one of [Acquired], [Attempted], [Retrying], [Held], [OutageBegan], [OutageEnded], [Settled]
// and [Ended].
type CallEvent interface {
	// record returns the message and attributes of the log record.
	record() (message string, attrs []slog.Attr)
}

// Acquired reports that the limiter has admitted the call.
type Acquired struct {
	Model        string        // "" if the call does not use a model, or if it is not known
	Tokens       int           // estimated
	WaitDuration time.Duration // spent waiting for the limiter
}

// Attempted reports the result of a request: the header of its response has arrived, or the request has
// failed.
type Attempted struct {
	Number    int           // from 1
	Status    int           // status code of the response; 0 without one
	RequestID string        // assigned by the server; "" without one
	Reached   bool          // the server may have received the request
	Duration  time.Duration // from sending to the header of the response or the failure
}

// Retrying reports that another attempt follows, unless the context ends before.
type Retrying struct {
	Wait time.Duration // before the next attempt
}

// Held reports that the call has waited for the end of an outage, or until it was sent as a probe.
type Held struct {
	WaitDuration time.Duration // time without a permit
}

// OutageBegan reports that this call's failure shows an outage: see [Config.MaxOutage].
type OutageBegan struct {
	Host string // scheme and authority of the server
	Err  error  // the failure

	// Model is the model that is down, or the agent or conversation if the model is not known. It is
	// "calls without a model" for calls such as Get, and "" if the whole server is down.
	Model string
}

// OutageEnded reports that this call received a response that ends an outage.
type OutageEnded struct {
	Host, Model string        // as in [OutageBegan]
	Duration    time.Duration // since the first failure
}

// Settled reports how the limiter has counted the call.
type Settled struct {
	Estimated         int  // estimated tokens
	Used              int  // reported tokens or, without a report, received or estimated tokens
	UnconfirmedTokens int  // tokens of attempts without a response that the server may have carried out
	Cancelled         bool // the server did not receive the call: its request and tokens are returned
}

// Ended is the last event of a call.
type Ended struct {
	Err      error         // returned to the caller; nil for success, and for a stream that the caller closed early
	Attempts int           // number of requests
	Duration time.Duration // of the whole call, including its wait for the limiter
}

func (e Acquired) record() (string, []slog.Attr) {
	return "acquired", []slog.Attr{slog.Int("tokens", e.Tokens), slog.Duration("waited", e.WaitDuration)}
}

func (e Attempted) record() (string, []slog.Attr) {
	if e.Status == 0 {
		return "no response", []slog.Attr{slog.Bool("reached", e.Reached), slog.Duration("took", e.Duration)}
	}
	return "response", []slog.Attr{slog.Int("status", e.Status), slog.String("request_id", oneLine(e.RequestID)), slog.Duration("took", e.Duration)}
}

func (e Retrying) record() (string, []slog.Attr) {
	return "retry", []slog.Attr{slog.Duration("wait", e.Wait)}
}

func (e Held) record() (string, []slog.Attr) {
	return "held", []slog.Attr{slog.Duration("waited", e.WaitDuration)}
}

func (e OutageBegan) record() (string, []slog.Attr) {
	return "outage began", []slog.Attr{slog.String("host", e.Host), slog.String("model", e.Model), slog.String("cause", causeOf(e.Err))}
}

// causeOf returns a failure for the log, without any text of the server.
func causeOf(err error) string {
	var api *APIError
	var number syscall.Errno
	switch {
	case errors.As(err, &api):
		return "status " + strconv.Itoa(api.StatusCode)
	case errors.As(err, &number):
		return number.Error()
	case errors.As(err, new(*net.DNSError)):
		return "the host name could not be resolved"
	case errors.As(err, new(*tls.CertificateVerificationError)):
		return "the certificate is not valid"
	case isTimeout(err):
		return "timeout"
	}
	return "the connection failed"
}

func (e OutageEnded) record() (string, []slog.Attr) {
	return "outage ended", []slog.Attr{slog.String("host", e.Host), slog.String("model", e.Model), slog.Duration("took", e.Duration)}
}

func (e Settled) record() (string, []slog.Attr) {
	if e.Cancelled {
		return "cancelled", []slog.Attr{slog.Int("estimated", e.Estimated)}
	}
	return "settled", []slog.Attr{slog.Int("estimated", e.Estimated), slog.Int("used", e.Used), slog.Int("lost", e.UnconfirmedTokens)}
}

func (e Ended) record() (string, []slog.Attr) {
	return "ended", []slog.Attr{slog.Bool("ok", e.Err == nil), slog.Duration("took", e.Duration)}
}

// startObserving calls the observer at the start of the call.
func (c *call) startObserving() { c.ctx, c.notify = c.client.observe(c.ctx, c.op.name) }

// observe calls the observer. It returns the context of the operation, and the function that receives its
// events; nil without one.
func (c *Client) observe(ctx context.Context, operation string) (context.Context, func(CallEvent)) {
	if c.config.Observer == nil {
		return ctx, nil
	}
	observed, notify := c.config.Observer(ctx, operation)
	if observed == nil {
		observed = ctx
	}
	return observed, notify
}

// Observe reports an operation that consists of several calls, such as a run of package runner, to
// [Config.Observer]. It returns the context for these calls and a function that receives the events of
// the operation: one [Ended] at the end. Without an observer, the function does nothing.
func (c *Client) Observe(ctx context.Context, operation string) (context.Context, func(CallEvent)) {
	var notify func(CallEvent)
	if c.check() == nil {
		ctx, notify = c.observe(ctx, operation)
	}
	if notify == nil {
		notify = func(CallEvent) {}
	}
	return ctx, notify
}

// isObserved reports whether the call has an observer or a logger.
func (c *call) isObserved() bool { return c.notify != nil || c.client.logger != nil }

// emit sends an event to the observer and the logger.
func (c *call) emit(event CallEvent) {
	if c.notify != nil {
		c.notify(event)
	}
	level := levelOf(event)
	if logger := c.client.logger; logger != nil && logger.Enabled(c.ctx, level) {
		message, attrs := event.record()
		attrs = append(attrs, slog.String("operation", c.op.name), slog.Int("attempts", c.attempts))
		logger.LogAttrs(c.ctx, level, "mistral: "+message, attrs...)
	}
}

// levelOf returns the warn level for events that concern several calls, and otherwise the debug level.
func levelOf(event CallEvent) slog.Level {
	switch e := event.(type) {
	case OutageBegan, OutageEnded:
		return slog.LevelWarn
	case Attempted:
		if e.Status == http.StatusTooManyRequests {
			return slog.LevelWarn
		}
	}
	return slog.LevelDebug
}

// errUnfinished is the error of a call whose goroutine ended during the call.
var errUnfinished = errors.New("mistral: the call did not end: a function that it called panicked or ended the goroutine")

// finish ends the call and emits its last event.
func (c *call) finish(err error) {
	defer c.client.calls.end(c)
	if c.isObserved() {
		c.emit(Ended{Err: err, Attempts: c.attempts, Duration: time.Since(c.began)})
	}
}
