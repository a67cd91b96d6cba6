package sse_test

import (
	"io"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/sse"
)

// frame is a comparable copy of an sse.Frame.
type frame struct {
	Event, ID, Data string
	Retry           time.Duration
}

func keep(f sse.Frame) frame {
	return frame{f.Event, f.ID, string(f.Data), f.Retry}
}

// collect returns all frames of d, up to the first error.
func collect(d *sse.Decoder) (frames []frame, err error) {
	for f, err := range d.Frames() {
		if err != nil {
			return frames, err
		}
		frames = append(frames, keep(f))
	}
	return frames, nil
}

// reference decodes a complete stream literally as the standard describes it. It also reports
// whether the stream ends with a frame larger than limit.
func reference(stream string, limit int) (frames []frame, tooLarge bool) {
	var f frame
	var data string
	size := 0
	if s, ok := strings.CutPrefix(stream, "\ufeff"); ok {
		stream, size = s, len("\ufeff")
	}
	stream = strings.ReplaceAll(stream, "\r\n", "\n")
	stream = strings.ReplaceAll(stream, "\r", "\n")
	lines := strings.Split(stream, "\n")
	for i, line := range lines {
		if size+len(line) > limit {
			return frames, true
		}
		if i == len(lines)-1 {
			break // the last line does not have a line end
		}
		if line == "" {
			if data != "" {
				f.Data = strings.TrimSuffix(data, "\n")
				frames = append(frames, f)
			}
			data, f.Event, size = "", "", 0
			continue
		}
		if line[0] == ':' {
			continue
		}
		size += len(line)
		name, value, _ := strings.Cut(line, ":")
		value = strings.TrimPrefix(value, " ")
		switch name {
		case "event":
			f.Event = value
		case "data":
			data += value + "\n"
		case "id":
			if !strings.Contains(value, "\x00") {
				f.ID = value
			}
		case "retry":
			if value != "" && strings.Trim(value, "0123456789") == "" {
				f.Retry = milliseconds(value)
			}
		}
	}
	return frames, false
}

func milliseconds(digits string) time.Duration {
	var n time.Duration
	for _, c := range digits {
		n = n*10 + time.Duration(c-'0')
		if n > math.MaxInt64/time.Millisecond {
			return math.MaxInt64 / time.Millisecond * time.Millisecond
		}
	}
	return n * time.Millisecond
}

// script is a reader that returns one chunk per Read, and then err, or io.EOF if err is nil. It
// counts the returned bytes.
type script struct {
	chunks    []string
	err       error
	before    func() // called before each Read if not nil
	delivered int
}

func (r *script) Read(p []byte) (int, error) {
	if r.before != nil {
		r.before()
	}
	if len(r.chunks) == 0 {
		if r.err != nil {
			return 0, r.err
		}
		return 0, io.EOF
	}
	n := copy(p, r.chunks[0])
	r.delivered += n
	if r.chunks[0] = r.chunks[0][n:]; r.chunks[0] == "" {
		r.chunks = slices.Delete(r.chunks, 0, 1)
	}
	return n, nil
}
