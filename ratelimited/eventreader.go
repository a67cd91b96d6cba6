package ratelimited

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/sse"
)

// An eventReader reads the frames of an attempt's response, and ends the attempt when
// no event comes for too long. While the caller is busy with an event, and nobody reads, no
// time counts.
type eventReader struct {
	body      io.Reader
	bytesLeft int           // bytes that it may still have
	timeout   time.Duration // without bytes of an event
	cancel    func(error)
	idle      *time.Timer // ends the attempt after timeout
	silence   *time.Timer // ends the attempt after maxSilence without any bytes
	waitBegan time.Time   // since when the caller waits for an event
	waitEnded time.Time   // the latest end of such a wait of minWait or more
	frame     frameScanner
	decoder   *sse.Decoder

	// attempt is set until the first event: its timeout applies while only noise comes.
	attempt *attempt

	first    sse.Frame // that was read ahead
	hasFirst bool
}

// minWait is how long the caller must wait for an event that had not come before.
const minWait = time.Millisecond

// maxSilence bounds the time in which no bytes come, whatever StreamIdleTimeout is.
const maxSilence = 10 * time.Minute

func newEventReader(a *attempt, timeout time.Duration) *eventReader {
	r := &eventReader{body: a.resp.Body, bytesLeft: maxStreamBody, timeout: timeout, cancel: a.cancel, attempt: a}
	r.idle = time.AfterFunc(timeout, func() { a.cancel(idleError(timeout)) })
	r.silence = time.AfterFunc(maxSilence, func() { a.cancel(idleError(maxSilence)) })
	r.stop()
	r.decoder = sse.NewDecoder(r)
	return r
}

// start starts the timers of the wait for an event, and stop stops them.
func (r *eventReader) start() {
	r.waitBegan = time.Now()
	r.idle.Reset(r.timeout)
	r.silence.Reset(maxSilence)
}

func (r *eventReader) stop() {
	r.idle.Stop()
	r.silence.Stop()
}

// Read implements [io.Reader] for the decoder. The bytes of an event count as a sign of life;
// those of comments, blank lines and frames without data do not.
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

// skip takes back the sign of life of a frame that was not an event.
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

// A frameScanner follows the lines of a stream, as far as to tell events from noise.
type frameScanner struct {
	inLine, inComment bool
	afterCR           bool // a line feed belongs to the line end before it
	hasField, hasData bool // of the frame that has not ended
}

// A pulse is what the bytes of one Read say of a stream.
type activity int

const (
	noActivity activity = iota // comments and blank lines
	emptyFrame                 // the end of a frame without data
	eventBytes                 // a part of a frame, or a whole one with data
)

// scan returns what the next bytes say.
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
				s.hasData = s.hasData || c == 'd' // the field is data, or one that is ignored
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

// maxStreamBody is what is read of a stream: many times what the longest replies have.
const maxStreamBody = 256 << 20

var errStreamTooLarge = fmt.Errorf("the stream is larger than %d bytes", maxStreamBody)

// idleError is the end of a stream without an event for that long. It is a timeout.
type idleError time.Duration

func (e idleError) Error() string        { return fmt.Sprintf("no event came for %v", time.Duration(e)) }
func (e idleError) Timeout() bool        { return true }
func (e idleError) Temporary() bool      { return true }
func (e idleError) Is(target error) bool { return target == context.DeadlineExceeded }

// begin reads the first frame ahead. It fails where there is none: then the reply
// has not begun, and may be asked for again.
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

// frames yields all frames that are events, with the one that was read ahead.
func (r *eventReader) frames(yield func(sse.Frame, error) bool) {
	if r.hasFirst {
		r.hasFirst = false
		if !yield(r.first, nil) {
			return
		}
	}
	r.events(yield)
}

// events yields the frames that are events as they come. The time of yield does not count.
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

// isEvent reports whether a frame is one of the API's: one without data is a sign
// of life, and "[DONE]" the end of a stream in other services.
func isEvent(frame sse.Frame) bool { return len(frame.Data) > 0 && string(frame.Data) != "[DONE]" }
