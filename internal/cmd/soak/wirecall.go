package main

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/http/httptrace"
	"strings"
	"sync"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/faultproxy"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// wireCall is one call through the fault proxy.
type wireCall struct {
	call // Its id is a [faultproxy.CallID].

	mu   sync.Mutex
	seen wireEvents
}

// wireEvents counts the observer's events of a call and the transport's connections.
type wireEvents struct {
	began, acquired, settled, ended int // The numbers of these events.
	estimates, used, lost           int // Tokens.
	attempts                        int
	unsent                          int   // The attempts that the server cannot have received.
	unanswered                      int   // The attempts without a response that the server may have received.
	conns                           int   // The connections that the transport used, one for each written request.
	err                             error // The error of the last event.
}

func (c *wireCall) events() wireEvents {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.seen
}

// observe is the client's observer.
func (w *wire) observe(ctx context.Context, operation string) (context.Context, func(ratelimited.CallEvent)) {
	c, ok := ctx.Value(callKey{}).(*wireCall)
	if !ok {
		w.reconciler.find("the observer was called for %s with a context without a call", operation)
		return ctx, nil
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seen.began++
	return ctx, c.receive
}

func (c *wireCall) receive(event ratelimited.CallEvent) {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := &c.seen
	switch e := event.(type) {
	case ratelimited.Acquired:
		s.acquired++
		s.estimates += e.Tokens
	case ratelimited.Attempted:
		s.attempts++
		switch {
		case !e.Reached:
			s.unsent++
		case e.Status == 0:
			s.unanswered++
		}
	case ratelimited.Settled:
		s.settled++
		s.used, s.lost = s.used+e.Used, s.lost+e.UnconfirmedTokens
	case ratelimited.Ended:
		s.ended++
		s.err = e.Err
	}
}

// scenario is how a call's context ends and whether its stream is read.
type scenario int

const (
	cancelled scenario = iota // The context is cancelled after some time.
	expires                   // The context has a deadline.
	abandoned                 // The stream is neither read nor closed, and the context ends.
	dropped                   // The stream is neither read nor closed, and the context does not end.
	normal    = 10            // This value and those between dropped and normal are ordinary calls.

	// More streams are dropped than other calls, for the garbage collector to end.
	scenarios, streamScenarios = normal, 5
)

const wireMaxCallWait = 100 * time.Millisecond

// context returns the context of a call and its cancel function.
func (f scenario) context(parent context.Context, random *rand.Rand) (context.Context, context.CancelFunc) {
	after := time.Duration(random.Int64N(int64(wireMaxCallWait)))
	switch f {
	case cancelled:
		ctx, cancel := context.WithCancel(parent)
		timer := time.AfterFunc(after, cancel)
		return ctx, func() { timer.Stop(); cancel() }
	case expires:
		return context.WithTimeout(parent, after)
	case dropped:
		return parent, func() {}
	default:
		return context.WithCancel(parent)
	}
}

// call makes the n-th call. The operations take turns.
func (w *wire) call(worker *worker, n int) *wireCall {
	op := operations[n%len(operations)]
	c := &wireCall{call: call{id: faultproxy.CallID(n), operation: op.name}}
	ctx := context.WithValue(context.Background(), callKey{}, c)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.seen.conns++
	}})
	choices := scenarios
	if strings.HasSuffix(op.name, "Stream") {
		choices = streamScenarios
	}
	f := scenario(worker.random.IntN(choices))
	worker.abandonsStream = f == abandoned || f == dropped
	ctx, cancel := f.context(ctx, worker.random)
	defer cancel()
	shut := w.shut.Load()
	err := op.call(ctx, worker, &c.call, ratelimited.WithHeader(callHeader, c.id), ratelimited.WithTokenEstimate(w.estimate))
	if err != nil {
		w.reconciler.findKey("an error", err.Error())
	}
	if !c.stream {
		if end := c.events(); end.began > 0 && end.err != err { // the observer receives the same error value
			w.reconciler.find("%s %s: returned the error %v, but the observer received %v", c.operation, c.id, err, end.err)
		}
	}
	if e := c.events(); shut && e.began > 0 && (!errors.Is(err, ratelimited.ErrShuttingDown) || e.attempts > 0) {
		w.reconciler.find("%s %s: %d attempts and the error %v after Shutdown has returned, want 0 and ErrShuttingDown", c.operation, c.id, e.attempts, err)
	}
	c.err = err
	return c
}

// findKey adds a finding if the text contains the API key.
func (l *reconciler) findKey(where, text string) {
	if strings.Contains(text, wireKey) {
		l.find("the API key is in %s: %s", where, text)
	}
}
