package emulator

import (
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/server"
)

// api has the operations. It is not an Emulator, so that they are not in its method set.
type api struct{ *Emulator }

var _ server.ServerInterface = api{}

// ServeHTTP serves one request. What [Config.AllowedHosts] and [Config.AllowedOrigins] do
// not allow is refused first, and neither counted nor recorded. A request that did not come
// through an [http.Server], as in a test with httptest.NewRequest, may also have the Host
// "example.com" or one without a dot.
func (e *Emulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if e.isZero() {
		http.Error(w, errNoEmulator.Error(), http.StatusInternalServerError)
		return
	}
	w, r, ended := limitTime(w, r)
	defer ended()
	if why := e.access.check(r); why != "" {
		control{e: e, w: w}.refuse(http.StatusForbidden, why)
		return
	}
	held := e.inFlight.enter()
	if held == nil {
		control{e: e, w: w}.reply(errBusy.Status, errBusy.Body)
		return
	}
	defer held.leave()
	if e.cfg.Control && strings.HasPrefix(r.URL.Path+"/", controlPath) {
		e.serveControl(w, r)
		return
	}
	c := &call{response: &response{ResponseWriter: w}, record: newRecord(r, e.cfg.Control), held: held}
	e.journal.begin(c.record)
	defer func() { e.journal.end(c.record, c.response.status) }()
	r = r.WithContext(c.in(r.Context()))
	next := http.HandlerFunc(e.serve)
	if e.cfg.Intercept != nil {
		e.cfg.Intercept(c.response, r, next)
	} else {
		next.ServeHTTP(c.response, r)
	}
	if c.response.aborted {
		panic(http.ErrAbortHandler)
	}
}

// maxBody is the number of bytes that the content of a request has at most, maxValues that
// of its values: to report what is wrong with all of them takes kilobytes for each.
const (
	maxBody   = 32 << 20
	maxValues = 1 << 16
)

// The failures of all operations, in the forms that were seen on the wire, the line feed
// included.
var (
	errInvalidKey = &wire.Failure{Status: http.StatusUnauthorized, Body: `{"detail":"Invalid API Key"}` + "\n"}
	errUnreadable = wire.Detail(http.StatusBadRequest, "There was an error parsing the body")
	errSlow       = wire.Detail(http.StatusBadRequest, "The request's content did not come in time")
	errTooLarge   = wire.APIError(http.StatusRequestEntityTooLarge, "Request body is larger than 32 MiB", "invalid_request_error", "3000")
	errTooMany    = wire.APIError(http.StatusRequestEntityTooLarge, fmt.Sprintf("Request body has more than %d values", maxValues), "invalid_request_error", "3000")
	errBusy       = wire.Detail(http.StatusServiceUnavailable, "The emulator is serving as many requests, or as many bytes of them, as it can")
)

// serve does what all operations have in common and passes valid requests on.
func (e *Emulator) serve(w http.ResponseWriter, r *http.Request) {
	c := callOf(r)
	c.w, c.r = w, r
	c.record.RequestID = wire.NewID("")
	w.Header().Set("mistral-correlation-id", c.record.RequestID)
	if refused := e.authorize(r); refused != nil {
		e.fail(c, refused)
		return
	}
	body, refused := c.read()
	if refused != nil {
		e.fail(c, refused)
		return
	}
	c.body = body
	c.record.setBody(body)
	if escaped := r.URL.EscapedPath(); path.Clean(escaped) != escaped {
		e.fail(c, wire.ErrNotFound) // The generated routes would redirect; the service does not.
		return
	}
	var op *contract.Operation
	var found []contract.Violation
	if !c.held.check(r.Context(), func() { op, found = e.contract.CheckRequest(r, body) }) {
		return
	}
	if op == nil {
		e.fail(c, e.unrouted(r))
		return
	}
	c.operation = op
	c.record.Operation = op.ID
	if e.cfg.OnViolation != nil {
		c.spec, _ = contract.Default().Route(r.Method, r.URL.EscapedPath())
	}
	if e.inject(c) {
		return
	}
	if len(found) > 0 {
		e.fail(c, wire.Invalid(found, r, body))
		return
	}
	e.routes.ServeHTTP(w, r)
}

