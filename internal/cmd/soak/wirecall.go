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

// A wireCall is one call through the fault proxy.
type wireCall struct {
	call // id is the [faultproxy.CallID]

	mu   sync.Mutex
	seen wireEvents
}

// wireEvents are what the observer received of a call, and the transport's connections.
type wireEvents struct {
	began, acquired, settled, ended int // how many of these events
	estimates, used, lost           int // tokens
	attempts                        int
	unsent                          int   // attempts that the server cannot have seen
	silent                          int   // attempts without a response that it may have seen
	conns                           int   // connections that the transport took, one for each request that it wrote
	err                             error // of the end
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
		w.reconciler.find("the observer was called for %s with a context of no call", operation)
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
			s.silent++
		}
	case ratelimited.Settled:
		s.settled++
		s.used, s.lost = s.used+e.Used, s.lost+e.UnconfirmedTokens
	case ratelimited.Ended:
		s.ended++
		s.err = e.Err
	}
}

// What becomes of a call's context and of its stream.
type fate int

const (
	cancelled fate = iota // after some time
	expires               // by a deadline
	abandoned             // a stream is neither read nor closed, and the context ends
	dropped               // a stream is neither read nor closed, and the context does not end
	normal    = 10        // this and all between are normal

	// Of streams more are left, so that the garbage collector has some to end.
	fates, streamFates = normal, 5
)

const wirePatience = 100 * time.Millisecond

// context returns the context of a call, and the function that ends it.
func (f fate) context(parent context.Context, random *rand.Rand) (context.Context, context.CancelFunc) {
	after := time.Duration(random.Int64N(int64(wirePatience)))
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

// call makes the n-th call. All operations take turns.
func (w *wire) call(worker *worker, n int) *wireCall {
	op := operations[n%len(operations)]
	c := &wireCall{call: call{id: faultproxy.CallID(n), operation: op.name}}
	ctx := context.WithValue(context.Background(), callKey{}, c)
	ctx = httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{GotConn: func(httptrace.GotConnInfo) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.seen.conns++
	}})
	choices := fates
	if strings.HasSuffix(op.name, "Stream") {
		choices = streamFates
	}
	f := fate(worker.random.IntN(choices))
	worker.leaves = f == abandoned || f == dropped
	ctx, cancel := f.context(ctx, worker.random)
	defer cancel()
	shut := w.shut.Load()
	err := op.call(ctx, worker, &c.call, ratelimited.WithHeader(callHeader, c.id), ratelimited.WithTokenEstimate(w.given))
	if err != nil {
		w.reconciler.findKey("an error", err.Error())
	}
	if !c.stream {
		if end := c.events(); end.began > 0 && end.err != err { // the observer receives the error itself
			w.reconciler.find("%s %s: returned the error %v, the observer received %v", c.operation, c.id, err, end.err)
		}
	}
	if e := c.events(); shut && e.began > 0 && (!errors.Is(err, ratelimited.ErrShuttingDown) || e.attempts > 0) {
		w.reconciler.find("%s %s: %d attempts after Shutdown has returned, error %v", c.operation, c.id, e.attempts, err)
	}
	c.err = err
	return c
}

func (l *reconciler) findKey(where, text string) {
	if strings.Contains(text, wireKey) {
		l.find("the key is in %s: %s", where, text)
	}
}
