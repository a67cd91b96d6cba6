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

// An Observer hears what becomes of each call, for traces and metrics. It is called
// when a call has passed its checks, with the operation's name, such as
// "Conversations.StartStream". It returns the context that the call goes on with, its
// own with a span in it, say (one that is not derived from it takes no notice of the
// caller's deadline), and the function that is told of the call's
// events; nil for none.
//
// The events of one call are emitted one after the other: an [Acquired], an [Attempted]
// for each request, with a [Retrying] between two of them, a [Settled], and an [Ended]
// at the very end, once for every call. A call that was never admitted has no Acquired
// and no Settled.
//
// A call that an outage holds returns its permit, so it has a Settled before the next
// Acquired, a [Held] when its wait is over, and no Retrying. The call that notices the
// beginning or the end of an outage has an [OutageBegan] or an [OutageEnded].
//
// Operations that [Client.Observe] reports, such as the runs of package runner, have an Ended
// alone.
//
// Events hold figures and codes, never contents and never the key. Those of a stream
// end when it is closed.
//
// An Observer is called from many goroutines at once. The call waits for it, so it
// must not block; it may ask the client and the stream.
type Observer func(ctx context.Context, operation string) (context.Context, func(CallEvent))

// A CallEvent is one of [Acquired], [Attempted], [Retrying], [Held], [OutageBegan],
// [OutageEnded], [Settled] and [Ended].
type CallEvent interface {
	// record is what the log says of it.
	record() (message string, attrs []slog.Attr)
}

// Acquired says that the limiter has admitted the call.
type Acquired struct {
	Model        string        // whose limit it counts against; "" if it has none or is not known
	Tokens       int           // the estimate
	WaitDuration time.Duration // for the limiter
}

// Attempted says what became of a request: the head of its reply, or that none came.
type Attempted struct {
	Number    int           // from 1
	Status    int           // of the reply; 0 if none came
	RequestID string        // that the server gave it; "" if none
	Reached   bool          // the server may have seen it
	Duration  time.Duration // from sending it to the head of the reply, or the failure
}

// Retrying says that another attempt will follow, if the context does not end before.
type Retrying struct {
	Wait time.Duration // before it
}

// Held says that the call waited for the end of an outage, or until it was its turn to
// find out whether the server is back.
type Held struct {
	WaitDuration time.Duration // without a permit
}

// OutageBegan says that this call's failure has shown an outage, in which calls are
// held: see [Config.MaxOutage].
type OutageBegan struct {
	Host string // scheme and authority of the server
	Err  error  // the failure

	// Model is the model that is down, or the agent or conversation if its model is not
	// known, or "calls without a model" for those that ask none, such as a Get. It is ""
	// if the whole server is down.
	Model string
}

// OutageEnded says that this call has got a response that ends an outage.
type OutageEnded struct {
	Host, Model string        // as in [OutageBegan]
	Duration    time.Duration // since the first failure
}

// Settled says what the call counts as in the limiter.
type Settled struct {
	Estimated         int  // tokens
	Used              int  // tokens, as reported or, where they were not, as received or estimated
	UnconfirmedTokens int  // tokens of attempts that may have been carried out though no reply came
	Cancelled         bool // the server saw nothing of the call: request and tokens are given back
}

// Ended is the last of a call.
type Ended struct {
	Err      error         // what the caller gets; nil for a success, and for a stream that the caller left
	Attempts int           // how many requests were sent
	Duration time.Duration // from the call's beginning, its wait for the limiter included
}

func (e Acquired) record() (string, []slog.Attr) {
	return "acquired", []slog.Attr{slog.Int("tokens", e.Tokens), slog.Duration("waited", e.WaitDuration)}
}

func (e Attempted) record() (string, []slog.Attr) {
	if e.Status == 0 {
		return "no reply", []slog.Attr{slog.Bool("reached", e.Reached), slog.Duration("took", e.Duration)}
	}
	return "reply", []slog.Attr{slog.Int("status", e.Status), slog.String("request_id", oneLine(e.RequestID)), slog.Duration("took", e.Duration)}
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

// causeOf is a failure as the log may show it: without what a server wrote.
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

// watch asks the observer whether it wants to hear of the call.
func (c *call) startObserving() { c.ctx, c.notify = c.client.observe(c.ctx, c.op.name) }

// observe returns the context that an operation goes on with, and the function that is told of
// its events; nil if nobody wants to hear of them.
func (c *Client) observe(ctx context.Context, operation string) (context.Context, func(CallEvent)) {
	if c.config.Observer == nil {
		return ctx, nil
	}
	observed, hear := c.config.Observer(ctx, operation)
	if observed == nil {
		observed = ctx
	}
	return observed, hear
}

// Observe reports an operation that consists of calls to [Config.Observer], such as a run of
// package runner, under a name of the caller's. It returns the context for its calls, and the
// function to give its events to: at the end, one [Ended]. Without an observer, the function
// does nothing.
func (c *Client) Observe(ctx context.Context, operation string) (context.Context, func(CallEvent)) {
	var hear func(CallEvent)
	if c.check() == nil {
		ctx, hear = c.observe(ctx, operation)
	}
	if hear == nil {
		hear = func(CallEvent) {}
	}
	return ctx, hear
}

// watched reports whether anybody may hear what the call tells.
func (c *call) isObserved() bool { return c.notify != nil || c.client.logger != nil }

// tell tells the observer and the log.
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

// levelOf is the level of what concerns more than one call, or else of what is for
// debugging.
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

// errUnfinished is the end of a call whose goroutine ended within it.
var errUnfinished = errors.New("mistral: the call did not end: what it called panicked, or ended its goroutine")

// finish ends the call, and tells how.
func (c *call) finish(err error) {
	defer c.client.calls.end(c)
	if c.isObserved() {
		c.emit(Ended{Err: err, Attempts: c.attempts, Duration: time.Since(c.began)})
	}
}
