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

func TestListener(t *testing.T) {
	t.Parallel()
	c := new(call)
	log, ctx := slog.New(listener{}), c.in(t.Context())
	log.DebugContext(ctx, "mistral: acquired", "tokens", 7, "waited", time.Second)
	log.DebugContext(ctx, "mistral: no response", "reached", true)
	log.DebugContext(ctx, "mistral: response", "status", 503, "request_id", "a")
	log.DebugContext(ctx, "mistral: retry", "wait", time.Second)
	log.DebugContext(ctx, "mistral: settled", "used", 5, "lost", 7)
	log.DebugContext(ctx, "mistral: cancelled", "estimated", 7)
	log.DebugContext(t.Context(), "mistral: cancelled") // of no call
	want := []attempt{{permit: 1, reached: true}, {permit: 1, status: 503, requestID: "a", reached: true}}
	ends := []end{{permit: 1, used: 5, lost: 7}, {permit: 1, cancelled: true}}
	if !slices.Equal(c.estimates, []int{7}) || !slices.Equal(c.attempts, want) || !slices.Equal(c.ends, ends) {
		t.Errorf("noted %v, %v, %v", c.estimates, c.attempts, c.ends)
	}
}

// A call is reconciled when all three are done with it, and not before.
func TestReconciler(t *testing.T) {
	t.Parallel()
	l := newReconciler(timeout)
	c := plain()
	requests := c.requests
	c.requests = nil
	l.open(c)
	for _, request := range requests {
		serve(l, c.id, request.RequestID)
	}
	l.collect(requests[:1])
	l.returned(c, nil, false)
	c.returned = c.returned.Add(-2 * lateness)
	l.reconcile(false)
	if l.totals.calls != 0 {
		t.Error("it was reconciled before all of its requests had been served")
	}
	l.collect(requests) // the first again
	c.returned = time.Now()
	l.reconcile(false)
	if l.totals.calls != 0 {
		t.Error("it was reconciled at once")
	}
	c.returned = c.returned.Add(-2 * lateness)
	l.reconcile(false)
	if l.totals.calls != 1 || l.totals.requests != 2 || l.totals.whole.client != 30 || len(l.findings) > 0 || len(l.calls)+len(l.requests) > 0 {
		t.Errorf("%+v, %q, %d calls and %d requests left", l.totals, l.findings, len(l.calls), len(l.requests))
	}
}

// serve lets a request of a call pass the reconciler's hook.
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
		want string
		harm func(*reconciler, *call)
	}{
		{"returned twice", func(l *reconciler, c *call) { l.returned(c, nil, false) }},
		{`a request of call "7-7" arrived`, func(l *reconciler, _ *call) { serve(l, "7-7", "x") }},
		{"1 of its requests are not in the record", func(l *reconciler, c *call) { serve(l, c.id, "x") }},
		{"returned: false", func(_ *reconciler, c *call) { c.returned = time.Time{} }},
		{"no type of ours", func(_ *reconciler, c *call) { c.err = errors.New("oh") }},
	} {
		l := newReconciler(timeout)
		c := plain()
		l.open(c)
		l.returned(c, nil, false)
		test.harm(l, c)
		l.reconcile(true)
		if got := strings.Join(l.findings, "\n"); !strings.Contains(got, test.want) || len(l.calls) > 0 {
			t.Errorf("found %q, want %q", got, test.want)
		}
	}
	l := newReconciler(timeout)
	for range mostFindings + 5 {
		l.find("x")
	}
	if len(l.findings) != mostFindings || l.found != mostFindings+5 {
		t.Errorf("%d of %d findings are kept", len(l.findings), l.found)
	}
}

