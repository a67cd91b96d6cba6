package sse

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"time"
)

// DefaultMaxFrameSize is the default of [Decoder.MaxFrameSize], in bytes.
const DefaultMaxFrameSize = 16 << 20

const (
	// initialBuffer is the initial length of the buffer. It holds dozens of typical frames.
	initialBuffer = 8 << 10

	// maxEmptyReads is the maximum number of successive reads without bytes or an error, as in package
	// bufio.
	maxEmptyReads = 100

	// maxNames and maxNameLen bound the event names that are kept for reuse. A stream has about ten of them; a
	// malicious stream cannot make the Decoder keep more.
	maxNames   = 16
	maxNameLen = 128
)

// A Frame is one event of an event stream. Its data is not decoded yet.
//
// Data is memory of the [Decoder], which overwrites it when it reads the next frame. Use [Frame.Clone] to
// keep a frame. The strings stay valid.
type Frame struct {
	// Event is the value of the event field, or "" if it is missing or empty. The standard calls such an event
	// "message".
	Event string

	// ID is the last event ID of the stream: the value of the latest id field, in this or an earlier frame. It
	// is "" until the stream sets it, and after the stream clears it with an empty id field.
	ID string

	// Data is the values of the data fields, joined with line feeds. It is empty if the only data field does not
	// have a value. The bytes are unchanged: invalid UTF-8 is not replaced.
	Data []byte

	// Retry is the reconnection time of the stream: the value of the latest valid retry field, in this or an
	// earlier frame. It is 0 until the stream sets it, and at most the largest Duration in whole
	// milliseconds.
	Retry time.Duration
}

// Clone returns a copy of f that does not share memory with the [Decoder].
func (f Frame) Clone() Frame {
	f.Data = bytes.Clone(f.Data)
	return f
}

// A FrameTooLargeError reports a frame larger than [Decoder.MaxFrameSize].
type FrameTooLargeError struct {
	Limit int // the maximum size in bytes
}

// Error returns the limit.
func (e *FrameTooLargeError) Error() string {
	return fmt.Sprintf("sse: frame is larger than %d bytes", e.Limit)
}

var errNoReader = errors.New("sse: Decoder: must come from sse.NewDecoder with a reader that is not nil")

var errBadReadCount = errors.New("the reader returned an invalid count")

// A Decoder reads frames from an event stream. Create one with [NewDecoder] and range over [Decoder.Frames].
//
// A Decoder has one buffer, which grows to slightly more than twice the largest frame. It does not start
// goroutines and does not close its reader: close the response body or cancel the request to interrupt a
// Read that blocks. A Decoder must not be used by several goroutines concurrently.
type Decoder struct {
	// MaxFrameSize bounds the size of a frame: the sum of the lengths of its lines, without line ends and
	// without the comments before the current line. A larger frame ends the stream with a
	// [*FrameTooLargeError]. Zero or less means [DefaultMaxFrameSize].
	MaxFrameSize int

	r   io.Reader
	err error // why reading has ended; nil before

	// buf[pos:end] has been read but not decoded. lf and cr are the positions of the first LF
	// and the first CR in it, or end. A position below pos is outdated. Storing both keeps the
	// search linear: each byte is compared with LF and CR once.
	buf      []byte
	pos, end int
	lf, cr   int

	started bool // the first line, which may have a byte order mark, was read
	afterCR bool // the last line ended with CR, so an LF at pos belongs to this line end

	// The current frame. Its data is buf[dataPos:dataEnd], where the lines are joined in place: a
	// value follows a line end and a field name, so it only moves towards the front.
	event            string
	hasData          bool // distinguishes an empty data field from a missing one
	dataPos, dataEnd int
	size             int // size of the complete lines, for MaxFrameSize

	// The state of the stream, which persists between frames.
	id    string
	retry time.Duration

	names    [maxNames]string // recent event names
	nextName int              // index of the name to replace next
}

// NewDecoder returns a Decoder that reads from r. NewDecoder itself does not read. The Decoder does not
// read while it has a complete frame to dispatch.
func NewDecoder(r io.Reader) *Decoder {
	return &Decoder{r: r, MaxFrameSize: DefaultMaxFrameSize}
}

// Frames returns an iterator over the frames that have not been dispatched yet, in order. It never yields
// a frame and an error together.
//
// The sequence ends without an error when the reader returns [io.EOF]. An event whose blank line has not
// arrived by then is discarded. The caller must decide from the events whether the stream is complete. Any
// other failure is yielded once, as the last element. It is a [*FrameTooLargeError], or wraps the reader's
// error or [io.ErrNoProgress].
//
// After a break, Frames continues with the next frame. After the end, it ends in the same way again.
func (d *Decoder) Frames() iter.Seq2[Frame, error] {
	return func(yield func(Frame, error) bool) {
		if d == nil || d.r == nil {
			yield(Frame{}, errNoReader)
			return
		}
		for d.next() {
			// Limit the capacity, so appending to Data cannot overwrite bytes that were
			// read ahead.
			data := d.buf[d.dataPos:d.dataEnd:d.dataEnd]
			if !yield(Frame{Event: d.event, ID: d.id, Data: data, Retry: d.retry}, nil) {
				return
			}
		}
		if d.err != io.EOF {
			yield(Frame{}, d.err)
		}
	}
}

// next decodes lines until a blank line completes a frame. It returns false at the end of the stream; d.err is
// then the reason.
func (d *Decoder) next() bool {
	d.event, d.hasData, d.size = "", false, 0
	for {
		line, ok := d.line()
		if !ok {
			return false
		}
		if len(line) == 0 {
			if d.hasData {
				return true
			}
			d.event, d.size = "", 0
			continue
		}
		d.field(line)
	}
}

