package ratelimited

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/sse"
)

// A stream is the state of a Stream. The call's context and the garbage collector refer to it, and never
// to the Stream, so an unused Stream can be collected.
type stream struct {
	call   *call
	detach func() bool // unregisters expire from the context

	// Only the goroutine that ranges writes these, and err only with mu held.
	events int   // number of yielded events
	done   bool  // the last event has arrived
	err    error // why the stream ended before its last event

	mu       sync.Mutex
	assembly assembly
	text     strings.Builder // text of the messages
	closed   bool            // no further events are yielded

	settling bool // settlement has started
	settled  bool // settlement has ended
	ended    bool // Close has ended
	expired  bool // the context closed the stream
}

// errClosed is the error of a stream that the caller closed.
var errClosed = errors.New("the stream is closed")

// expire closes a stream whose context has ended. It runs in a separate goroutine.
func (s *stream) expire() {
	s.mu.Lock()
	s.expired = !s.closed
	s.mu.Unlock()
	s.closeQuietly()
}

// closeDropped closes a stream that the garbage collector found.
func (s *stream) closeDropped() {
	if s.isClosed() {
		return
	}
	defer func() { _ = recover() }() // the logger may panic
	defer s.closeQuietly()
	if logger := s.call.client.logger; logger != nil {
		logger.Warn("mistral: a stream was dropped without Close", "operation", s.call.op.name)
	}
}

// closeQuietly closes a stream in a background goroutine, where a panic of the body would end the program.
func (s *stream) closeQuietly() {
	defer func() { _ = recover() }()
	_ = s.close()
}

// yieldEvents implements [Stream.Events].
func (s *stream) yieldEvents(yield func(sse.Event, error) bool) {
	defer func() { _ = s.close() }() // it always returns nil
	if s.err != nil || s.done {
		s.yieldEnd(yield)
		return
	}
	for frame, err := range s.call.latest.events.frames {
		if s.isClosed() {
			break
		}
		if err != nil {
			s.fail("the connection broke", err, !isTooLarge(err))
			break
		}
		event, err := sse.Decode(frame)
		if isError(frame, event) {
			s.end(s.call.client.streamError(frame, s.events))
			break
		}
		if err != nil {
			s.fail("an event cannot be decoded", s.redactDecodeError(err), false)
			break
		}
		if !s.addEvent(event) {
			break
		}
		if s.assembly.parts > maxParts {
			s.fail("the response has too many parts", fmt.Errorf("more than %d entries and chunks", maxParts), false)
			break
		}
		if s.done {
			s.settle() // before the caller receives the event
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
		s.fail("the stream ended before its last event", io.ErrUnexpectedEOF, true)
	}
	s.yieldEnd(yield)
}

// yieldEnd closes the stream and yields its error, if any.
func (s *stream) yieldEnd(yield func(sse.Event, error) bool) {
	if s.err != nil {
		_ = s.close() // before the caller receives the error
		yield(nil, s.err)
	}
}

// addEvent adds an event to the response. It reports false if the stream was closed in the meantime: the
// call is then settled without this event.
func (s *stream) addEvent(event sse.Event) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return false
	}
	s.assembly.add(event)
	switch e := event.(type) {
	case generated.MessageOutputEvent:
		s.text.WriteString(e.Content.Text())
		s.call.client.memory.recordModel(s.assembly.conversationID, e.AgentID, e.Model)
	case generated.ResponseDoneEvent:
		s.done = true
	case generated.UnknownStreamEvent:
		// The last event ends the stream even if its data is not an object.
		s.done = e.Type == string(generated.StreamEventTypeConversationResponseDone)
	}
	s.events++
	return true
}

func (s *stream) redact(text string) string { return s.call.client.secret.redactText(text) }

// redactDecodeError returns a decoding error without the API key, also in its frame.
func (s *stream) redactDecodeError(err error) error {
	if invalid := (*sse.DecodeError)(nil); errors.As(err, &invalid) {
		frame := invalid.Frame
		frame.Event, frame.Data = s.redact(frame.Event), s.call.client.secret.redact(frame.Data)
		return &sse.DecodeError{Frame: frame, Err: s.call.client.secret.redactError(invalid.Err)}
	}
	return err
}

// fail ends the stream with an error, unless it has ended. broken is whether the connection failed.
func (s *stream) fail(message string, err error, broken bool) {
	switch {
	case s.err != nil || s.done:
		return
	case s.isClosed() && !s.hasExpired():
		message, err, broken = "no further events", errClosed, false
	case s.call.ctx.Err() != nil:
		s.call.learnInterrupted()
		s.end(s.contextEnded())
		return
	case s.call.latest.idleFor() != nil:
		message, err, broken = "the stream was idle", s.call.latest.idleFor(), true
	}
	s.end(&StreamError{Message: message, Events: s.events, Err: err, broken: broken})
}

// end sets the error of the stream.
func (s *stream) end(err *StreamError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// contextEnded returns the error of a stream whose context has ended.
func (s *stream) contextEnded() *StreamError {
	message := "the call's context ended"
	if errors.Is(context.Cause(s.call.ctx), ErrShuttingDown) {
		message = "the call was cancelled"
	}
	return &StreamError{Message: message, Events: s.events, Err: contextError(s.call.ctx)}
}

// hasExpired reports whether the context closed the stream.
func (s *stream) hasExpired() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.expired
}

func (s *stream) isClosed() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.closed
}

// drainTimeout bounds the wait for the end of the body after the last event.
const drainTimeout = 100 * time.Millisecond

// drain reads the content after the last event, usually nothing, so that the connection can be reused.
func (s *stream) drain() {
	timer := time.AfterFunc(drainTimeout, func() { s.call.latest.cancel(nil) })
	defer timer.Stop()
	// The response is complete, so errors do not matter.
	_, _ = io.CopyN(io.Discard, s.call.latest.resp.Body, 4096)
}

// close implements [Stream.Close].
func (s *stream) close() error {
	s.mu.Lock()
	if s.closed {
		s.mu.Unlock()
		return nil
	}
	s.closed = true
	s.mu.Unlock()
	s.detach()
	defer s.markReached(&s.ended) // last
	defer s.call.latest.end()
	s.settle()
	return nil
}

// settle settles the call with the reported usage, or otherwise with the received texts. It does not hold
// the lock meanwhile, because the observer and the logger may use the stream.
func (s *stream) settle() {
	s.mu.Lock()
	if s.settling {
		s.mu.Unlock()
		return
	}
	s.settling = true
	used := usage{conversationID: s.assembly.conversationID, reported: s.assembly.usage}
	if used.reported == nil {
		used.isPartial, used.received = true, append(s.assembly.otherTexts(), s.text.String())
	}
	s.mu.Unlock()
	defer s.markReached(&s.settled)
	s.call.settle(used)
}

// markReached sets s.settled or s.ended. When both are set, it finishes the call.
func (s *stream) markReached(reached *bool) {
	s.mu.Lock()
	*reached = true
	finished, err := s.ended && s.settled, s.err
	if err == nil && s.expired && !s.done {
		err = s.contextEnded()
	}
	s.mu.Unlock()
	if finished {
		s.call.finish(err)
	}
}

func (s *stream) response() *generated.ConversationResponse {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.assembly.response()
}

func (s *stream) conversationID() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.assembly.conversationID
}

func (s *stream) usage() *generated.ConversationUsageInfo {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.assembly.usage
}

func (s *stream) received() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.text.String()
}
