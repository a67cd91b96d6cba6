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

// call is a request in flight. Only the goroutine that serves the request uses it.
type call struct {
	r         *http.Request
	w         http.ResponseWriter // from Config.Intercept; with a slow body, from the fault
	operation *contract.Operation // nil until known
	spec      *contract.Operation // validates responses; nil without OnViolation
	body      []byte
	tools     []string // the service's tools that the call may run
	fault     *inject.Injection

	response    *response
	record      *record
	reservation *reservation
}

type callKey struct{}

// callOf returns the call of a request. It panics if Config.Intercept has replaced the
// request's context.
func callOf(r *http.Request) *call {
	c, ok := r.Context().Value(callKey{}).(*call)
	if !ok {
		panic("emulator: Intercept passed on a request without its context")
	}
	return c
}

func (c *call) contextWith(ctx context.Context) context.Context {
	return context.WithValue(ctx, callKey{}, c)
}

// begin sends the header of a response, and reports whether the content may follow. It
// returns false if a fault has closed the connection.
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
	_ = c.flush() // An error means that the client has disconnected.
	c.response.cut(true)
	return false
}

func (c *call) flush() error {
	if err := http.NewResponseController(c.w).Flush(); err != nil && !errors.Is(err, http.ErrNotSupported) {
		return err
	}
	return nil
}

// sendEvent sends one event of a stream, changed by the fault of the call.
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
		_ = c.flush() // Only the header may have been written.
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

// response is a ResponseWriter that records the status. The emulator or Config.Intercept
// sets it.
type response struct {
	http.ResponseWriter
	status  int  // 0 while no response has begun
	aborted bool // whether ServeHTTP must have net/http close the connection
}

// WriteHeader records the status.
func (w *response) WriteHeader(status int) {
	if w.status == 0 && status >= http.StatusOK {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write records status 200 if WriteHeader was not called.
func (w *response) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(p)
}

// Unwrap supports [http.ResponseController].
func (w *response) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// FlushError supports [http.ResponseController].
func (w *response) FlushError() error { return http.NewResponseController(w.ResponseWriter).Flush() }

// Flush implements [http.Flusher] for Config.Intercept.
func (w *response) Flush() { _ = w.FlushError() }

// Hijack implements [http.Hijacker] for Config.Intercept. It fails if the connection does
// not support it.
func (w *response) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	return http.NewResponseController(w.ResponseWriter).Hijack()
}

// cut closes the connection immediately. If reset is true, it sends a TCP RST.
func (w *response) cut(reset bool) {
	conn, _, err := w.Hijack()
	if err != nil {
		w.aborted = true
		return
	}
	if tcp, ok := conn.(*net.TCPConn); ok && reset {
		_ = tcp.SetLinger(0) // If it fails, the connection still closes.
	}
	_ = conn.Close()
}
