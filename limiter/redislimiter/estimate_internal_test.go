package redislimiter

import (
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// While an answer is missing, Redis may have admitted the call with the estimate that it was asked
// for: a new one is not taken. It is once the answer has come.
func TestEstimateWhileAnAnswerIsMissing(t *testing.T) {
	l := &Limiter{closed: true} // tells nobody
	l.limit.TokenBurst = 1000
	call := limiter.Call{Prompt: 500, Estimate: func() (prompt, reply int) { return 700, 0 }}
	w := &waiter{permit: &Permit{tokens: 500}, call: call, tokens: 500, ready: make(chan struct{})}
	w.estimate = newEstimate(time.Now().Add(-freshness), call)
	l.queue.push(w)
	w.askedAt = time.Now()
	if w.isStale() {
		t.Error("a call is to be estimated again while an answer is missing")
	}
	w.estimate.ask() // as for a lower limit
	again := call
	again.Prompt = 700
	l.revise(w, again, nil)
	if w.tokens != 500 || w.permit.tokens != 500 || l.queue.tokens != 500 {
		t.Errorf("Redis was asked for 500 tokens; the waiter has %d, its permit %d, the queue %d", w.tokens, w.permit.tokens, l.queue.tokens)
	}
	<-w.estimate.asks
	w.askedAt, w.estimate.at = time.Time{}, time.Now().Add(-freshness)
	first, second := w.isStale(), w.isStale()
	if !first || !second || len(w.estimate.asks) != 1 {
		t.Error("a call whose answer has come is to be estimated again, and asked once")
	}
	l.revise(w, again, nil)
	if w.isStale() || w.tokens != 700 || w.permit.tokens != 700 || l.queue.tokens != 700 {
		t.Errorf("estimated at 700 tokens; the waiter has %d, its permit %d, the queue %d", w.tokens, w.permit.tokens, l.queue.tokens)
	}
}
