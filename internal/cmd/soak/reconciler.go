package main

import (
	"errors"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// reconciler holds the calls that are not reconciled yet, and the totals of the others.
type reconciler struct {
	timeout time.Duration // The timeout of an attempt.

	mu       sync.Mutex
	calls    map[string]*call // The calls by id.
	requests map[string]*call // The calls by request id, until the emulator's request log has the request.
	totals   totals
	ends     map[string]int // The number of calls by outcome.
	findings []string       // The first maxFindings findings.
	found    int            // The number of all findings.
}

func newReconciler(timeout time.Duration) *reconciler {
	return &reconciler{timeout: timeout, calls: map[string]*call{}, requests: map[string]*call{}, ends: map[string]int{}}
}

// maxFindings is the maximum number of stored findings.
const maxFindings = 20

func (l *reconciler) find(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.add(fmt.Sprintf(format, args...))
}

// add adds findings. l.mu must be held.
func (l *reconciler) add(findings ...string) {
	l.found += len(findings)
	l.findings = append(l.findings, findings...)
	l.findings = l.findings[:min(len(l.findings), maxFindings)]
}

// open adds a call.
func (l *reconciler) open(c *call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls[c.id] = c
}

// returned records that a call has returned.
func (l *reconciler) returned(c *call, err error, ctxEnded bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.returned.IsZero() {
		l.add(fmt.Sprintf("%s %s: returned twice", c.operation, c.id))
	}
	c.returned, c.err, c.ctxEnded = time.Now(), err, ctxEnded
	l.ends[outcomeOf(err)]++
}

// outcomeOf returns a name for the outcome of a call.
func outcomeOf(err error) string {
	var api *ratelimited.APIError
	switch {
	case err == nil:
		return "result"
	case errors.As(err, new(*ratelimited.WaitError)):
		return "WaitError"
	case errors.As(err, new(*ratelimited.RateLimitError)):
		return "RateLimitError"
	case errors.As(err, &api):
		return fmt.Sprintf("APIError %d", api.StatusCode)
	case errors.As(err, new(*ratelimited.TransportError)):
		return "TransportError"
	case errors.As(err, new(*ratelimited.StreamError)):
		return "StreamError"
	case errors.As(err, new(*ratelimited.RequestError)):
		return "RequestError"
	default:
		return fmt.Sprintf("%T", err)
	}
}

// intercept is the emulator's hook. It records the call of each request.
func (l *reconciler) intercept(w http.ResponseWriter, r *http.Request, next http.Handler) {
	id := r.Header.Get(callHeader)
	l.mu.Lock()
	c := l.calls[id]
	if c == nil {
		l.add(fmt.Sprintf("a request arrived for call %q, which does not exist or ended long ago", id))
	} else {
		c.serving++
	}
	l.mu.Unlock()
	next.ServeHTTP(w, r)
	if c == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.requests[w.Header().Get("Mistral-Correlation-Id")] = c
}

// collect takes the new requests from the emulator's request log. Call it again before the emulator
// has served [emulator.MaxRecorded] more requests.
func (l *reconciler) collect(log []emulator.Recorded) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, request := range log {
		c := l.requests[request.RequestID]
		if c == nil {
			continue // collected before
		}
		delete(l.requests, request.RequestID)
		c.serving--
		c.requests = append(c.requests, request)
	}
}

// maxArrivalDelay is how long after the end of its call a request may arrive: the emulator reads a
// closed connection to its end.
const maxArrivalDelay = 20 * time.Second

// reconcile adds the calls that have ended to the totals. The final run, when no more requests can
// arrive, includes all calls.
func (l *reconciler) reconcile(final bool) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, c := range l.calls {
		switch {
		case final && (c.returned.IsZero() || c.serving != 0):
			l.add(fmt.Sprintf("%s %s: returned: %v; %d of its requests are not in the emulator's log", c.operation, c.id, !c.returned.IsZero(), c.serving))
		case !final && (c.returned.IsZero() || c.serving != 0 || now.Sub(c.returned) < maxArrivalDelay):
			continue
		}
		sums, findings := reconcile(c, l.timeout)
		l.totals.add(sums)
		l.add(findings...)
		delete(l.calls, id)
	}
}
