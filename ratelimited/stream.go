package ratelimited

import (
	"context"
	"iter"
	"runtime"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/sse"
)

// Stream is a response that arrives as server-sent events. Range over [Stream.Events] in one goroutine,
// and call [Stream.Close] afterwards. All other methods can be called at any time from any goroutine.
//
// When a stream ends, the client settles its usage once. It uses the usage that the last event reports.
// Without it, it counts the prompt and the received texts. A stream also ends when the call's context
// ends. If the program drops a stream without closing it, the garbage collector closes it, and the
// client logs a warning.
//
// A nil Stream does not have events or a response. Its Events and Close return an error.
type Stream struct {
	*stream
}

// openStream runs a call whose response is a stream.
func openStream(ctx context.Context, c *Client, op operation, options []CallOption) (*Stream, error) {
	call, err := c.start(ctx, op, options)
	if err != nil {
		return nil, err
	}
	s := &stream{call: call}
	s.mu.Lock() // expire may run before detach is set
	s.detach = context.AfterFunc(call.ctx, s.expire)
	s.mu.Unlock()
	handle := &Stream{s}
	runtime.AddCleanup(handle, func(s *stream) { go s.closeDropped() }, s)
	return handle, nil
}

// Events returns an iterator over the events as they arrive. It closes the stream when the loop ends,
// also by break. An error is yielded last, without an event: a [*StreamError], which wraps the context's
// error if the context ended. The API's error event, [generated.ResponseErrorEvent], is not yielded but
// becomes this error. If Events is called again after the stream has ended, it yields only the error.
func (s *Stream) Events() iter.Seq2[sse.Event, error] {
	return func(yield func(sse.Event, error) bool) {
		if s.isZero() {
			yield(nil, errNoStream)
			return
		}
		s.yieldEvents(yield)
		runtime.KeepAlive(s) // the cleanup must not run before this
	}
}

// TextDeltas returns an iterator over the text of message deltas. It skips other events and otherwise
// behaves like [Stream.Events].
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

// Close ends the stream and settles its usage once. If another goroutine is settling it, Close does not
// wait for that. A loop over Events then ends with an error, also while it waits for an event, unless the
// last event has arrived. Close always returns nil for a stream of this package; its result satisfies
// [io.Closer].
func (s *Stream) Close() error {
	if s.isZero() {
		return errNoStream
	}
	return s.close()
}

// Response returns the response assembled from the events so far, in the form of a non-streaming call. It
// is complete after the last event. It does not have Raw and Mismatches: the events have them. The
// completion times of messages and function calls are unknown.
func (s *Stream) Response() *generated.ConversationResponse {
	if s.isZero() {
		return nil
	}
	return s.response()
}

// ConversationID returns the id of the conversation. It is empty before the first event.
func (s *Stream) ConversationID() string {
	if s.isZero() {
		return ""
	}
	return s.conversationID()
}

// Usage returns the usage that the last event reports. It is nil before the last event.
func (s *Stream) Usage() *generated.ConversationUsageInfo {
	if s.isZero() {
		return nil
	}
	return s.usage()
}

// Text returns the text of the model's messages that has arrived so far.
func (s *Stream) Text() string {
	if s.isZero() {
		return ""
	}
	return s.received()
}
