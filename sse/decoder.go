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

// DefaultMaxFrameSize is the largest frame, in bytes, of a [Decoder] that was not
// given another limit.
const DefaultMaxFrameSize = 16 << 20

const (
	// initialBuffer is the length of a Decoder's buffer before a frame makes it
	// grow. It holds dozens of the usual frames.
	initialBuffer = 8 << 10

	// maxEmptyReads is the number of successive Reads without a byte or an error
	// that are tolerated, as in package bufio.
	maxEmptyReads = 100

	// maxNames and maxNameLen limit the event names kept for reuse. A stream has
	// about ten of them; a hostile stream cannot make the Decoder keep more.
	maxNames   = 16
	maxNameLen = 128
)

// A Frame is one event of an event stream, not yet interpreted.
//
// Data is memory of the [Decoder] and is overwritten when the next frame is asked
// for; [Frame.Clone] gives a frame to keep. The strings stay valid.
type Frame struct {
	// Event is the value of the event field, or "" when it is absent or empty.
	// The standard's name for such an event is "message".
	Event string

	// ID is the last event ID of the stream: the value of the latest id field, in
	// this frame or any before it. It is "" until the stream sets one, and after
	// the stream clears it with an empty id field.
	ID string

	// Data is the values of the data fields, joined with line feeds. It is empty
	// if the only data field has no value. The bytes are as received: ill-formed
	// UTF-8 is not replaced.
	Data []byte

	// Retry is the reconnection time of the stream: the value of the latest valid
	// retry field, in this frame or any before it. It is 0 until the stream sets
	// one, and at most the largest Duration in whole milliseconds.
	Retry time.Duration
}

// Clone returns a copy of f that shares no memory with the [Decoder].
func (f Frame) Clone() Frame {
	f.Data = bytes.Clone(f.Data)
	return f
}

// A FrameTooLargeError reports a frame larger than [Decoder.MaxFrameSize].
type FrameTooLargeError struct {
	Limit int // the largest size allowed, in bytes
}

// Error gives the limit.
func (e *FrameTooLargeError) Error() string {
	return fmt.Sprintf("sse: frame is larger than %d bytes", e.Limit)
}

var errNoReader = errors.New("sse: the Decoder has no reader: must be made with sse.NewDecoder and a reader that is not nil")

var errBadReadCount = errors.New("reader returned an impossible count")

// A Decoder reads frames from an event stream. Make one with [NewDecoder] and
// range over [Decoder.Frames].
//
// A Decoder has one buffer, which grows to little more than twice the largest frame.
// It starts no goroutines and never closes its reader: to interrupt a Read that
// blocks, close the response body or cancel the request. A Decoder must not be
// used by several goroutines at the same time.
type Decoder struct {
	// MaxFrameSize limits the size of a frame: the sum of the lengths of its
	// lines, without the line ends and without the comments before the line being
	// read. A frame that exceeds it ends the stream with a [*FrameTooLargeError].
	// Zero or less means [DefaultMaxFrameSize].
	MaxFrameSize int

	r   io.Reader
	err error // why there is nothing more to read, once that is so

	// buf[pos:end] has been read but not yet decoded. lf and cr are the positions
	// of the first LF and the first CR in it; end if there is none. A position
	// below pos is out of date. Remembering both keeps the search linear whichever
	// of the two a stream uses: a byte is compared with each of them once.
	buf      []byte
	pos, end int
	lf, cr   int

	started bool // the first line, which may have a byte order mark, is behind us
	afterCR bool // the last line ended with CR: an LF at pos belongs to that line end

	// The frame being decoded. Its data is buf[dataPos:dataEnd], where the lines
	// are joined in place: a value follows a line end and a field name, so it only
	// ever moves towards the front.
	event            string
	hasData          bool // distinguishes a data field without a value from no data field
	dataPos, dataEnd int
	size             int // as limited by MaxFrameSize, complete lines only

	// The state of the stream that outlives a frame.
	id    string
	retry time.Duration

	names    [maxNames]string // the last event names that were new
	nextName int              // the one to replace next
}

