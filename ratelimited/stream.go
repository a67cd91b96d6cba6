package ratelimited

import (
	"context"
	"iter"
	"runtime"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/sse"
)

// Stream is a response that arrives as server-sent events. Range over [Stream.Events] in one
// goroutine, and call [Stream.Close] when done. All other methods may be called
// at any time from any goroutine.
//
// When a stream ends, the client settles its usage once: with the usage that the last event
// reports or, without it, with the prompt and what was received. A stream also ends when the
// call's context ends, read or not. A stream that the program drops without closing ends when
// the garbage collector finds it, with a record at warn level.
//
// A nil Stream has neither events nor a response; its Events and Close return an error.
type Stream struct {
	*stream
}

// openStream carries out a call whose reply is a stream.
func openStream(ctx context.Context, c *Client, op operation, options []CallOption) (*Stream, error) {
	call, err := c.start(ctx, op, options)
	if err != nil {
		return nil, err
	}
	s := &stream{call: call}
	s.mu.Lock() // the context may have ended
	s.detach = context.AfterFunc(call.ctx, s.expire)
	s.mu.Unlock()
	handle := &Stream{s}
	runtime.AddCleanup(handle, func(s *stream) { go s.closeDropped() }, s)
	return handle, nil
}

// Events yields the events as they arrive, and closes the stream when the loop
// ends, also by break. An error comes last and without an event: a [*StreamError],
// which wraps the context's error where that is the cause. The API's own event for an
// error ([generated.ResponseErrorEvent]) is not delivered but becomes that error. After the stream has
// ended the error, if any, is yielded again.
func (s *Stream) Events() iter.Seq2[sse.Event, error] {
	return func(yield func(sse.Event, error) bool) {
		if s.isZero() {
			yield(nil, errNoStream)
			return
		}
		s.yieldEvents(yield)
		runtime.KeepAlive(s) // it is in use until here
	}
}

// TextDeltas yields the text of message deltas. It skips other events and otherwise behaves
// like [Stream.Events].
func (s *Stream) TextDeltas() iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for event, err := range s.Events() {
			var text string
			if message, ok := event.(generated.MessageOutputEvent); ok {
				text = message.Content.Text()
			}
			if (text != "" || err != nil) && !yield(text, err) {
				return
			}
		}
	}
}

// Close ends the stream and settles what it used, once; if another goroutine is
// settling it just now, Close does not wait for that. A loop over Events ends
// with an error, unless the last event has come, and so does one that waits for
// an event. Close returns an error only to satisfy [io.Closer].
func (s *Stream) Close() error {
	if s.isZero() {
		return errNoStream
	}
	return s.close()
}

// Response returns the response assembled from the events so far, in the form of a
// non-streaming call. It is complete after the last event. It has no Raw and no Mismatches:
// the events have them. Completion times of messages and function calls are unknown.
func (s *Stream) Response() *generated.ConversationResponse {
	if s.isZero() {
		return nil
	}
	return s.response()
}

// ConversationID returns the conversation's id; empty before the first event.
func (s *Stream) ConversationID() string {
	if s.isZero() {
		return ""
	}
	return s.conversationID()
}

// Usage returns what the call used; nil before the last event.
func (s *Stream) Usage() *generated.ConversationUsageInfo {
	if s.isZero() {
		return nil
	}
	return s.usage()
}

// Text returns the text of the model's messages received so far, joined.
func (s *Stream) Text() string {
	if s.isZero() {
		return ""
	}
	return s.received()
}
