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

// A reconciler holds the calls that are not reconciled yet, and sums up those that are.
type reconciler struct {
	timeout time.Duration // of an attempt

	mu       sync.Mutex
	calls    map[string]*call // by id
	requests map[string]*call // by request id, until the emulator's record has it
	totals   totals
	ends     map[string]int // how calls ended
	findings []string
	found    int // more than are kept
}

func newReconciler(timeout time.Duration) *reconciler {
	return &reconciler{timeout: timeout, calls: map[string]*call{}, requests: map[string]*call{}, ends: map[string]int{}}
}

// mostFindings is how many findings are kept to be printed.
const mostFindings = 20

func (l *reconciler) find(format string, args ...any) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.add(fmt.Sprintf(format, args...))
}

// add requires that l.mu is held.
func (l *reconciler) add(findings ...string) {
	l.found += len(findings)
	l.findings = append(l.findings, findings...)
	l.findings = l.findings[:min(len(l.findings), mostFindings)]
}

// open begins a call.
func (l *reconciler) open(c *call) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls[c.id] = c
}

// returned ends a call, for the goroutine that made it.
func (l *reconciler) returned(c *call, err error, ctxEnded bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.returned.IsZero() {
		l.add(fmt.Sprintf("%s %s: returned twice", c.operation, c.id))
	}
	c.returned, c.err, c.ctxEnded = time.Now(), err, ctxEnded
	l.ends[endOf(err)]++
}

// endOf names how a call ended.
func endOf(err error) string {
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

// intercept is the emulator's hook: it notes which call a request is of.
func (l *reconciler) intercept(w http.ResponseWriter, r *http.Request, next http.Handler) {
	id := r.Header.Get(callHeader)
	l.mu.Lock()
	c := l.calls[id]
	if c == nil {
		l.add(fmt.Sprintf("a request of call %q arrived, which is long over, or never was", id))
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

// collect takes from the emulator's record what is new in it. It has to be called
// before [emulator.MaxRecorded] more requests have been served.
func (l *reconciler) collect(record []emulator.Recorded) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, request := range record {
		c := l.requests[request.RequestID]
		if c == nil {
			continue // it was collected before
		}
		delete(l.requests, request.RequestID)
		c.serving--
		c.requests = append(c.requests, request)
	}
}

// lateness is how long after the end of its call a request may still arrive: a
// connection that was closed is read to its end.
const lateness = 20 * time.Second

// reconcile sums up the calls that are over; at last, when nothing can arrive any
// more, all.
func (l *reconciler) reconcile(atLast bool) {
	now := time.Now()
	l.mu.Lock()
	defer l.mu.Unlock()
	for id, c := range l.calls {
		switch {
		case atLast && (c.returned.IsZero() || c.serving != 0):
			l.add(fmt.Sprintf("%s %s: returned: %v; %d of its requests are not in the record", c.operation, c.id, !c.returned.IsZero(), c.serving))
		case !atLast && (c.returned.IsZero() || c.serving != 0 || now.Sub(c.returned) < lateness):
			continue
		}
		sums, findings := reconcile(c, l.timeout)
		l.totals.add(sums)
		l.add(findings...)
		delete(l.calls, id)
	}
}