// NewDecoder returns a Decoder that reads from r. It reads nothing yet, and never
// reads while it has a complete frame to deliver.
func NewDecoder(r io.Reader) *Decoder {
	return &Decoder{r: r, MaxFrameSize: DefaultMaxFrameSize}
}

// Frames returns the frames that have not been delivered yet, in order. A frame
// and an error are never yielded together.
//
// The sequence ends without an error when the reader reports [io.EOF]; an event
// whose blank line has not come by then is discarded. Whether the stream was
// complete is for the caller to judge, by the events it has seen. Any other
// failure is yielded once, as the last element: an error of the reader, which it
// wraps, [io.ErrNoProgress] included, or a [*FrameTooLargeError].
//
// After a break, Frames continues with the next frame. After the end, it ends the
// same way again.
func (d *Decoder) Frames() iter.Seq2[Frame, error] {
	return func(yield func(Frame, error) bool) {
		if d == nil || d.r == nil {
			yield(Frame{}, errNoReader)
			return
		}
		for d.next() {
			// The capacity is cut, so that appending to Data cannot overwrite what
			// has been read ahead.
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

// next decodes up to the next blank line that completes a frame. It returns false
// if there is none; then d.err says why.
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

// line returns the next line without its line end, reading as necessary. It
// returns false at the end of the stream and when the frame is too large.
func (d *Decoder) line() ([]byte, bool) {
	for {
		// A CR ends its line at once, for the other half of a CRLF may be long in
		// coming, or never come. So that half is skipped here, when it is there.
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
		return from // every frame has a blank line, and this is cheaper than a call
	}
	if i := bytes.IndexByte(d.buf[from:d.end], c); i >= 0 {
		return from + i
	}
	return d.end
}

// tooLarge reports whether n more bytes make the frame exceed the limit. If so,
// they end the stream.
func (d *Decoder) tooLarge(n int) bool {
	limit := d.MaxFrameSize
	if limit <= 0 {
		limit = DefaultMaxFrameSize
	}
	if d.size+n <= limit {
		return false
	}
	d.err = &FrameTooLargeError{Limit: limit}
	d.pos = d.end // nothing read ahead may follow the error
	return true
}

// fill reads more bytes behind those of an unfinished line, which must be all
// that is left in the buffer. It returns false if there are no more.
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
		if err != nil && err != io.EOF { // not errors.Is: only the bare io.EOF means the end
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

// makeRoom sees to it that some eighth of the buffer is free behind d.end. It moves
// the data of the frame and the unfinished line to the front, and doubles the
// buffer if that is not enough.
//
// Moving no sooner keeps the cost linear: at most a buffer's length of bytes moves
// for an eighth of that length read.
func (d *Decoder) ensureSpace() {
	minFree := len(d.buf)/8 + 1
	if len(d.buf)-d.end >= minFree {
		return
	}
	data, rest := d.buf[d.dataPos:d.dataEnd], d.buf[d.pos:d.end]
	if !d.hasData {
		data = nil // what it was has been delivered
	}
	if len(d.buf)-len(data)-len(rest) < minFree {
		d.buf = make([]byte, max(2*len(d.buf), initialBuffer))
	}
	d.dataPos, d.dataEnd = 0, copy(d.buf, data)
	d.pos, d.end = d.dataEnd, d.dataEnd+copy(d.buf[d.dataEnd:], rest)
}

// field interprets a line that is not blank.
func (d *Decoder) field(line []byte) {
	// No field has a name longer than "event", so the search for the colon can
	// stop there: what it leaves of a longer name is not a field either.
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
		// The usual case, a single data line, stays where it is: before the line
		// end, which is before d.pos.
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
	case "": // a comment, which takes no memory any more
		d.size -= len(line)
	}
}

// intern returns name as a string: one from before if there is one, so that the
// usual event costs no allocation.
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

// parseRetry returns the value of a retry field, a number of milliseconds. It is
// not ok unless it consists of ASCII digits. A number too large for a Duration
// becomes the largest that is not.
func parseRetry(value []byte) (_ time.Duration, ok bool) {
	const largest = math.MaxInt64 / time.Millisecond
	var n time.Duration
	for _, c := range value {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = min(10*n+time.Duration(c-'0'), largest)
	}
	return n * time.Millisecond, len(value) > 0
}
