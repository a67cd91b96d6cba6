package ratelimited

import (
	"context"
	"errors"
	"io"
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/sse"
)

// Stream is a reply that arrives as events. Range over [Stream.Events] in one
// goroutine, and call [Stream.Close] when done. All other methods may be called
// at any time from any goroutine.
//
// However a stream ends, what the call used is settled once: with the usage that
// the last event reports, or else with the prompt and what was received.
type Stream struct {
	flight *flight

	// Of the goroutine that ranges, which alone writes them; err with the lock held.
	events int   // delivered
	done   bool  // the last event has come
	err    error // how the stream ended otherwise

	mu     sync.Mutex
	reply  assembly
	text   strings.Builder // of the messages
	closed bool            // no more events
	// settling and settled are about the permit; left is the end of Close.
	settling, settled, left bool
}

// errClosed is the end of a stream that the caller closed.
var errClosed = errors.New("the stream is closed")

// openStream carries out a call whose reply is a stream.
func openStream(ctx context.Context, c *Client, op operation, options []CallOption) (*Stream, error) {
	f, err := c.launch(ctx, op, options)
	if err != nil {
		return nil, err
	}
	return &Stream{flight: f}, nil
}

// Events yields the events as they arrive, and closes the stream when the loop
// ends, also by break. An error comes last and without an event: a [*StreamError],
// which wraps the context's error where that is the cause. The API's own event for an
// error ([generated.ResponseErrorEvent]) is not delivered but becomes that error. After the stream has
// ended the error, if any, is yielded again.
func (s *Stream) Events() iter.Seq2[sse.Event, error] {
	return func(yield func(sse.Event, error) bool) {
		defer func() { _ = s.Close() }() // it has no error to report
		if s.err != nil || s.done {
			s.yieldEnd(yield)
			return
		}
		for frame, err := range s.flight.latest.events.frames {
			if s.isClosed() {
				break
			}
			if err != nil {
				s.fail("the connection broke", err, !isTooLarge(err))
				break
			}
			event, err := sse.Decode(frame)
			if isError(frame, event) {
				s.end(s.flight.client.streamError(frame, s.events))
				break
			}
			if err != nil {
				s.fail("an event cannot be read", s.withoutKey(err), false)
				break
			}
			s.take(event)
			if s.done {
				s.settle() // before the caller has a look at the event
			}
			more := yield(event, nil)
			if s.done {
				s.drain()
				return
			}
			if !more {
				return
			}
		}
		if s.err == nil {
			s.fail("it ended before its last event", io.ErrUnexpectedEOF, true)
		}
		s.yieldEnd(yield)
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

func (s *Stream) yieldEnd(yield func(sse.Event, error) bool) {
	if s.err != nil {
		_ = s.Close() // before the caller hears of it
		yield(nil, s.err)
	}
}

// take notes what an event says of the whole reply.
func (s *Stream) take(event sse.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reply.add(event)
	switch e := event.(type) {
	case generated.MessageOutputEvent:
		s.text.WriteString(e.Content.Text())
		s.flight.client.memory.modelOfAgent(e.AgentID, e.Model)
	case generated.ResponseDoneEvent:
		s.done = true
	case generated.UnknownStreamEvent:
		// A last event whose data is not an object is the last, too.
		s.done = e.Type == string(generated.StreamEventTypeConversationResponseDone)
	}
	s.events++
}

func (s *Stream) redact(text string) string { return s.flight.client.secret.text(text) }

// withoutKey is an error of decoding without the key, in its frame too.
func (s *Stream) withoutKey(err error) error {
	if unreadable := (*sse.DecodeError)(nil); errors.As(err, &unreadable) {
		frame := unreadable.Frame
		frame.Event, frame.Data = s.redact(frame.Event), s.flight.client.secret.redact(frame.Data)
		return &sse.DecodeError{Frame: frame, Err: s.flight.client.secret.cause(unreadable.Err)}
	}
	return err
}

// fail ends the stream with an error, unless it has ended already. broken says that
// it is one of the connection.
func (s *Stream) fail(what string, err error, broken bool) {
	switch {
	case s.err != nil || s.done:
		return
	case s.isClosed():
		what, err, broken = "no more events", errClosed, false
	case s.flight.ctx.Err() != nil:
		what, err, broken = "the call's context ended", contextError(s.flight.ctx), false
	case s.flight.latest.idleFor() != nil:
		what, err, broken = "it fell silent", s.flight.latest.idleFor(), true
	}
	s.end(&StreamError{Message: what, Events: s.events, Err: err, broken: broken})
}

// end ends the stream with an error.
func (s *Stream) end(err *StreamError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

func (s *Stream) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// drainTimeout bounds the wait for the end of a body whose last event has come.
const drainTimeout = 100 * time.Millisecond

// drain reads what follows the last event, normally nothing, so that the
// connection can carry the next call.
func (s *Stream) drain() {
	timer := time.AfterFunc(drainTimeout, func() { s.flight.latest.cancel(nil) })
	defer timer.Stop()
	// Whatever is there, or goes wrong with it, the reply is complete.
	_, _ = io.CopyN(io.Discard, s.flight.latest.resp.Body, 4096)
}

// Close ends the stream and settles what it used, once; if another goroutine is
// settling it just now, Close does not wait for that. A loop over Events ends
// with an error, unless the last event has come, and so does one that waits for
// an event. Close always returns nil; it has a result for the sake of
// [io.Closer].
func (s *Stream) Close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	defer s.flight.latest.end() // whatever the caller's logger does
	defer s.reach(&s.left)
	s.settle()
	return nil
}

// settle ends the call with the usage that the last event reported, or else with
// what was received. It holds no lock meanwhile: the caller's logger hears of it,
// and may ask the stream.
func (s *Stream) settle() {
	s.mu.Lock()
	if s.settling {
		s.mu.Unlock()
		return
	}
	s.settling = true
	conversationID, usage := s.reply.conversationID, s.reply.usage
	var texts []string
	if usage == nil {
		texts = append(s.reply.written(), s.text.String())
	}
	s.mu.Unlock()
	defer s.reach(&s.settled)
	if usage != nil {
		s.flight.settle(conversationID, *usage)
		return
	}
	s.flight.settleReceived(conversationID, texts)
}

// reach notes one of the two things that end a stream, once each: that it was left and
// that it is settled. Whoever comes second tells how the call has ended.
func (s *Stream) reach(reached *bool) {
	s.mu.Lock()
	*reached = true
	over, err := s.left && s.settled, s.err
	s.mu.Unlock()
	if over {
		s.flight.finish(err)
	}
}

// Response returns the response assembled from the events so far, in the form of a
// non-streaming call. It is complete after the last event. It has no Raw and no Mismatches:
// the events have them. Completion times of messages and function calls are unknown.
func (s *Stream) Response() *generated.ConversationResponse {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reply.response()
}

// ConversationID returns the conversation's id; empty before the first event.
func (s *Stream) ConversationID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reply.conversationID
}

// Usage returns what the call used; nil before the last event.
func (s *Stream) Usage() *generated.ConversationUsageInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.reply.usage
}

// Text returns the text of the model's messages received so far, joined.
func (s *Stream) Text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}
