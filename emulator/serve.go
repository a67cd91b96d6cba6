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

// api implements the operations. It is a separate type so that they are not methods of
// Emulator.
type api struct{ *Emulator }

var _ server.ServerInterface = api{}

// ServeHTTP serves one request. It first rejects requests that [Config.AllowedHosts] and
// [Config.AllowedOrigins] do not allow, and neither counts nor records them. Requests that
// did not pass through an [http.Server], such as those of httptest.NewRequest, may also have
// the Host "example.com" or one without a dot.
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
	reservation := e.inFlight.start()
	if reservation == nil {
		control{e: e, w: w}.write(errBusy.Status, errBusy.Body)
		return
	}
	defer reservation.finish()
	if e.cfg.Control && strings.HasPrefix(r.URL.Path+"/", controlPath) {
		e.serveControl(w, r)
		return
	}
	c := &call{response: &response{ResponseWriter: w}, record: newRecord(r, e.cfg.Control), reservation: reservation}
	e.log.begin(c.record)
	defer func() { e.log.end(c.record, c.response.status) }()
	r = r.WithContext(c.contextWith(r.Context()))
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

// maxBody is the maximum size of a request's content in bytes. maxValues is the maximum
// number of its JSON values; an error report needs kilobytes of memory for each value.
const (
	maxBody   = 32 << 20
	maxValues = 1 << 16
)

// The failures common to all operations. Their bodies match the responses of the real API,
// including the line feed.
var (
	errInvalidKey = &wire.Failure{Status: http.StatusUnauthorized, Body: `{"detail":"Invalid API Key"}` + "\n"}
	errUnreadable = wire.Detail(http.StatusBadRequest, "There was an error parsing the body")
	errSlow       = wire.Detail(http.StatusBadRequest, "The request's content did not arrive in time")
	errTooLarge   = wire.APIError(http.StatusRequestEntityTooLarge, "Request body is larger than 32 MiB", "invalid_request_error", "3000")
	errTooMany    = wire.APIError(http.StatusRequestEntityTooLarge, fmt.Sprintf("Request body has more than %d values", maxValues), "invalid_request_error", "3000")
	errBusy       = wire.Detail(http.StatusServiceUnavailable, "The emulator has reached its maximum number or size of requests in flight")
)

// serve performs the steps common to all operations and routes valid requests.
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
		e.fail(c, wire.ErrNotFound) // The generated routes would redirect; the real API does not.
		return
	}
	var op *contract.Operation
	var found []contract.Violation
	if !c.reservation.check(r.Context(), func() { op, found = e.contract.CheckRequest(r, body) }) {
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

// read reads the content of the request.
func (c *call) read() ([]byte, *wire.Failure) {
	body, err := io.ReadAll(http.MaxBytesReader(c.w, reservingBody{c.r.Body, c.reservation}, maxBody))
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
	case err != nil || !c.reservation.reserve(wire.Memory(body)-len(body)):
		return nil, errBusy
	}
	return body, nil
}

// keyOf returns the key that a request carries, for any authentication scheme.
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

// unrouted returns 404 for an unknown path and 405 for a method that the path does not have.
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

// admit applies the rate limits. If they refuse the call, it responds and returns false.
func (e *Emulator) admit(c *call, model string, tools []generated.Tool) bool {
	c.tools = wire.ServiceTools(tools)
	refused := e.quota.Admit(e.countedName(model), c.tools, c.record.Arrived)
	e.log.limits(c.record, e.countedName(model), refused)
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

// countedName returns the name under which a model is counted and recorded. It truncates
// names that the configuration does not contain, because clients choose them and they stay
// in memory.
func (e *Emulator) countedName(model string) string {
	if _, named := e.cfg.Limits[model]; named {
		return model
	}
	return wire.Truncate(model, MaxRecordedText)
}

// admitWithoutModel admits a call that does not run a model, and waits for its latency. If refused is
// set, it responds with that failure. It returns false if it has responded.
func (e *Emulator) admitWithoutModel(r *http.Request, refused *wire.Failure) (*call, bool) {
	c := callOf(r)
	if refused != nil {
		e.fail(c, refused)
		return c, false
	}
	return c, e.admit(c, NoModel, nil) && e.wait(c) == nil
}

// wait waits for the latency of a call.
func (e *Emulator) wait(c *call) error {
	spread := 2*wire.Sample(e.cfg.Seed, MaxFaults, c.record.number) - 1 // Streams 0 to MaxFaults-1 belong to faults.
	return wire.Sleep(c.r.Context(), e.cfg.Latency+time.Duration(spread*float64(e.cfg.LatencySpread)))
}

// failureOf returns the failure of a lookup.
func failureOf[T any](_ T, missing *wire.Failure) *wire.Failure { return missing }

// respond responds with the failure if refused is set, otherwise with body. A nil body is
// status 204, which the real API returns for every DELETE.
func (e *Emulator) respond(c *call, body any, refused *wire.Failure) {
	switch {
	case refused != nil:
		e.fail(c, refused)
	case body == nil:
		e.write(c, http.StatusNoContent, nil)
	default:
		e.write(c, http.StatusOK, body)
	}
}

// fail responds with an error.
func (e *Emulator) fail(c *call, f *wire.Failure) {
	for name, values := range f.Header {
		c.w.Header()[name] = values
	}
	e.write(c, f.Status, f.Body)
}

// write responds with a body: nil sends no content, a string is sent unchanged, and
// other values are encoded as JSON.
func (e *Emulator) write(c *call, status int, body any) {
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
	if body != nil && header.Get("Content-Type") == "" { // An Error may have set it.
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
			e.log.end(c.record, c.response.status)
		}
		_, _ = c.w.Write(data) //nolint:gosec // The content is JSON or text, not HTML. An error means that the client has disconnected.
	}
}

func (e *Emulator) violations(found []contract.Violation) {
	for _, v := range found {
		e.cfg.OnViolation(v)
	}
}

// limitHeaders sets the rate limit headers, which the real API sends only with plain
// conversation responses.
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
