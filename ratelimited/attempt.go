package ratelimited

import (
	"context"
	"io"
	"net/http"
	"net/http/httptrace"
	"sync/atomic"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// An attempt is one request of a call, and its reply.
type attempt struct {
	ctx       context.Context
	cancel    context.CancelCauseFunc
	began     time.Time
	timeout   time.Duration
	timer     *time.Timer    // ends ctx after the call's timeout
	dial      *time.Timer    // ends ctx while the attempt waits for a connection; nil if that wait is not bounded
	resp      *http.Response // nil until there is one
	readWhole bool           // it is a success that is read as a whole
	body      progressBody   // of the response
	events    *eventReader   // of a stream; nil until it has begun

	// Known when the attempt has a response or has failed.
	arrived      bool // the server may have seen the request
	timedOutLate bool // its time was up: the call's timeout, or one of the caller's HTTP client

	sent          atomic.Int64 // when the request was written, in ns since began; 0 if that is not known
	permit        limiter.Admission
	takeRequest   func(context.Context) error // takes another request of the permit
	trace         httptrace.ClientTrace
	traced        atomic.Bool // the transport says what it does
	dialing       atomic.Bool // a connection is being made for it; only known if connections are shared
	connected     atomic.Bool // it has a connection to write the request to
	reused        atomic.Bool // that carried requests before
	written       atomic.Bool // something of the request may have been written to it
	responseBegan atomic.Bool // something of the response has come
}

// newAttempt begins an attempt. It may take the given timeout, and if connect is not
// 0 no more than that to get a connection. If attempts share a bounded number of
// connections, it notes whether one is made for it.
func newAttempt(ctx context.Context, permit limiter.Admission, again func(context.Context) error, timeout, connect time.Duration, sharesConnections bool) *attempt {
	a := &attempt{permit: permit, takeRequest: again, began: time.Now(), timeout: timeout}
	a.ctx, a.cancel = context.WithCancelCause(ctx)
	a.trace = httptrace.ClientTrace{
		GetConn: a.getConn, GotConn: a.gotConn, WroteHeaders: a.wroteHeaders, WroteRequest: a.wroteRequest, GotFirstResponseByte: a.gotFirstResponseByte,
	}
	if sharesConnections {
		a.trace.DNSStart, a.trace.ConnectStart, a.trace.TLSHandshakeStart = a.dnsStart, a.connectStart, a.tlsHandshakeStart
	}
	a.ctx = httptrace.WithClientTrace(a.ctx, &a.trace)
	a.timer = time.AfterFunc(timeout, a.timeOut)
	if connect > 0 {
		a.dial = time.AfterFunc(connect, a.dialTimeOut)
	}
	return a
}

// dialTimeOut ends an attempt that still waits for a connection. A transport that calls
// no trace may have one.
func (a *attempt) dialTimeOut() {
	if a.traced.Load() && !a.connected.Load() {
		a.cancel(errConnect)
	}
}

func (a *attempt) timeOut() { a.cancel(errTimeout) }

func (a *attempt) getConn(string) { a.traced.Store(true) }

func (a *attempt) dnsStart(httptrace.DNSStartInfo) { a.dialing.Store(true) }

func (a *attempt) connectStart(string, string) { a.dialing.Store(true) }

func (a *attempt) tlsHandshakeStart() { a.dialing.Store(true) }

// gotConn is called when there is a connection for the request, and again if the
// transport sends it again by itself: that takes another request of the permit. If
// the call ends first, gotConn closes the connection, so that nothing is sent.
func (a *attempt) gotConn(info httptrace.GotConnInfo) {
	a.connected.Store(true)
	a.reused.Store(info.Reused)
	if !a.written.Swap(false) {
		return
	}
	if err := a.takeRequest(a.ctx); err != nil {
		a.cancel(err)
		_ = info.Conn.Close() // there is an error already
	}
}

func (a *attempt) wroteHeaders() { a.written.Store(true) }

func (a *attempt) gotFirstResponseByte() { a.responseBegan.Store(true) }

// wroteRequest notes when the request has left: it had to wait for a connection,
// and the server counts it from when it arrives.
func (a *attempt) wroteRequest(info httptrace.WroteRequestInfo) {
	if info.Err == nil {
		a.sent.Store(int64(time.Since(a.began)))
		a.permit.Sent()
	}
}

// reached reports whether the server may have seen the request, which failed
// with err. A transport that does not say what it does is judged by its error; but
// that of net/http says so from the beginning, unless the context has ended before.
func (a *attempt) reached(err error, transport http.RoundTripper) bool {
	if a.traced.Load() {
		return a.connected.Load()
	}
	if _, ok := transport.(*http.Transport); ok && a.ctx.Err() != nil {
		return false
	}
	return mayHaveArrived(err)
}

// isStale reports whether the attempt failed because a connection that carried
// requests before was closed before a response.
func (a *attempt) isStale() bool {
	return a.resp == nil && a.arrived && a.reused.Load() && !a.responseBegan.Load() && !a.timedOutLate
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

// took returns bounds of the time that the server has taken since the request was written. They
// differ if the caller was busy with an event of a stream: the next one may have come meanwhile.
func (a *attempt) serverTime() (least, most time.Duration) {
	most = time.Since(a.began) - time.Duration(a.sent.Load())
	if a.events == nil {
		return most, most
	}
	return most - time.Since(a.events.waitEnded), most
}

// end releases the attempt's timers, its context and the body of its response, last because
// the transport of the caller may panic.
func (a *attempt) end() {
	if a.events != nil {
		a.events.stop()
	}
	a.timer.Stop()
	if a.dial != nil {
		a.dial.Stop()
	}
	defer a.cancel(nil)
	if a.resp != nil {
		// It has been read as far as it is wanted: an error in closing it changes nothing.
		_ = a.resp.Body.Close()
	}
}

// steadyBody is the body of a response that fails where reading it makes no progress. A
// transport of the caller may return neither bytes nor an error, for ever.
type progressBody struct {
	io.ReadCloser
	empty int // reads without a byte or an error, in a row
}

// maxEmptyReads is how many of these are tolerated, as in package bufio.
const maxEmptyReads = 100

// Read implements [io.Reader].
func (b *progressBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	if n > 0 || err != nil || len(p) == 0 {
		b.empty = 0
		return n, err
	}
	if b.empty++; b.empty > maxEmptyReads {
		return 0, io.ErrNoProgress
	}
	return 0, nil
}
