package main

import (
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

func TestLogHandler(t *testing.T) {
	t.Parallel()
	c := new(call)
	log, ctx := slog.New(logHandler{}), c.withContext(t.Context())
	log.DebugContext(ctx, "mistral: acquired", "tokens", 7, "waited", time.Second)
	log.DebugContext(ctx, "mistral: no response", "reached", true)
	log.DebugContext(ctx, "mistral: response", "status", 503, "request_id", "a")
	log.DebugContext(ctx, "mistral: retry", "wait", time.Second)
	log.DebugContext(ctx, "mistral: settled", "used", 5, "lost", 7)
	log.DebugContext(ctx, "mistral: cancelled", "estimated", 7)
	log.DebugContext(t.Context(), "mistral: cancelled") // a context without a call
	want := []attempt{{permit: 1, reached: true}, {permit: 1, status: 503, requestID: "a", reached: true}}
	ends := []end{{permit: 1, used: 5, lost: 7}, {permit: 1, cancelled: true}}
	if !slices.Equal(c.estimates, []int{7}) || !slices.Equal(c.attempts, want) || !slices.Equal(c.ends, ends) {
		t.Errorf("recorded %v, %v, %v, want [7], %v, %v", c.estimates, c.attempts, c.ends, want, ends)
	}
}

// A call is reconciled after it has ended in all three sources.
func TestReconciler(t *testing.T) {
	t.Parallel()
	l := newReconciler(timeout)
	c := plainCall()
	requests := c.requests
	c.requests = nil
	l.open(c)
	for _, request := range requests {
		serve(l, c.id, request.RequestID)
	}
	l.collect(requests[:1])
	l.returned(c, nil, false)
	c.returned = c.returned.Add(-2 * maxArrivalDelay)
	l.reconcile(false)
	if l.totals.calls != 0 {
		t.Error("the call was reconciled before all its requests were served")
	}
	l.collect(requests) // includes the first request again
	c.returned = time.Now()
	l.reconcile(false)
	if l.totals.calls != 0 {
		t.Error("the call was reconciled before maxArrivalDelay had passed")
	}
	c.returned = c.returned.Add(-2 * maxArrivalDelay)
	l.reconcile(false)
	if l.totals.calls != 1 || l.totals.requests != 2 || l.totals.complete.client != 30 || len(l.findings) > 0 || len(l.calls)+len(l.requests) > 0 {
		t.Errorf("totals %+v, findings %q, %d calls and %d requests left, want 1 call, 2 requests, 30 tokens and nothing left", l.totals, l.findings, len(l.calls), len(l.requests))
	}
}

// serve passes a request of a call through the reconciler's hook.
func serve(l *reconciler, call, id string) {
	r := httptest.NewRequest(http.MethodGet, "/", nil)
	r.Header.Set(callHeader, call)
	l.intercept(httptest.NewRecorder(), r, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("mistral-correlation-id", id)
	}))
}

func TestReconcilerFinds(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		want   string
		change func(*reconciler, *call)
	}{
		{"returned twice", func(l *reconciler, c *call) { l.returned(c, nil, false) }},
		{`a request arrived for call "7-7"`, func(l *reconciler, _ *call) { serve(l, "7-7", "x") }},
		{"1 of its requests are not in the emulator's log", func(l *reconciler, c *call) { serve(l, c.id, "x") }},
		{"returned: false", func(_ *reconciler, c *call) { c.returned = time.Time{} }},
		{"not a ratelimited.Error", func(_ *reconciler, c *call) { c.err = errors.New("oh") }},
	} {
		l := newReconciler(timeout)
		c := plainCall()
		l.open(c)
		l.returned(c, nil, false)
		test.change(l, c)
		l.reconcile(true)
		if got := strings.Join(l.findings, "\n"); !strings.Contains(got, test.want) || len(l.calls) > 0 {
			t.Errorf("found %q, want %q", got, test.want)
		}
	}
	l := newReconciler(timeout)
	for range maxFindings + 5 {
		l.find("x")
	}
	if len(l.findings) != maxFindings || l.found != maxFindings+5 {
		t.Errorf("%d of %d findings are stored, want %d of %d", len(l.findings), l.found, maxFindings, maxFindings+5)
	}
}

