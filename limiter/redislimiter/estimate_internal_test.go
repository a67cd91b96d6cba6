package redislimiter

import (
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// While a response is missing, Redis may have admitted the call with the old estimate: the limiter
// ignores a new one. After the response it applies a new estimate.
func TestEstimateIsKeptWhileAResponseIsMissing(t *testing.T) {
	l := &Limiter{closed: true} // sends no commands
	l.limit.TokenBurst = 1000
	call := limiter.Call{Prompt: 500, Estimate: func() (prompt, reply int) { return 700, 0 }}
	w := &waiter{permit: &Permit{tokens: 500}, call: call, tokens: 500, ready: make(chan struct{})}
	w.estimate = newEstimate(time.Now().Add(-maxEstimateAge), call)
	l.queue.push(w)
	w.requestedAt = time.Now()
	if w.isStale() {
		t.Error("the estimate is stale while a response is missing")
	}
	w.estimate.request() // as after a lower limit
	revised := call
	revised.Prompt = 700
	l.revise(w, revised, nil)
	if w.tokens != 500 || w.permit.tokens != 500 || l.queue.tokens != 500 {
		t.Errorf("after a command for 500 tokens, the waiter has %d, its permit %d, the queue %d", w.tokens, w.permit.tokens, l.queue.tokens)
	}
	<-w.estimate.requests
	w.requestedAt, w.estimate.at = time.Time{}, time.Now().Add(-maxEstimateAge)
	first, second := w.isStale(), w.isStale()
	if !first || !second || len(w.estimate.requests) != 1 {
		t.Errorf("after the response: stale %v and %v, with %d requests for an estimate, want true, true and 1", first, second, len(w.estimate.requests))
	}
	l.revise(w, revised, nil)
	if w.isStale() || w.tokens != 700 || w.permit.tokens != 700 || l.queue.tokens != 700 {
		t.Errorf("after an estimate of 700 tokens, the waiter has %d, its permit %d, the queue %d", w.tokens, w.permit.tokens, l.queue.tokens)
	}
}