// read returns the content of the request.
func (c *call) read() ([]byte, *wire.Failure) {
	body, err := io.ReadAll(http.MaxBytesReader(c.w, heldBody{c.r.Body, c.held}, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, errTooLarge
	case err == nil && wire.CountValues(body) > maxValues:
		return nil, errTooMany
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, errSlow
	case err != nil && !errors.Is(err, errBusyRead):
		return nil, errUnreadable
	case err != nil || !c.held.hold(wire.Memory(body)-len(body)):
		return nil, errBusy
	}
	return body, nil
}

// keyOf returns the key that a request carries, whatever the scheme.
func keyOf(r *http.Request) string {
	_, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(key)
}

func (e *Emulator) authorize(r *http.Request) *wire.Failure {
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	key := keyOf(r)
	switch {
	case !strings.EqualFold(scheme, "Bearer") || key == "":
		return wire.ErrUnauthorized
	case e.isKey != nil && !e.isKey(key):
		return errInvalidKey
	}
	return nil
}

// unrouted tells an unknown path from an unknown method.
func (e *Emulator) unrouted(r *http.Request) *wire.Failure {
	var allowed []string
	for _, method := range []string{http.MethodDelete, http.MethodGet, http.MethodPatch, http.MethodPost, http.MethodPut} {
		if _, ok := e.contract.Route(method, r.URL.EscapedPath()); ok {
			allowed = append(allowed, method)
		}
	}
	if allowed == nil {
		return wire.ErrNotFound
	}
	return wire.Detail(http.StatusMethodNotAllowed, "Method Not Allowed").With("Allow", strings.Join(allowed, ", "))
}

// admit asks the limits; it responds to the request itself, and returns false, when the
// answer is "no".
func (e *Emulator) admit(c *call, model string, tools []generated.Tool) bool {
	c.tools = wire.ServiceTools(tools)
	refused := e.quota.Admit(e.counted(model), c.tools, c.record.Arrived)
	e.journal.limits(c.record, e.counted(model), refused)
	if refused == nil {
		return true
	}
	e.limitHeaders(c)
	failure := refused.Failure()
	if e.cfg.RetryAfter {
		failure = failure.With("Retry-After", refused.RetryAfter())
	}
	e.fail(c, failure)
	return false
}

// counted returns the name by which a model is counted and recorded. Clients choose the
// names, which stay in memory.
func (e *Emulator) counted(model string) string {
	if _, named := e.cfg.Limits[model]; named {
		return model
	}
	return wire.Truncate(model, MaxRecordedText)
}

// manage admits a call that runs no model, unless it is refused already.
func (e *Emulator) manage(r *http.Request, refused *wire.Failure) (*call, bool) {
	c := callOf(r)
	if refused != nil {
		e.fail(c, refused)
		return c, false
	}
	return c, e.admit(c, NoModel, nil) && e.wait(c) == nil
}

// wait takes the latency of a call.
func (e *Emulator) wait(c *call) error {
	spread := 2*wire.Sample(e.cfg.Seed, MaxFaults, c.record.number) - 1 // Faults have the numbers below.
	return wire.Sleep(c.r.Context(), e.cfg.Latency+time.Duration(spread*float64(e.cfg.LatencySpread)))
}

// found returns only whether there is something.
func found[T any](_ T, missing *wire.Failure) *wire.Failure { return missing }

// answer responds with a failure if there is one, with a body, or with neither: 204, as the
// service does to every DELETE.
func (e *Emulator) answer(c *call, body any, refused *wire.Failure) {
	switch {
	case refused != nil:
		e.fail(c, refused)
	case body == nil:
		e.reply(c, http.StatusNoContent, nil)
	default:
		e.reply(c, http.StatusOK, body)
	}
}

// fail responds with an error.
func (e *Emulator) fail(c *call, f *wire.Failure) {
	for name, values := range f.Header {
		c.w.Header()[name] = values
	}
	e.reply(c, f.Status, f.Body)
}

// reply responds with a JSON body; nil means none, a string is JSON already.
func (e *Emulator) reply(c *call, status int, body any) {
	var data []byte
	switch body := body.(type) {
	case nil:
	case string:
		data = []byte(body)
	default:
		data = wire.Encode(body)
		if status == http.StatusOK {
			data = e.completer.response(c.operation, data)
		}
	}
	header := c.w.Header()
	if body != nil && header.Get("Content-Type") == "" { // An Error may have one.
		header.Set("Content-Type", "application/json")
	}
	if c.spec != nil {
		e.violations(c.spec.CheckResponse(status, header, data))
	}
	if body != nil {
		data = c.fault.Body(data)
		header.Set("Content-Length", strconv.Itoa(len(data)))
	}
	if c.begin(status) {
		if c.fault == nil {
			e.journal.end(c.record, c.response.status)
		}
		_, _ = c.w.Write(data) //nolint:gosec // What a client sent comes back as JSON or text. One that has gone needs no response.
	}
}

func (e *Emulator) violations(found []contract.Violation) {
	for _, v := range found {
		e.cfg.OnViolation(v)
	}
}

// limitHeaders sets the headers that the service sends with conversations that are not
// streamed.
func (e *Emulator) limitHeaders(c *call) {
	if c.record.Model == NoModel || c.record.stream {
		return
	}
	header := c.w.Header()
	e.quota.Headers(header, c.record.Model, c.tools, e.cfg.ChatHeaders)
	if e.cfg.ChatHeaders && c.record.Admitted {
		header.Set("x-ratelimit-tokens-query-cost", strconv.Itoa(c.record.Tokens))
	}
}