func TestEnds(t *testing.T) {
	t.Parallel()
	limited := &ratelimited.RateLimitError{APIError: &ratelimited.APIError{StatusCode: 429}}
	for want, err := range map[string]error{
		"result": nil, "RateLimitError": fmt.Errorf("%w; and more", limited), "APIError 404": &ratelimited.APIError{StatusCode: 404},
		"WaitError": &ratelimited.WaitError{}, "StreamError": &ratelimited.StreamError{}, "TransportError": &ratelimited.TransportError{},
		"RequestError": &ratelimited.RequestError{}, "*errors.errorString": errors.New("oh"),
	} {
		if got := endOf(err); got != want {
			t.Errorf("%v is %q, want %q", err, got, want)
		}
	}
}

func TestFlat(t *testing.T) {
	t.Parallel()
	level, rising := []float64{5, 50, 50, 55, 52, 50}, []float64{5, 50, 60, 70, 80, 90}
	many := []float64{10, 600, 610, 590, 600, 620}
	for _, test := range []struct {
		resourceStats resourceStats
		want          string
	}{
		{resourceStats{level, many}, ""},
		{resourceStats{rising, many}, "65.0 MiB of heap became 85.0"},
		{resourceStats{level, []float64{10, 600, 700, 800, 900, 1000}}, "750.0 goroutines became 950.0"},
		{resourceStats{level[:2], many[:2]}, "2 samples"},
	} {
		if got := strings.Join(test.resourceStats.flat(), "\n"); (test.want == "") != (got == "") || !strings.Contains(got, test.want) {
			t.Errorf("%v: %q, want %q", test.resourceStats, got, test.want)
		}
	}
}

func TestSettleDown(t *testing.T) {
	t.Parallel()
	if n, stacks := settleDown(0, 0); n == 0 || !strings.Contains(stacks, "TestSettleDown") {
		t.Errorf("%d goroutines, which do %q", n, stacks)
	}
	if _, stacks := settleDown(1_000_000, 0); stacks != "" {
		t.Errorf("too many goroutines: %q", stacks)
	}
}

func TestShelf(t *testing.T) {
	t.Parallel()
	random := rand.New(rand.NewPCG(1, 1))
	s := shelf[string]{most: 2}
	if s.pick(random, "none") != "none" || s.take(random, "none") != "none" {
		t.Error("an empty shelf has something")
	}
	for _, v := range []string{"a", "b", "c"} {
		s.put(v)
	}
	for _, v := range []string{"a", "b", "x"} {
		s.found(v, func(known string) bool { return known == v })
	}
	if !slices.Equal(s.live, []string{"b", "c"}) || !slices.Equal(s.doomed, []string{"a", "x"}) {
		t.Errorf("live are %v, doomed %v", s.live, s.doomed)
	}
	if s.take(random, "") != "x" || s.take(random, "") != "a" {
		t.Error("what is doomed is not taken first")
	}
	if v := s.take(random, ""); v != "b" && v != "c" {
		t.Errorf("took %q, want one of those that live", v)
	}
}

// Nothing is left out: the operations are the client's 23, all are drawn, and the faults
// are of all kinds.
func TestPlan(t *testing.T) {
	t.Parallel()
	methods := reflect.TypeFor[*ratelimited.Conversations]().NumMethod() + reflect.TypeFor[*ratelimited.Agents]().NumMethod()
	methods -= 2 // All of both calls others
	names := map[string]bool{}
	for _, op := range operations {
		names[op.name] = true
	}
	if len(names) != methods {
		t.Errorf("%d operations, want %d", len(names), methods)
	}
	random, drawn := rand.New(rand.NewPCG(1, 1)), map[string]bool{}
	for range 10_000 {
		drawn[pickOperation(random).name] = true
	}
	if len(drawn) != methods {
		t.Errorf("%d operations are drawn, want %d", len(drawn), methods)
	}
	struck := map[emulator.FaultKind]bool{}
	for _, f := range faults() {
		struck[f.Kind] = true
	}
	if want := len(emulator.FaultKinds()) - 1; len(struck) != want || struck[emulator.FaultRefuse] {
		t.Errorf("%d kinds of faults, want %d", len(struck), want)
	}
	emulator.New(emulator.Config{Faults: faults()}) // panics if one makes no sense
}
