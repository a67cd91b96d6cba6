package emulator

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/fault"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/inject"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
)

// call is one request that is being served. It belongs to the goroutine that serves it.
type call struct {
	r         *http.Request
	w         http.ResponseWriter // of Config.Intercept's choice; with a slow body, that of the fault
	operation *contract.Operation // nil until known
	spec      *contract.Operation // what responses are checked against; nil without OnViolation
	body      []byte
	tools     []string // the service's tools that the call may run
	fault     *inject.Injection

	response *response
	record   *record
	held     *share // of what is in flight
}

type callKey struct{}

// callOf returns the call that ServeHTTP began. It panics for a hook that replaced the
// request's context.
func callOf(r *http.Request) *call {
	c, ok := r.Context().Value(callKey{}).(*call)
	if !ok {
		panic("emulator: Intercept passed on a request without its context")
	}
	return c
}

func (c *call) in(ctx context.Context) context.Context { return context.WithValue(ctx, callKey{}, c) }

// begin sends the head of a response, and reports whether its content may follow.
func (c *call) begin(status int) bool {
	if c.fault.Is(fault.LostReply) {
		c.response.cut(true)
		return false
	}
	if c.fault.Is(fault.ContentType) && c.w.Header().Get("Content-Type") != "" {
		c.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	}
	c.w.WriteHeader(status)
	if !c.fault.Is(fault.ResetAfterHeaders) {
		return true
	}
	_ = c.flush() // A client that has gone needs no head.
	c.response.cut(true)
	return false
}

func (c *call) flush() error {
	if err := http.NewResponseController(c.w).Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// sendEvent sends one event of a stream, or what a fault makes of it.
func (e *Emulator) sendEvent(c *call, event any) error {
	ctx := c.r.Context()
	if err := ctx.Err(); err != nil {
		return err
	}
	name, data := wire.Event(event)
	data = e.completer.event(c.operation, data)
	if c.spec != nil {
		e.violations(contract.Default().CheckEvent(string(name), data))
	}
	text, err := c.fault.Event(ctx, string(name), data)
	if errors.Is(err, inject.ErrCut) {
		_ = c.flush() // The head may be all that there is.
		c.response.cut(true)
	}
	if err != nil {
		return err
	}
	if _, err := io.WriteString(c.w, text); err != nil { //nolint:gosec // It is an event stream, not HTML.
		return err
	}
	return c.flush()
}

// response is a ResponseWriter that notes the status, of the emulator's response or a
// hook's.
type response struct {
	http.ResponseWriter
	status  int  // 0 while no response has begun
	aborted bool // whether net/http has to cut the connection
}

// WriteHeader notes the status.
func (w *response) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write notes the status when none was written.
func (w *response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap is for [http.ResponseController].
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// FlushError is for [http.ResponseController].
func (w *response) FlushError() error { return http.NewResponseController(w.ResponseWriter).Flush() }

// Flush and Hijack are for hooks that look for [http.Flusher] and [http.Hijacker].
func (w *response) Flush() { _ = w.FlushError() }

// Hijack takes over the connection, where that is possible.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// cut ends the connection at once, with a reset or orderly.
func (w *response) cut(reset bool) {
	conn, _, err := w.Hijack()
	if err != nil {
		w.aborted = true // net/http has to do it: see ServeHTTP.
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0) // If it fails, the connection is closed nevertheless.
	}
	_ = conn.Close()
}
