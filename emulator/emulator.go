package emulator

import (
	"context"
	"errors"
	"io"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/server"
)

// Emulator is the API as an [http.Handler]. It is safe for concurrent use. Make one
// with [New]. The zero value responds to each request with status 500 and the reason.
type Emulator struct {
	cfg      Config            // without its key
	isKey    func(string) bool // a function, as no printer looks into one; nil takes any key
	access   access
	contract *contract.Contract
	routes   http.Handler
	gate     *gate
	plan     *plan
	journal  *journal
	store    *store
	inFlight *inFlight
	door     *door // nil where the listener is another's
}

// New returns an emulator. It panics when a field of the configuration makes no
// sense, and for [FaultRefuse]; [Start] returns the former as an error, and can do the
// latter.
func New(cfg Config) *Emulator {
	err := cfg.validate()
	if err == nil {
		err = (*door)(nil).fit(cfg.Faults)
	}
	if err != nil {
		panic(err)
	}
	return newEmulator(cfg, nil)
}

// newEmulator is New for a configuration that is right.
func newEmulator(cfg Config, door *door) *Emulator {
	cfg.Faults = slices.Clone(cfg.Faults) // Reset returns to them.
	if cfg.Model == nil {
		cfg.Model = DefaultModel
	}
	isKey := cfg.redact()
	e := &Emulator{
		cfg:      cfg,
		isKey:    isKey,
		access:   newAccess(cfg, door.names()...),
		contract: contract.Lenient(),
		gate:     newGate(cfg),
		plan:     newPlan(cfg),
		journal:  newJournal(),
		store:    newStore(),
		inFlight: newInFlight(),
		door:     door,
	}
	e.routes = server.HandlerWithOptions(api{e}, server.StdHTTPServerOptions{
		ErrorHandlerFunc: func(_ http.ResponseWriter, r *http.Request, err error) {
			unprocessable(err).write(e, exchangeOf(r))
		},
	})
	return e
}

// api has the operations; it is no Emulator so that they are not in its method set.
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
		control{e: e, w: w}.reply(errBusy.status, errBusy.body)
		return
	}
	defer held.leave()
	if e.cfg.Control && strings.HasPrefix(r.URL.Path+"/", controlPath) {
		e.serveControl(w, r)
		return
	}
	x := &exchange{
		ResponseWriter: w, method: r.Method, path: r.URL.Path, escapedPath: r.URL.EscapedPath(), query: r.URL.RawQuery,
		key: keyOf(r), records: e.cfg.Control, arrived: time.Now(), held: held,
	}
	e.journal.begin()
	defer e.journal.end(x)
	r = r.WithContext(x.in(r.Context()))
	next := http.HandlerFunc(e.serve)
	if e.cfg.Intercept != nil {
		e.cfg.Intercept(x, r, next)
	} else {
		next.ServeHTTP(x, r)
	}
	if x.aborted {
		panic(http.ErrAbortHandler)
	}
}

// maxBody is the most bytes that a request's body may have.
const maxBody = 32 << 20

// serve does what all operations have in common and hands on what passes.
func (e *Emulator) serve(w http.ResponseWriter, r *http.Request) {
	x := exchangeOf(r)
	x.out = w
	x.id = newID("")
	w.Header().Set("mistral-correlation-id", x.id)
	if refused := e.authorize(r); refused != nil {
		refused.write(e, x)
		return
	}
	body, refused := x.read(r.Body)
	if refused != nil {
		refused.write(e, x)
		return
	}
	x.body = body
	if escaped := r.URL.EscapedPath(); path.Clean(escaped) != escaped {
		errNotFound.write(e, x) // The generated routes would redirect; the service does not.
		return
	}
	var op *contract.Operation
	var found []contract.Violation
	if !x.held.check(r.Context(), func() { op, found = e.contract.CheckRequest(r, body) }) {
		return
	}
	if op == nil {
		e.unrouted(r).write(e, x)
		return
	}
	x.operation = op
	if e.cfg.OnViolation != nil {
		x.law, _ = contract.Default().Route(r.Method, r.URL.EscapedPath())
	}
	if e.strike(x, r) {
		return
	}
	if len(found) > 0 {
		invalid(found, r, body).write(e, x)
		return
	}
	e.routes.ServeHTTP(w, r)
}

// read returns the content of a request.
func (x *exchange) read(content io.ReadCloser) ([]byte, *failure) {
	body, err := io.ReadAll(http.MaxBytesReader(x.out, heldBody{content, x.held}, maxBody))
	var large *http.MaxBytesError
	switch {
	case errors.As(err, &large):
		return nil, errTooLarge
	case err == nil && valuesIn(body) > maxValues:
		return nil, errTooMany
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, errSlow
	case err != nil && !errors.Is(err, errBusyRead):
		return nil, errUnreadable
	case err != nil || !x.held.hold(memoryOf(body)-len(body)):
		return nil, errBusy
	}
	return body, nil
}

// keyOf returns the key that a request carries, whatever the scheme.
func keyOf(r *http.Request) string {
	_, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	return strings.TrimSpace(key)
}

func (e *Emulator) authorize(r *http.Request) *failure {
	scheme, _, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	key := keyOf(r)
	switch {
	case !strings.EqualFold(scheme, "Bearer") || key == "":
		return errUnauthorized
	case e.isKey != nil && !e.isKey(key):
		return errInvalidKey
	}
	return nil
}

// unrouted tells an unknown path from an unknown method.
func (e *Emulator) unrouted(r *http.Request) *failure {
	var allowed []string
	for _, method := range []string{http.MethodDelete, http.MethodGet, http.MethodPatch, http.MethodPost, http.MethodPut} {
		if _, ok := e.contract.Route(method, r.URL.EscapedPath()); ok {
			allowed = append(allowed, method)
		}
	}
	if allowed == nil {
		return errNotFound
	}
	refused := detail(http.StatusMethodNotAllowed, "Method Not Allowed")
	refused.header = http.Header{"Allow": {strings.Join(allowed, ", ")}}
	return refused
}

// admit asks the gate; it answers the request itself, and returns false, when the
// answer is no.
func (e *Emulator) admit(x *exchange, model string, tools []generated.Tool) bool {
	x.model, x.judged, x.tools = e.counted(model), true, toolNames(tools)
	x.refused = e.gate.admit(x.model, x.tools, x.arrived)
	e.journal.judge(x)
	if x.refused == nil {
		return true
	}
	e.limitHeaders(x)
	tooMany(x.refused, e.cfg.RetryAfter).write(e, x)
	return false
}

// counted returns the name by which a model is counted and recorded. Names are the
// client's to choose, and stay in memory.
func (e *Emulator) counted(model string) string {
	if _, named := e.cfg.Limits[model]; named {
		return model
	}
	return cut(model, MaxRecordedText)
}

// manage admits a call that runs no model.
func (e *Emulator) manage(r *http.Request) (*exchange, bool) {
	x := exchangeOf(r)
	if !e.admit(x, NoModel, nil) {
		return x, false
	}
	return x, sleep(r.Context(), e.cfg.Latency) == nil
}

// sleep waits, but not for one that has gone.
func sleep(ctx context.Context, d time.Duration) error {
	if d <= 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return ctx.Err()
	case <-ctx.Done():
		return ctx.Err()
	}
}
