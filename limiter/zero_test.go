package limiter_test

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// The methods of a limiter that was not made by New return an error or a zero value.
func TestZeroLimiter(t *testing.T) {
	t.Parallel()
	for _, l := range []*limiter.Limiter{nil, new(limiter.Limiter)} {
		_, err := l.Acquire(t.Context(), 0)
		errs := map[string]error{"Acquire": err, "SetLimit": l.SetLimit(limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 1})}
		for name, err := range errs {
			if err == nil || !strings.Contains(err.Error(), "limiter.New") {
				t.Errorf("%s returns %v", name, err)
			}
		}
		l.Pause(time.Now().Add(time.Hour))
		l.Observe(limiter.ServerState{})
		equal(t, "WaitTime", l.WaitTime(0), limiter.Never)
		equal(t, "Limit", l.Limit(), limiter.Limit{})
		equal(t, "Snapshot", l.Snapshot(), limiter.Snapshot{})
	}
}

// Nil and zero arguments cause an error or are ignored.
func TestNilArguments(t *testing.T) {
	t.Parallel()
	limit := limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 100}
	if _, err := limiter.New(limit, nil); err == nil || !strings.Contains(err.Error(), "options[0]") {
		t.Errorf("New with a nil option returns %v", err)
	}
	l, err := limiter.New(limit, limiter.Backoff(nil))
	if err != nil {
		t.Fatal(err)
	}
	var none context.Context
	if _, err := l.Acquire(none, 1); err == nil || !strings.Contains(err.Error(), "context") {
		t.Errorf("Acquire without a context returns %v", err)
	}
	p, err := l.Acquire(t.Context(), 1)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Retry(none); err == nil || !strings.Contains(err.Error(), "context") {
		t.Errorf("Retry without a context returns %v", err)
	}
	if d := p.Throttled(limiter.Throttle{}); d < time.Second {
		t.Errorf("the default backoff pauses for %v", d)
	}
	p.Settle(1)
	for _, p := range []*limiter.Permit{nil, {}} {
		p.Sent()
		p.ReturnRequest()
		p.Cancel()
		p.Settle(1)
		equal(t, "Retry", p.Retry(t.Context()), limiter.ErrFinished)
		equal(t, "results of the other methods", p.WaitDuration()+p.Throttled(limiter.Throttle{})+time.Duration(p.Tokens()), 0)
	}
	for _, g := range []*limiter.Group{nil, {}} {
		if err := g.Set("", limit); err == nil || !strings.Contains(err.Error(), "NewGroup") {
			t.Errorf("Set returns %v", err)
		}
		equal(t, "Snapshot", len(g.Snapshot()), 0)
	}
	equal(t, "before the first failure", limiter.ExponentialBackoff(time.Second, time.Minute)(-1), time.Second)
}
