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

// A stream is the state of a Stream. What ends it by itself (the call's context, the garbage
// collector) refers to it, and never to the Stream.
type stream struct {
	call   *call
	detach func() bool // from the context

	// Of the goroutine that ranges, which alone writes them; err with the lock held.
	events int   // delivered
	done   bool  // the last event has come
	err    error // how the stream ended otherwise

	mu       sync.Mutex
	assembly assembly
	text     strings.Builder // of the messages
	closed   bool            // no more events
	// settling and settled are about the permit; left is the end of Close. expired says that
	// the context closed the stream.
	settling, settled, ended, expired bool
}

// errClosed is the end of a stream that the caller closed.
var errClosed = errors.New("the stream is closed")

// expire ends a stream whose context has ended. It runs in a goroutine of its own.
func (s *stream) expire() {
	s.mu.Lock()
	s.expired = !s.closed
	s.mu.Unlock()
	s.closeQuietly()
}

// drop ends a stream that the program no longer refers to.
func (s *stream) closeDropped() {
	if s.isClosed() {
		return
	}
	defer func() { _ = recover() }() // of the logger: nobody else could
	defer s.closeQuietly()
	if logger := s.call.client.logger; logger != nil {
		logger.Warn("mistral: a stream was dropped without Close", "operation", s.call.op.name)
	}
}

// closeAlone closes a stream that nobody waits for: a panic of its body would end the program.
func (s *stream) closeQuietly() {
	defer func() { _ = recover() }()
	_ = s.close()
}

// each implements [Stream.Events].
func (s *stream) yieldEvents(yield func(sse.Event, error) bool) {
	defer func() { _ = s.close() }() // it has no error to report
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
			s.fail("an event cannot be read", s.redactDecodeError(err), false)
			break
		}
		if !s.addEvent(event) {
			break
		}
		if s.assembly.parts > maxParts {
			s.fail("it has too many parts", fmt.Errorf("a response of more than %d entries and chunks", maxParts), false)
			break
		}
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

func (s *stream) yieldEnd(yield func(sse.Event, error) bool) {
	if s.err != nil {
		_ = s.close() // before the caller hears of it
		yield(nil, s.err)
	}
}

// take notes what an event says of the whole reply. It reports false if the stream was closed
// meanwhile: then the call is settled with what had come before.
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
		// A last event whose data is not an object is the last, too.
		s.done = e.Type == string(generated.StreamEventTypeConversationResponseDone)
	}
	s.events++
	return true
}

func (s *stream) redact(text string) string { return s.call.client.secret.redactText(text) }

// withoutKey is an error of decoding without the key, in its frame too.
func (s *stream) redactDecodeError(err error) error {
	if unreadable := (*sse.DecodeError)(nil); errors.As(err, &unreadable) {
		frame := unreadable.Frame
		frame.Event, frame.Data = s.redact(frame.Event), s.call.client.secret.redact(frame.Data)
		return &sse.DecodeError{Frame: frame, Err: s.call.client.secret.redactError(unreadable.Err)}
	}
	return err
}

// fail ends the stream with an error, unless it has ended already. broken says that
// it is one of the connection.
func (s *stream) fail(what string, err error, broken bool) {
	switch {
	case s.err != nil || s.done:
		return
	case s.isClosed() && !s.hasExpired():
		what, err, broken = "no more events", errClosed, false
	case s.call.ctx.Err() != nil:
		s.call.learnInterrupted()
		s.end(s.contextEnded())
		return
	case s.call.latest.idleFor() != nil:
		what, err, broken = "it fell silent", s.call.latest.idleFor(), true
	}
	s.end(&StreamError{Message: what, Events: s.events, Err: err, broken: broken})
}

// end ends the stream with an error.
func (s *stream) end(err *StreamError) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.err = err
}

// contextEnded returns the error of a stream whose context has ended.
func (s *stream) contextEnded() *StreamError {
	message := "the call's context ended"
	if errors.Is(context.Cause(s.call.ctx), ErrShuttingDown) {
		message = "it was cancelled"
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

// drainTimeout bounds the wait for the end of a body whose last event has come.
const drainTimeout = 100 * time.Millisecond

// drain reads what follows the last event, normally nothing, so that the
// connection can carry the next call.
func (s *stream) drain() {
	timer := time.AfterFunc(drainTimeout, func() { s.call.latest.cancel(nil) })
	defer timer.Stop()
	// Whatever is there, or goes wrong with it, the reply is complete.
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
	defer s.markReached(&s.ended) // last: then the call has ended
	defer s.call.latest.end()
	s.settle()
	return nil
}

// settle ends the call with the usage that the last event reported, or else with
// what was received. It holds no lock meanwhile: the caller's logger hears of it,
// and may ask the stream.
func (s *stream) settle() {
	s.mu.Lock()
	if s.settling {
		s.mu.Unlock()
		return
	}
	s.settling = true
	conversationID, usage := s.assembly.conversationID, s.assembly.usage
	var texts []string
	if usage == nil {
		texts = append(s.assembly.otherTexts(), s.text.String())
	}
	s.mu.Unlock()
	defer s.markReached(&s.settled)
	if usage != nil {
		s.call.settle(conversationID, *usage)
		return
	}
	s.call.settleReceived(conversationID, texts)
}

// reach notes one of the two things that end a stream, once each: that it was left and
// that it is settled. Whoever comes second tells how the call has ended.
func (s *stream) markReached(reached *bool) {
	s.mu.Lock()
	*reached = true
	over, err := s.ended && s.settled, s.err
	if err == nil && s.expired && !s.done {
		err = s.contextEnded()
	}
	s.mu.Unlock()
	if over {
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
