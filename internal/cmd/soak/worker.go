package main

import (
	"context"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// callHeader names the call that a request is part of, for the emulator's side.
const callHeader = "X-Soak-Call"

// A worker makes one call after another.
type worker struct {
	*account
	number int
	random *rand.Rand
	calls  int
	leaves bool // the next stream, without reading or closing it
}

// run works until ctx ends; the call that is being made then is cut off by it.
func (w *worker) run(ctx context.Context) {
	for ctx.Err() == nil {
		w.calls++
		op := pickOperation(w.random)
		c := &call{id: fmt.Sprintf("%d-%d", w.number, w.calls), operation: op.name}
		w.reconciler.open(c)
		ctx, cancel := w.bound(c.in(ctx))
		options := []ratelimited.CallOption{ratelimited.WithHeader(callHeader, c.id)}
		if w.given > 0 {
			options = append(options, ratelimited.WithTokenEstimate(w.given))
		}
		err := op.call(ctx, w, c, options...)
		w.reconciler.returned(c, err, ctx.Err() != nil)
		cancel()
	}
}

// patience is up to how long a call waits that is cut off: some in the queue, some under
// way.
const patience = 10 * time.Second

// bound gives one call in eight a deadline, and one in eight a context that is
// cancelled, at random.
func (w *worker) bound(ctx context.Context) (context.Context, context.CancelFunc) {
	after := time.Duration(w.random.Int64N(int64(patience)))
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

// replied notes the reply of a plain call.
func (w *worker) replied(c *call) func(*generated.ConversationResponse, error) error {
	return func(response *generated.ConversationResponse, err error) error {
		if err != nil {
			return err
		}
		c.reported = &response.Usage.TotalTokens
		w.keep(response)
		return nil
	}
}

// keep puts a conversation into the pool.
func (w *worker) keep(response *generated.ConversationResponse) {
	kept := conversation{id: response.ConversationID}
	if kept.id == "" {
		return
	}
	for _, output := range response.Outputs {
		if m, ok := output.Value().(generated.MessageOutputEntry); ok {
			kept.entry = m.ID
		}
	}
	w.pool.mu.Lock()
	defer w.pool.mu.Unlock()
	w.pool.conversations.put(kept)
}

// streamed reads a stream in one of the ways that there are: to its end, for some
// events, not at all, or until somebody else closes it.
func (w *worker) streamed(c *call) func(*ratelimited.Stream, error) error {
	c.stream = true
	return func(stream *ratelimited.Stream, err error) error {
		if err != nil {
			return err
		}
		c.opened = true
		if w.leaves {
			return nil
		}
		events := -1 // to read
		switch w.random.IntN(8) {
		case 0:
			events = 0
		case 1:
			events = w.random.IntN(20)
		case 2:
			if c.outside = w.given > 0; c.outside {
				time.AfterFunc(time.Duration(w.random.Int64N(int64(50*time.Millisecond))), func() { _ = stream.Close() })
			}
		}
		err = w.read(c, stream, events)
		_ = stream.Close()
		_ = stream.Close() // a second time does nothing
		if usage := stream.Usage(); usage != nil {
			c.reported = &usage.TotalTokens
		} else {
			text := stream.Text()
			c.received = func(estimate int) int {
				if w.given > 0 {
					return estimate
				}
				return estimate - mostReply + w.counter.Text(text)
			}
		}
		w.keep(stream.Response())
		return err
	}
}

// read reads so many events, all for -1, and has an eye on the rules of a stream: it
// ends once, with its last event or an error.
func (w *worker) read(c *call, stream *ratelimited.Stream, events int) (failure error) {
	if events == 0 {
		return nil
	}
	last := false
	for event, err := range stream.Events() {
		if failure != nil || last {
			w.reconciler.find("%s %s: its stream goes on after its end", c.operation, c.id)
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
		w.reconciler.find("%s %s: its stream ended without a last event or an error", c.operation, c.id)
	}
	return failure
}
