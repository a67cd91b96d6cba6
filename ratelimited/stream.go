package ratelimited

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"mime"
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
	flight  *flight
	caller  context.Context
	body    io.Reader
	decoder *sse.Decoder

	// Of the goroutine that ranges.
	events int   // delivered
	done   bool  // the last event has come
	err    error // how the stream ended otherwise

	mu             sync.Mutex
	conversationID string
	usage          *generated.ConversationUsageInfo
	text           strings.Builder // of the messages
	arguments      strings.Builder // of the function calls
	closed         bool
}

// errClosed is the end of a stream that the caller closed.
var errClosed = errors.New("the stream is closed")

// openStream carries out a call whose reply is a stream.
func openStream(ctx context.Context, c *Client, op operation, options []CallOption) (*Stream, error) {
	f, err := c.launch(ctx, op, options)
	if err != nil {
		return nil, err
	}
	if mediaType, _, _ := mime.ParseMediaType(f.resp.Header.Get("Content-Type")); mediaType != "text/event-stream" {
		defer f.land(f.estimate.total)
		body, _ := io.ReadAll(io.LimitReader(f.resp.Body, maxErrorBody))
		return nil, f.unusable(body, fmt.Errorf("the reply is %q, not text/event-stream", mediaType))
	}
	return &Stream{flight: f, caller: ctx, body: f.resp.Body, decoder: sse.NewDecoder(f.resp.Body)}, nil
}

// Events yields the events as they arrive, and closes the stream when the loop
// ends, also by break. An error comes last and without an event: a [*StreamError],
// which wraps the context's error where that is the cause. After the stream has
// ended the error, if any, is yielded again.
func (s *Stream) Events() iter.Seq2[sse.Event, error] {
	return func(yield func(sse.Event, error) bool) {
		defer func() { _ = s.Close() }() // it has no error to report
		if s.err != nil || s.done {
			s.yieldEnd(yield)
			return
		}
		for frame, err := range s.decoder.Frames() {
			if err != nil {
				s.fail("the connection broke", err)
				break
			}
			if len(frame.Data) == 0 || string(frame.Data) == "[DONE]" {
				continue // a sign of life; the end of a stream in other services
			}
			event, err := sse.Decode(frame)
			if err != nil {
				s.fail("an event cannot be read", err)
				break
			}
			s.take(event)
			if s.err != nil {
				break
			}
			if !yield(event, nil) {
				return
			}
			if s.done {
				s.drain()
				return
			}
		}
		if s.err == nil {
			s.fail("it ended before its last event", io.ErrUnexpectedEOF)
		}
		s.yieldEnd(yield)
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
	switch e := event.(type) {
	case generated.ResponseStartedEvent:
		s.conversationID = e.ConversationID
	case generated.MessageOutputEvent:
		s.text.WriteString(e.Content.Text())
	case generated.FunctionCallEvent:
		s.arguments.WriteString(e.Arguments)
	case generated.ResponseDoneEvent:
		s.usage = &e.Usage
		s.done = true
		s.flight.settle(s.conversationID, e.Usage)
	case generated.ResponseErrorEvent:
		s.err = &StreamError{Code: e.Code, Message: e.Message, Events: s.events}
		return
	case generated.UnknownStreamEvent:
		if e.Type == string(generated.StreamEventTypeConversationResponseError) {
			s.err = unreadErrorEvent(e, s.events)
			return
		}
	}
	s.events++
}

// unreadErrorEvent is an error event of another form than the API documents.
func unreadErrorEvent(e generated.UnknownStreamEvent, events int) *StreamError {
	var object struct {
		Message json.RawMessage `json:"message"`
	}
	// Where there is no message to be found, the event as it came is the message.
	_ = json.Unmarshal(e.Raw, &object)
	message := scalarText(object.Message)
	if message == "" {
		message = beginning(e.Raw)
	}
	return &StreamError{Message: message, Events: events, Err: e.Err}
}

// fail ends the stream with an error, unless it has ended already.
func (s *Stream) fail(what string, err error) {
	switch {
	case s.err != nil || s.done:
		return
	case s.isClosed():
		what, err = "it was closed", errClosed
	case s.caller.Err() != nil:
		what, err = "the call's context ended", contextError(s.caller)
	}
	s.err = &StreamError{Message: what, Events: s.events, Err: err}
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
	timer := time.AfterFunc(drainTimeout, func() { s.flight.cancel(nil) })
	defer timer.Stop()
	// Whatever is there, or goes wrong with it, the reply is complete.
	_, _ = io.CopyN(io.Discard, s.body, 4096)
}

// Close ends the stream and settles what it used, once. A loop over Events that
// waits for an event ends with an error. Close always returns nil; it has a
// result for the sake of [io.Closer].
func (s *Stream) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	received := 0
	if s.usage == nil {
		counter := s.flight.client.counter
		received = s.flight.estimate.prompt + counter.Text(s.text.String()) + counter.Text(s.arguments.String())
	}
	s.flight.land(received)
	return nil
}

// ConversationID returns the conversation's id; empty before the first event.
func (s *Stream) ConversationID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.conversationID
}

// Usage returns what the call used; nil before the last event.
func (s *Stream) Usage() *generated.ConversationUsageInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.usage
}

// Text returns the text of the model's messages received so far, joined.
func (s *Stream) Text() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}
