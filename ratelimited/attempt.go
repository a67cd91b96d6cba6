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

// An attempt is one request of a call with its response.
type attempt struct {
	ctx       context.Context
	cancel    context.CancelCauseFunc
	began     time.Time
	timeout   time.Duration
	timer     *time.Timer    // ends ctx after timeout
	dial      *time.Timer    // ends ctx while the attempt waits for a connection; nil without a bound
	resp      *http.Response // nil without a response
	readWhole bool           // the response is a success that is not a stream
	body      progressBody   // of the response
	events    *eventReader   // of a stream; nil otherwise

	// Set when the attempt has a response or has failed.
	arrived    bool // the server may have received the request
	hitTimeout bool // the timeout of the call or of the caller's HTTP client passed

	sent          atomic.Int64 // when the request was written, in ns since began; 0 if unknown
	permit        limiter.Admission
	takeRequest   func(context.Context) error // takes another request of the permit
	trace         httptrace.ClientTrace
	traced        atomic.Bool // the transport emits trace events
	dialing       atomic.Bool // a connection is being made; only recorded with sharesConnections
	connected     atomic.Bool // the request has a connection
	reused        atomic.Bool // the connection carried earlier requests
	written       atomic.Bool // a part of the request may have been written
	responseBegan atomic.Bool // a part of the response has arrived
}

// newAttempt starts an attempt. timeout bounds the attempt, and connect the time until it has a connection,
// unless it is 0. With sharesConnections, the attempt records whether a connection is being made for it.
func newAttempt(ctx context.Context, permit limiter.Admission, takeRequest func(context.Context) error, timeout, connect time.Duration, sharesConnections bool) *attempt {
	a := &attempt{permit: permit, takeRequest: takeRequest, began: time.Now(), timeout: timeout}
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

// dialTimeOut ends an attempt that still waits for a connection. A transport without trace events may have
// a connection.
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

// gotConn is called when the request has a connection. It is called again if the transport sends the request
// again by itself, which takes another request of the permit. If the call ends first, gotConn closes
// the connection, so the request is not sent.
func (a *attempt) gotConn(info httptrace.GotConnInfo) {
	a.connected.Store(true)
	a.reused.Store(info.Reused)
	if !a.written.Swap(false) {
		return
	}
	if err := a.takeRequest(a.ctx); err != nil {
		a.cancel(err)
		_ = info.Conn.Close() // the first error counts
	}
}

func (a *attempt) wroteHeaders() { a.written.Store(true) }

func (a *attempt) gotFirstResponseByte() { a.responseBegan.Store(true) }

// wroteRequest records when the request was written. It may have waited for a connection, and the server
// counts it when it arrives.
func (a *attempt) wroteRequest(info httptrace.WroteRequestInfo) {
	if info.Err == nil {
		a.sent.Store(int64(time.Since(a.began)))
		a.permit.Sent()
	}
}

// reached reports whether the server may have received the request, which failed with err. For a transport
// without trace events, the error decides. The transport of net/http emits events unless the context has
// already ended.
func (a *attempt) reached(err error, transport http.RoundTripper) bool {
	if a.traced.Load() {
		return a.connected.Load()
	}
	if _, ok := transport.(*http.Transport); ok && a.ctx.Err() != nil {
		return false
	}
	return mayHaveArrived(err)
}

// isStale reports whether the attempt failed because a reused connection was closed before a response.
func (a *attempt) isStale() bool {
	return a.resp == nil && a.arrived && a.reused.Load() && !a.responseBegan.Load() && !a.hitTimeout
}

func (a *attempt) timedOut() bool { return context.Cause(a.ctx) == errTimeout }

// idleFor returns the error of a stream that was idle for too long; nil otherwise.
func (a *attempt) idleFor() error {
	if idle, ok := context.Cause(a.ctx).(idleError); ok { //nolint:errorlint // exactly the error that the timer sets
		return idle
	}
	return nil
}

// serverTime returns bounds of the time that the server has taken since the request was written. They
// differ if the caller was handling an event of a stream: the next event may have arrived meanwhile.
func (a *attempt) serverTime() (minimum, maximum time.Duration) {
	maximum = time.Since(a.began) - time.Duration(a.sent.Load())
	if a.events == nil {
		return maximum, maximum
	}
	return maximum - time.Since(a.events.waitEnded), maximum
}

// end releases the timers, the context and the body of the attempt. The body comes last, because the caller's
// transport may panic.
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
		// The response was read, so an error does not matter.
		_ = a.resp.Body.Close()
	}
}

// progressBody is a response body that fails if reading it makes no progress: a transport of the caller may
// return neither bytes nor an error forever.
type progressBody struct {
	io.ReadCloser
	empty int // successive reads without bytes or an error
}

// maxEmptyReads is the maximum number of successive reads without bytes or an error, as in package bufio.
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
