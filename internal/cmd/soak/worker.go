package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// callHeader is the header field with the id of the call that a request belongs to.
const callHeader = "X-Soak-Call"

// worker makes one call after another.
type worker struct {
	*account
	number         int
	random         *rand.Rand
	calls          int
	abandonsStream bool // Neither read nor close the next stream.
}

// run makes calls until ctx is done, which cuts off the current call.
func (w *worker) run(ctx context.Context) {
	for ctx.Err() == nil {
		w.calls++
		op := pickOperation(w.random)
		c := &call{id: fmt.Sprintf("%d-%d", w.number, w.calls), operation: op.name}
		w.reconciler.open(c)
		ctx, cancel := w.bound(c.withContext(ctx))
		options := []ratelimited.CallOption{ratelimited.WithHeader(callHeader, c.id)}
		if w.estimate > 0 {
			options = append(options, ratelimited.WithTokenEstimate(w.estimate))
		}
		err := op.call(ctx, w, c, options...)
		w.reconciler.returned(c, err, ctx.Err() != nil)
		cancel()
	}
}

// maxCallWait bounds the time after which a call is cut off, in the queue or in flight.
const maxCallWait = 10 * time.Second

// bound gives a random eighth of the calls a deadline, and cancels the context of another eighth.
func (w *worker) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	after := time.Duration(w.random.Int64N(int64(maxCallWait)))
	switch w.random.IntN(8) {
	case 0:
		return context.WithTimeout(ctx, after)
	case 1:
		ctx, cancel := context.WithCancel(ctx)
		timer := time.AfterFunc(after, cancel)
		return ctx, func() { timer.Stop(); cancel() }
	default:
		return context.WithCancel(ctx)
	}
}

// plainResult returns a function that stores the response of a plain call.
func (w *worker) plainResult(c *call) func(*generated.ConversationResponse, error) error {
	return func(response *generated.ConversationResponse, err error) error {
		if err != nil {
			return err
		}
		c.reported = &response.Usage.TotalTokens
		w.addToPool(response)
		return nil
	}
}

// addToPool adds a conversation to the pool.
func (w *worker) addToPool(response *generated.ConversationResponse) {
	added := conversation{id: response.ConversationID}
	if added.id == "" {
		return
	}
	for _, output := range response.Outputs {
		if m, ok := output.Value().(generated.MessageOutputEntry); ok {
			added.entry = m.ID
		}
	}
	w.pool.mu.Lock()
	defer w.pool.mu.Unlock()
	w.pool.conversations.put(added)
}

// streamResult returns a function that reads a stream in a random way: completely, for some events,
// not at all, or until another goroutine closes it.
func (w *worker) streamResult(c *call) func(*ratelimited.Stream, error) error {
	c.stream = true
	return func(stream *ratelimited.Stream, err error) error {
		if err != nil {
			return err
		}
		c.opened = true
		if w.abandonsStream {
			return nil
		}
		events := -1 // the number of events to read; -1: all
		switch w.random.IntN(8) {
		case 0:
			events = 0
		case 1:
			events = w.random.IntN(20)
		case 2:
			if c.closedElsewhere = w.estimate > 0; c.closedElsewhere {
				time.AfterFunc(time.Duration(w.random.Int64N(int64(50*time.Millisecond))), func() { _ = stream.Close() })
			}
		}
		err = w.read(c, stream, events)
		_ = stream.Close()
		_ = stream.Close() // the second call must do nothing
		if usage := stream.Usage(); usage != nil {
			c.reported = &usage.TotalTokens
		} else {
			text := stream.Text()
			c.received = func(estimate int) int {
				if w.estimate > 0 {
					return estimate
				}
				return estimate - maxReply + w.counter.Text(text)
			}
		}
		w.addToPool(stream.Response())
		return err
	}
}

// read reads the given number of events, all for -1. It checks that the stream ends once, with its
// last event or an error.
func (w *worker) read(c *call, stream *ratelimited.Stream, events int) (failure error) {
	if events == 0 {
		return nil
	}
	last := false
	for event, err := range stream.Events() {
		if failure != nil || last {
			w.reconciler.find("%s %s: the stream continues after its end", c.operation, c.id)
		}
		if failure = err; err != nil {
			continue
		}
		_, last = event.(generated.ResponseDoneEvent)
		if events--; events == 0 {
			return nil
		}
	}
	if failure == nil && !last && stream.Usage() == nil {
		w.reconciler.find("%s %s: the stream ended without a last event or an error", c.operation, c.id)
	}
	return failure
}
