package ratelimited

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/sse"
)

// An eventReader reads the frames of an attempt's response and ends the attempt if the stream is idle for
// too long. The time in which the caller handles an event does not count.
type eventReader struct {
	body      io.Reader
	bytesLeft int           // bytes left until maxStreamBody
	timeout   time.Duration // StreamIdleTimeout
	cancel    func(error)
	idle      *time.Timer // ends the attempt after timeout
	silence   *time.Timer // ends the attempt after maxSilence
	waitBegan time.Time   // start of the current wait for an event
	waitEnded time.Time   // end of the latest wait of at least minWait
	frame     frameScanner
	decoder   *sse.Decoder

	// attempt is set until the first event. Its timeout applies until then.
	attempt *attempt

	first    sse.Frame // the frame that readFirst read
	hasFirst bool
}

// minWait is the shortest wait after which an event counts as not yet received.
const minWait = time.Millisecond

// maxSilence bounds the time without any bytes, independently of StreamIdleTimeout.
const maxSilence = 10 * time.Minute

func newEventReader(a *attempt, timeout time.Duration) *eventReader {
	r := &eventReader{body: a.resp.Body, bytesLeft: maxStreamBody, timeout: timeout, cancel: a.cancel, attempt: a}
	r.idle = time.AfterFunc(timeout, func() { a.cancel(idleError(timeout)) })
	r.silence = time.AfterFunc(maxSilence, func() { a.cancel(idleError(maxSilence)) })
	r.stop()
	r.decoder = sse.NewDecoder(r)
	return r
}

// start starts the timers of the wait for an event.
func (r *eventReader) start() {
	r.waitBegan = time.Now()
	r.idle.Reset(r.timeout)
	r.silence.Reset(maxSilence)
}

// stop stops the timers.
func (r *eventReader) stop() {
	r.idle.Stop()
	r.silence.Stop()
}

// Read implements [io.Reader] for the decoder. The bytes of an event reset the idle timer. Comments, blank
// lines and frames without data do not.
func (r *eventReader) Read(p []byte) (int, error) {
	if r.bytesLeft <= 0 {
		return 0, errStreamTooLarge
	}
	n, err := r.body.Read(p[:min(len(p), r.bytesLeft)])
	r.bytesLeft -= n
	if n > 0 {
		r.silence.Reset(maxSilence)
	}
	switch r.frame.scan(p[:n]) {
	case eventBytes:
		r.idle.Reset(r.timeout)
		if r.attempt != nil {
			r.attempt.timer.Stop()
		}
	case emptyFrame:
		r.undoReset()
	case noActivity:
	}
	return n, err
}

// undoReset restores the timers after a frame that was not an event.
func (r *eventReader) undoReset() {
	if r.attempt != nil {
		r.attempt.timer.Reset(max(0, r.attempt.timeout-time.Since(r.attempt.began)))
	}
	if left := r.timeout - time.Since(r.waitBegan); left > 0 {
		r.idle.Reset(left)
	} else {
		r.cancel(idleError(r.timeout))
	}
}

// A frameScanner follows the lines of a stream to distinguish events from other frames.
type frameScanner struct {
	inLine, inComment bool
	afterCR           bool // a following line feed belongs to the previous line end
	hasField, hasData bool // of the current frame
}

// activity is the kind of content in the bytes of one Read.
type activity int

const (
	noActivity activity = iota // comments and blank lines only
	emptyFrame                 // the end of a frame without data
	eventBytes                 // a part of a frame, or a whole frame with data
)

// scan returns the kind of content in the next bytes.
func (s *frameScanner) scan(p []byte) (found activity) {
	for _, c := range p {
		wasCR := s.afterCR
		s.afterCR = c == '\r'
		if wasCR && c == '\n' {
			continue
		}
		switch {
		case c != '\n' && c != '\r':
			if !s.inLine {
				s.inLine, s.inComment = true, c == ':'
				s.hasData = s.hasData || c == 'd' // the field is data, or an ignored one
			}
			s.hasField = s.hasField || !s.inComment
		case s.inLine:
			s.inLine = false
		default: // a blank line ends the frame
			if s.hasData {
				found = eventBytes
			} else if s.hasField && found == noActivity {
				found = emptyFrame
			}
			s.hasField, s.hasData = false, false
		}
	}
	if s.hasField {
		return eventBytes
	}
	return found
}

// maxStreamBody is the maximum number of bytes of a stream, many times the size of the longest responses.
const maxStreamBody = 256 << 20

var errStreamTooLarge = fmt.Errorf("the stream is larger than %d bytes", maxStreamBody)

// idleError is the error of a stream without an event for this duration. It is a timeout.
type idleError time.Duration

func (e idleError) Error() string        { return fmt.Sprintf("no event arrived for %v", time.Duration(e)) }
func (e idleError) Timeout() bool        { return true }
func (e idleError) Temporary() bool      { return true }
func (e idleError) Is(target error) bool { return target == context.DeadlineExceeded }

// readFirst reads the first frame. If this fails, the response has not started, and the call may be
// retried.
func (r *eventReader) readFirst() error {
	for frame, err := range r.events {
		if err != nil {
			return err
		}
		r.first, r.hasFirst, r.attempt = frame, true, nil
		return nil
	}
	return errNoEvents
}

var errNoEvents = errors.New("the stream ended before its first event")

// frames yields all frames that are events, including the first one.
func (r *eventReader) frames(yield func(sse.Frame, error) bool) {
	if r.hasFirst {
		r.hasFirst = false
		if !yield(r.first, nil) {
			return
		}
	}
	r.events(yield)
}

// events yields the frames that are events as they arrive. The time of yield does not count.
func (r *eventReader) events(yield func(sse.Frame, error) bool) {
	r.start()
	defer r.stop()
	for frame, err := range r.decoder.Frames() {
		if err == nil && !isEvent(frame) {
			r.undoReset()
			continue
		}
		r.stop()
		if now := time.Now(); now.Sub(r.waitBegan) >= minWait {
			r.waitEnded = now
		}
		if !yield(frame, err) {
			return
		}
		r.start()
	}
}

// isEvent reports whether a frame is an event of the API. A frame without data keeps the connection
// alive, and "[DONE]" ends the stream of other services.
func isEvent(frame sse.Frame) bool { return len(frame.Data) > 0 && string(frame.Data) != "[DONE]" }