func TestOutcomeOf(t *testing.T) {
	t.Parallel()
	limited := &ratelimited.RateLimitError{APIError: &ratelimited.APIError{StatusCode: 429}}
	for want, err := range map[string]error{
		"result": nil, "RateLimitError": fmt.Errorf("%w; and more", limited), "APIError 404": &ratelimited.APIError{StatusCode: 404},
		"WaitError": &ratelimited.WaitError{}, "StreamError": &ratelimited.StreamError{}, "TransportError": &ratelimited.TransportError{},
		"RequestError": &ratelimited.RequestError{}, "*errors.errorString": errors.New("oh"),
	} {
		if got := outcomeOf(err); got != want {
			t.Errorf("the outcome of %v is %q, want %q", err, got, want)
		}
	}
}

func TestGrowth(t *testing.T) {
	t.Parallel()
	constant, rising := []float64{5, 50, 50, 55, 52, 50}, []float64{5, 50, 60, 70, 80, 90}
	many := []float64{10, 600, 610, 590, 600, 620}
	for _, test := range []struct {
		resourceStats resourceStats
		want          string
	}{
		{resourceStats{constant, many}, ""},
		{resourceStats{rising, many}, "65.0 MiB of heap became 85.0"},
		{resourceStats{constant, []float64{10, 600, 700, 800, 900, 1000}}, "750.0 goroutines became 950.0"},
		{resourceStats{constant[:2], many[:2]}, "2 samples"},
	} {
		if got := strings.Join(test.resourceStats.growth(), "\n"); (test.want == "") != (got == "") || !strings.Contains(got, test.want) {
			t.Errorf("growth of %v is %q, want %q", test.resourceStats, got, test.want)
		}
	}
}

func TestAwaitGoroutines(t *testing.T) {
	t.Parallel()
	if n, stacks := awaitGoroutines(0, 0); n == 0 || !strings.Contains(stacks, "TestAwaitGoroutines") {
		t.Errorf("%d goroutines with the stacks %q, want this test among them", n, stacks)
	}
	if _, stacks := awaitGoroutines(1_000_000, 0); stacks != "" {
		t.Errorf("awaitGoroutines(1000000) returns the stacks %q, want none", stacks)
	}
}

func TestBoundedList(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 1))
	s := boundedList[string]{capacity: 2}
	if s.pick(random, "none") != "none" || s.take(random, "none") != "none" {
		t.Error("an empty list returns an element")
	}
	for _, v := range []string{"a", "b", "c"} {
		s.put(v)
	}
	for _, v := range []string{"a", "b", "x"} {
		s.addUnknown(v, func(known string) bool { return known == v })
	}
	if !slices.Equal(s.live, []string{"b", "c"}) || !slices.Equal(s.expired, []string{"a", "x"}) {
		t.Errorf("live are %v and expired are %v, want [b c] and [a x]", s.live, s.expired)
	}
	if s.take(random, "") != "x" || s.take(random, "") != "a" {
		t.Error("take does not return the expired elements first")
	}
	if v := s.take(random, ""); v != "b" && v != "c" {
		t.Errorf("take returns %q, want b or c", v)
	}
}

// The test covers everything: the client's 23 operations, which are all picked, and all kinds of
// faults.
func TestPlan(t *testing.T) {
	t.Parallel()
	methods := reflect.TypeFor[*ratelimited.Conversations]().NumMethod() + reflect.TypeFor[*ratelimited.Agents]().NumMethod()
	methods -= 2 // the two All methods call other methods
	names := map[string]bool{}
	for _, op := range operations {
		names[op.name] = true
	}
	if len(names) != methods {
		t.Errorf("%d operations, want %d", len(names), methods)
	}
	random, picked := rand.New(rand.NewPCG(1, 1)), map[string]bool{}
	for range 10_000 {
		picked[pickOperation(random).name] = true
	}
	if len(picked) != methods {
		t.Errorf("%d operations are picked, want %d", len(picked), methods)
	}
	injected := map[emulator.FaultKind]bool{}
	for _, f := range faults() {
		injected[f.Kind] = true
	}
	if want := len(emulator.FaultKinds()) - 1; len(injected) != want || injected[emulator.FaultRefuse] {
		t.Errorf("%d kinds of faults, want %d", len(injected), want)
	}
	emulator.New(emulator.Config{Faults: faults()}) // panics if a fault is invalid
}
