package ratelimited

import (
	"context"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// An attempt is one request of a call, and its reply.
type attempt struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	began  time.Time
	timer  *time.Timer    // ends ctx after the call's timeout
	resp   *http.Response // nil until there is one
	good   bool           // it is a success that is read as a whole
	events *eventReader   // of a stream; nil until it has begun

	permit    limiter.Admission
	trace     httptrace.ClientTrace
	traced    atomic.Bool // the transport says what it does
	connected atomic.Bool // it has a connection to write the request to
}

// newAttempt begins an attempt, which has the given time.
func newAttempt(ctx context.Context, permit limiter.Admission, timeout time.Duration) *attempt {
	a := &attempt{permit: permit, began: time.Now()}
	a.ctx, a.cancel = context.WithCancelCause(ctx)
	a.trace = httptrace.ClientTrace{GetConn: a.getConn, GotConn: a.gotConn, WroteRequest: a.wroteRequest}
	a.ctx = httptrace.WithClientTrace(a.ctx, &a.trace)
	a.timer = time.AfterFunc(timeout, a.timeOut)
	return a
}

func (a *attempt) timeOut() { a.cancel(errTimeout) }

func (a *attempt) getConn(string) { a.traced.Store(true) }

func (a *attempt) gotConn(httptrace.GotConnInfo) { a.connected.Store(true) }

// wroteRequest notes when the request has left: it had to wait for a connection,
// and the server counts it from when it arrives.
func (a *attempt) wroteRequest(info httptrace.WroteRequestInfo) {
	if info.Err == nil {
		a.permit.Sent()
	}
}

// reached reports whether the server may have seen the request, which failed
// with err. A transport that does not say what it does is judged by its error.
func (a *attempt) reached(err error) bool {
	if a.traced.Load() {
		return a.connected.Load()
	}
	return mayHaveArrived(err)
}

func (a *attempt) timedOut() bool { return context.Cause(a.ctx) == errTimeout }

// idleFor returns the error of a stream that was silent for too long; nil if it
// was not.
func (a *attempt) idleFor() error {
	if idle, ok := context.Cause(a.ctx).(idleError); ok { //nolint:errorlint // exactly what the timer sets
		return idle
	}
	return nil
}

// end releases what the attempt holds: the reply's body, its context and timer.
func (a *attempt) end() {
	if a.resp != nil {
		// It has been read as far as it is wanted: an error in closing it changes nothing.
		_ = a.resp.Body.Close()
	}
	if a.events != nil {
		a.events.idle.Stop()
	}
	a.timer.Stop()
	a.cancel(nil)
}
