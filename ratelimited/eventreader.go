package ratelimited

import (
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/sse"
)

// An eventReader reads the frames of an attempt's reply, and ends the attempt when
// nothing has come for too long. While the caller is busy with an event, and
// nobody reads, no time counts.
type eventReader struct {
	body    io.Reader
	left    int // bytes that it may still have
	timeout time.Duration
	idle    *time.Timer
	decoder *sse.Decoder

	first    sse.Frame // that was read ahead
	hasFirst bool
}

func newEventReader(a *attempt, timeout time.Duration) *eventReader {
	r := &eventReader{body: a.resp.Body, left: maxStreamBody, timeout: timeout}
	r.idle = time.AfterFunc(timeout, func() { a.cancel(idleError(timeout)) })
	r.idle.Stop()
	r.decoder = sse.NewDecoder(r)
	return r
}

// Read implements [io.Reader] for the decoder.
func (r *eventReader) Read(p []byte) (int, error) {
	if r.left <= 0 {
		return 0, errStreamTooLarge
	}
	r.idle.Reset(r.timeout)
	defer r.idle.Stop()
	n, err := r.body.Read(p[:min(len(p), r.left)])
	r.left -= n
	return n, err
}

// maxStreamBody is what is read of a stream: many times what the longest replies have.
const maxStreamBody = 256 << 20

var errStreamTooLarge = fmt.Errorf("the stream is larger than %d bytes", maxStreamBody)

// idleError is the end of a stream on which nothing came for so long. It is a
// timeout for those who ask.
type idleError time.Duration

func (e idleError) Error() string        { return fmt.Sprintf("nothing came for %v", time.Duration(e)) }
func (e idleError) Timeout() bool        { return true }
func (e idleError) Temporary() bool      { return true }
func (e idleError) Is(target error) bool { return target == context.DeadlineExceeded }

// begin reads the first frame ahead. It fails where there is none: then the reply
// has not begun, and may be asked for again.
func (r *eventReader) begin() error {
	for frame, err := range r.decoder.Frames() {
		if err != nil {
			return err
		}
		if isEvent(frame) {
			r.first, r.hasFirst = frame, true
			return nil
		}
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
	for frame, err := range r.decoder.Frames() {
		if (err != nil || isEvent(frame)) && !yield(frame, err) {
			return
		}
	}
}

// isEvent reports whether a frame is one of the API's: one without data is a sign
// of life, and "[DONE]" the end of a stream in other services.
func isEvent(frame sse.Frame) bool { return len(frame.Data) > 0 && string(frame.Data) != "[DONE]" }