// line returns the next line without its line end, and reads if necessary. It returns false at the end of the
// stream and when the frame is too large.
func (d *Decoder) line() ([]byte, bool) {
	for {
		// A CR ends its line at once, because the LF of a CRLF may arrive much later or
		// never. This LF is skipped here when it has arrived.
		if d.afterCR && d.pos < d.end {
			d.afterCR = false
			if d.buf[d.pos] == '\n' {
				d.pos++
			}
		}
		if d.lf < d.pos {
			d.lf = d.index('\n', d.pos)
		}
		if d.cr < d.pos {
			d.cr = d.index('\r', d.pos)
		}
		eol := min(d.lf, d.cr)
		if d.tooLarge(eol - d.pos) {
			return nil, false
		}
		if eol < d.end {
			line := d.buf[d.pos:eol]
			d.size += len(line)
			d.pos = eol + 1
			d.afterCR = eol == d.cr
			if !d.started {
				d.started = true
				line = bytes.TrimPrefix(line, []byte("\ufeff"))
			}
			return line, true
		}
		if !d.fill() {
			return nil, false
		}
	}
}

// index returns the position of the first c in buf[from:end], or end.
func (d *Decoder) index(c byte, from int) int {
	if from < d.end && d.buf[from] == c {
		return from // common because of blank lines, and cheaper than a call
	}
	if i := bytes.IndexByte(d.buf[from:d.end], c); i >= 0 {
		return from + i
	}
	return d.end
}

// tooLarge reports whether n more bytes exceed the limit of the frame. If they do, it ends the stream.
func (d *Decoder) tooLarge(n int) bool {
	limit := d.MaxFrameSize
	if limit <= 0 {
		limit = DefaultMaxFrameSize
	}
	if d.size+n <= limit {
		return false
	}
	d.err = &FrameTooLargeError{Limit: limit}
	d.pos = d.end // discard bytes that were read ahead
	return true
}

// fill reads more bytes after an unfinished line, which must be the only unread content of the buffer. It returns
// false at the end of the stream.
func (d *Decoder) fill() bool {
	if d.err != nil {
		return false
	}
	d.ensureSpace()
	for range maxEmptyReads {
		n, err := d.r.Read(d.buf[d.end:])
		if n < 0 || n > len(d.buf)-d.end {
			n, err = 0, errBadReadCount
		}
		if err != nil && err != io.EOF { // not errors.Is: only an unwrapped io.EOF is the end
			err = fmt.Errorf("sse: read: %w", err)
		}
		d.err = err
		if n > 0 {
			from := d.end
			d.end += n
			d.lf, d.cr = d.index('\n', from), d.index('\r', from)
			return true
		}
		if err != nil {
			return false
		}
	}
	d.err = fmt.Errorf("sse: read: %w", io.ErrNoProgress)
	return false
}

// ensureSpace makes at least an eighth of the buffer free after d.end. It moves the data of the frame and the
// unfinished line to the front, and doubles the buffer if that is not enough.
//
// The cost stays linear: for each eighth of the buffer's length that is read, at most the buffer's length of
// bytes moves.
func (d *Decoder) ensureSpace() {
	minFree := len(d.buf)/8 + 1
	if len(d.buf)-d.end >= minFree {
		return
	}
	data, rest := d.buf[d.dataPos:d.dataEnd], d.buf[d.pos:d.end]
	if !d.hasData {
		data = nil // it was dispatched
	}
	if len(d.buf)-len(data)-len(rest) < minFree {
		d.buf = make([]byte, max(2*len(d.buf), initialBuffer))
	}
	d.dataPos, d.dataEnd = 0, copy(d.buf, data)
	d.pos, d.end = d.dataEnd, d.dataEnd+copy(d.buf[d.dataEnd:], rest)
}

// field interprets a line that is not blank.
func (d *Decoder) field(line []byte) {
	// Field names are not longer than "event", so the search for the colon stops there. The
	// beginning of a longer name is not a field either.
	n := 0
	for n < len(line) && n <= len("event") && line[n] != ':' {
		n++
	}
	value := line[min(n+1, len(line)):]
	if len(value) > 0 && value[0] == ' ' {
		value = value[1:]
	}
	switch string(line[:n]) {
	case "data":
		if d.hasData {
			d.buf[d.dataEnd] = '\n'
			d.dataEnd++
			d.dataEnd += copy(d.buf[d.dataEnd:], value)
			return
		}
		// A single data line, the typical case, stays in place, before the line end at
		// d.pos-1.
		d.hasData = true
		d.dataEnd = d.pos - 1
		d.dataPos = d.dataEnd - len(value)
	case "event":
		d.event = d.intern(value)
	case "id":
		if string(value) != d.id && bytes.IndexByte(value, 0) < 0 {
			d.id = string(value)
		}
	case "retry":
		if retry, ok := parseRetry(value); ok {
			d.retry = retry
		}
	case "": // a comment does not count
		d.size -= len(line)
	}
}

// intern returns name as a string. It reuses an earlier string, so typical events do not allocate.
func (d *Decoder) intern(name []byte) string {
	for _, s := range d.names[:] { // not a copy of the array
		if string(name) == s {
			return s
		}
	}
	s := string(name)
	if len(s) <= maxNameLen {
		d.names[d.nextName] = s
		d.nextName = (d.nextName + 1) % maxNames
	}
	return s
}

// parseRetry returns the value of a retry field, a number of milliseconds. It reports false unless the value
// consists of ASCII digits. A number too large for a Duration becomes the largest possible value.
func parseRetry(value []byte) (_ time.Duration, ok bool) {
	const maxCount = math.MaxInt64 / time.Millisecond
	var n time.Duration
	for _, c := range value {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = min(10*n+time.Duration(c-'0'), maxCount)
	}
	return n * time.Millisecond, len(value) > 0
}
