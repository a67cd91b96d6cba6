package sse_test

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
	"testing/synctest"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/sse"
)

// TestDispatch writes each frame to a pipe after the previous frame has arrived. A Decoder that
// delays a frame would deadlock, which synctest reports.
func TestDispatch(t *testing.T) {
	t.Parallel()
	for _, end := range []string{"\n", "\r\n", "\r"} {
		t.Run(fmt.Sprintf("%q", end), func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				r, w := io.Pipe()
				arrived := make(chan struct{})
				go func() {
					defer func() { _ = w.Close() }()
					for i := range 3 {
						_, _ = fmt.Fprintf(w, "id: %d%sdata: x%s%s", i, end, end, end)
						<-arrived
					}
				}()
				n := 0
				for f, err := range sse.NewDecoder(r).Frames() {
					if err != nil || f.ID != fmt.Sprint(n) || string(f.Data) != "x" {
						t.Errorf("frame %d = %q, error %v", n, f, err)
					}
					n++
					arrived <- struct{}{}
				}
				if n != 3 {
					t.Errorf("%d frames, want 3", n)
				}
			})
		})
	}
}

func TestLimit(t *testing.T) {
	t.Parallel()
	const limit = 20
	x := func(n int) string { return strings.Repeat("x", n) }
	for _, c := range []struct {
		name, stream string
		want         int // number of frames
		tooLarge     bool
	}{
		{"exactly", "data: " + x(14) + "\n\n", 1, false},
		{"one more", "data: " + x(15) + "\n\n", 0, true},
		{"line without end, exactly", "data: " + x(14), 0, false},
		{"line without end, one more", "data: " + x(15), 0, true},
		{"line ends do not count", "data:" + x(5) + "\r\ndata:" + x(5) + "\r\n\r\n", 1, false},
		{"sum of lines", "data:" + x(5) + "\ndata:" + x(6) + "\n\n", 0, true},
		{"many empty data lines", strings.Repeat("data\n", 5) + "\n", 1, false},
		{"too many empty data lines", strings.Repeat("data\n", 6) + "\n", 0, true},
		{"other fields count", "event: " + x(9) + "\ndata\n\n", 1, false},
		{"other fields are too many", "event: " + x(10) + "\ndata\n\n", 0, true},
		{"unknown fields count", x(17) + "\ndata\n\n", 0, true},
		{"comments do not add up", strings.Repeat(": "+x(10)+"\n", 9) + "data: a\n\n", 1, false},
		{"long comment", ":" + x(20) + "\n\n", 0, true},
		{"each frame separately", strings.Repeat("data: "+x(14)+"\n\n", 9), 9, false},
		{"blocks without data do not add up", strings.Repeat("event: "+x(13)+"\n\n", 9) + "data: a\n\n", 1, false},
		{"earlier frames are dispatched", "data: a\n\ndata: b\n\ndata: " + x(15) + "\n\ndata: c\n\n", 2, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			for how, r := range map[string]io.Reader{
				"whole":        strings.NewReader(c.stream),
				"byte by byte": iotest.OneByteReader(strings.NewReader(c.stream)),
			} {
				d := sse.NewDecoder(r)
				d.MaxFrameSize = limit
				frames, err := collect(d)
				if len(frames) != c.want {
					t.Errorf("%s: %d frames, want %d", how, len(frames), c.want)
				}
				var tooLarge *sse.FrameTooLargeError
				if errors.As(err, &tooLarge) != c.tooLarge {
					t.Errorf("%s: error %v, want too large: %t", how, err, c.tooLarge)
				}
				if c.tooLarge && tooLarge.Limit != limit {
					t.Errorf("%s: limit in the error is %d, want %d", how, tooLarge.Limit, limit)
				}
			}
		})
	}
}

func TestDefaultLimit(t *testing.T) {
	t.Parallel()
	line := "data:" + strings.Repeat("x", sse.DefaultMaxFrameSize-len("data:"))
	for _, limit := range []int{sse.DefaultMaxFrameSize, 0, -1} {
		d := sse.NewDecoder(strings.NewReader(line + "\n\n" + line + "x\n\n"))
		if d.MaxFrameSize != sse.DefaultMaxFrameSize {
			t.Errorf("MaxFrameSize = %d by default, want %d", d.MaxFrameSize, sse.DefaultMaxFrameSize)
		}
		d.MaxFrameSize = limit
		frames, err := collect(d)
		var tooLarge *sse.FrameTooLargeError
		if len(frames) != 1 || !errors.As(err, &tooLarge) || tooLarge.Limit != sse.DefaultMaxFrameSize {
			t.Errorf("limit %d: %d frames, error %v", limit, len(frames), err)
		}
	}
}

// TestEndless reads a line that never ends. MaxFrameSize must end the stream.
func TestEndless(t *testing.T) {
	t.Parallel()
	for _, stream := range []string{"data: x", "data: x\n", "data: x\r", "x\r\n"} {
		d := sse.NewDecoder(&endless{stream: []byte(stream)})
		d.MaxFrameSize = 100_000
		_, err := collect(d)
		var tooLarge *sse.FrameTooLargeError
		if !errors.As(err, &tooLarge) {
			t.Errorf("%q repeated: error %v", stream, err)
		}
	}
}

func TestReadError(t *testing.T) {
	t.Parallel()
	cause := errors.New("connection reset")
	const stream = "data: a\n\ndata: b\n\ndata: c\n"
	for how, r := range map[string]io.Reader{
		"after the data":       &script{chunks: []string{stream}, err: cause},
		"with the data":        iotest.DataErrReader(&script{chunks: []string{stream}, err: cause}),
		"byte by byte":         iotest.OneByteReader(&script{chunks: []string{stream}, err: cause}),
		"wrapped end of file":  &script{chunks: []string{stream}, err: fmt.Errorf("%w: %w", cause, io.EOF)},
		"together with others": &script{chunks: []string{stream}, err: errors.Join(io.ErrUnexpectedEOF, cause)},
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			d := sse.NewDecoder(r)
			var data string
			var errs []error
			for f, err := range d.Frames() {
				data += string(f.Data)
				if err != nil {
					errs = append(errs, err)
					if f.Event != "" || f.ID != "" || f.Data != nil || f.Retry != 0 {
						t.Errorf("frame %q with the error", f)
					}
				}
			}
			if data != "ab" {
				t.Errorf("data %q, want %q", data, "ab")
			}
			if len(errs) != 1 || !errors.Is(errs[0], cause) {
				t.Errorf("errors %v, want one that wraps %v", errs, cause)
			}
		})
	}
}

func TestErrorOfTheFirstRead(t *testing.T) {
	t.Parallel()
	_, err := collect(sse.NewDecoder(iotest.ErrReader(io.ErrClosedPipe)))
	if !errors.Is(err, io.ErrClosedPipe) {
		t.Errorf("error %v, want %v", err, io.ErrClosedPipe)
	}
}

// reads is a function that implements io.Reader.
type reads func(p []byte) (int, error)

func (f reads) Read(p []byte) (int, error) { return f(p) }

func TestNoProgress(t *testing.T) {
	t.Parallel()
	calls := 0
	_, err := collect(sse.NewDecoder(reads(func([]byte) (int, error) {
		calls++
		return 0, nil
	})))
	if !errors.Is(err, io.ErrNoProgress) || calls != 100 {
		t.Errorf("error %v after %d empty reads, want io.ErrNoProgress after 100", err, calls)
	}

	// Only successive empty reads count.
	chunks := slices.Repeat([]string{""}, 99)
	chunks = slices.Concat(chunks, []string{"data: a\n"}, chunks, []string{"\n"}, chunks)
	frames, err := collect(sse.NewDecoder(&script{chunks: chunks}))
	if err != nil || len(frames) != 1 {
		t.Errorf("frames %q, error %v", frames, err)
	}
}

func TestInvalidReadCount(t *testing.T) {
	t.Parallel()
	for _, excess := range []int{-1 << 20, 1} {
		_, err := collect(sse.NewDecoder(reads(func(p []byte) (int, error) {
			return len(p) + excess, nil
		})))
		if err == nil {
			t.Errorf("got no error for a count that is off by %+d", excess)
		}
	}
}

func TestContinueAfterBreak(t *testing.T) {
	t.Parallel()
	for i := range conformance {
		c := conformance[i]
		d := sse.NewDecoder(strings.NewReader(c.stream))
		var got []frame
		for range len(c.want) {
			for f, err := range d.Frames() {
				if err != nil {
					t.Fatalf("%s: %v", c.name, err)
				}
				got = append(got, keep(f))
				break
			}
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s:\n got %q\nwant %q", c.name, got, c.want)
		}
		if rest, err := collect(d); rest != nil || err != nil {
			t.Errorf("%s: frames %q, error %v after the last frame", c.name, rest, err)
		}
	}
}

func TestFramesAfterTheEnd(t *testing.T) {
	t.Parallel()
	cause := errors.New("connection reset")
	for _, c := range []struct {
		name string
		err  error // of the reader
		max  int
	}{
		{"end of file", nil, 0},
		{"read error", cause, 0},
		{"too large", nil, 10},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			d := sse.NewDecoder(&script{chunks: []string{"data: a\n\ndata: bbbbbb\n\ndata: c\n\ndata: d"}, err: c.err})
			d.MaxFrameSize = c.max
			_, want := collect(d)
			if (want == nil) != (c.err == nil && c.max == 0) {
				t.Errorf("first end: error %v", want)
			}
			for range 2 {
				frames, err := collect(d)
				if frames != nil || err != want {
					t.Errorf("after the end: frames %q, error %v, want error %v", frames, err, want)
				}
			}
		})
	}
}

// NewDecoder and Frames do not read before the loop starts.
func TestNoReadBeforeTheLoop(t *testing.T) {
	t.Parallel()
	_ = sse.NewDecoder(reads(func([]byte) (int, error) {
		t.Error("Read was called")
		return 0, io.EOF
	})).Frames()
}

func TestClone(t *testing.T) {
	t.Parallel()
	const n = 1000 // enough to fill the buffer more than once
	var stream strings.Builder
	for i := range n {
		fmt.Fprintf(&stream, "id: %d\ndata: frame %[1]d\n\n", i)
	}
	var kept []sse.Frame
	for f, err := range sse.NewDecoder(strings.NewReader(stream.String())).Frames() {
		if err != nil {
			t.Fatal(err)
		}
		kept = append(kept, f.Clone())
		clear(f.Data) // must not change the clone
	}
	if len(kept) != n {
		t.Fatalf("%d frames, want %d", len(kept), n)
	}
	for i, f := range kept {
		if want := fmt.Sprintf("frame %d", i); f.ID != fmt.Sprint(i) || string(f.Data) != want {
			t.Errorf("frame %d = %q", i, f)
		}
	}
}

// TestAppendToData appends to each frame's data. This must not overwrite bytes that were read ahead.
func TestAppendToData(t *testing.T) {
	t.Parallel()
	var got []string
	for f := range sse.NewDecoder(strings.NewReader("data: a\n\ndata: b\ndata: c\n\ndata: d\n\n")).Frames() {
		got = append(got, string(append(f.Data, "!!!!!!!!!!!!!!!!"...)))
	}
	if want := []string{"a!!!!!!!!!!!!!!!!", "b\nc!!!!!!!!!!!!!!!!", "d!!!!!!!!!!!!!!!!"}; !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

// TestGrowth joins data lines while the buffer grows.
func TestGrowth(t *testing.T) {
	t.Parallel()
	for _, size := range []int{1, 100, 8 << 10, 100_000} {
		line := strings.Repeat("x", size)
		lines := max(2, 300_000/size)
		stream := "event: e\n" + strings.Repeat("data: "+line+"\r\n: c\n", lines) + "\ndata: end\n\n"
		want := []frame{{Event: "e", Data: strings.Repeat(line+"\n", lines-1) + line}, {Data: "end"}}
		for how, r := range map[string]io.Reader{
			"whole":        strings.NewReader(stream),
			"byte by byte": iotest.OneByteReader(strings.NewReader(stream)),
			"half reads":   iotest.HalfReader(strings.NewReader(stream)),
		} {
			if got, err := collect(sse.NewDecoder(r)); err != nil || !slices.Equal(got, want) {
				t.Errorf("%s, lines of %d bytes: %d frames, error %v", how, size, len(got), err)
			}
		}
	}
}

// TestManyNames uses more event names than the Decoder keeps.
func TestManyNames(t *testing.T) {
	t.Parallel()
	var stream strings.Builder
	var want []frame
	for i := range 200 {
		name := fmt.Sprint("event", i%40)
		fmt.Fprintf(&stream, "event: %s\ndata: a\n\n", name)
		want = append(want, frame{Event: name, Data: "a"})
	}
	if got, err := collect(sse.NewDecoder(strings.NewReader(stream.String()))); err != nil || !slices.Equal(got, want) {
		t.Errorf("got %q, error %v", got, err)
	}
}

// Decoding a repeated stream with the API's event names does not allocate.
func TestAllocations(t *testing.T) {
	var stream strings.Builder
	for _, name := range []string{
		"conversation.response.started", "message.output.delta", "tool.execution.started",
		"tool.execution.delta", "tool.execution.done", "agent.handoff.started", "agent.handoff.done",
		"function.call.delta", "conversation.response.error", "conversation.response.done",
	} {
		fmt.Fprintf(&stream, "event: %s\r\nid: 1\r\nretry: 100\r\ndata: {\r\ndata: \"type\":%[1]q}\r\n\r\n", name)
	}
	d := sse.NewDecoder(&endless{stream: []byte(stream.String())})
	pass := func() {
		n := 0
		for range d.Frames() {
			if n++; n == 10_000 {
				break
			}
		}
	}
	pass()
	// A pass may allocate for its iterator, but not for its frames.
	if allocs := testing.AllocsPerRun(10, pass); allocs > 5 {
		t.Errorf("%v allocations for 10,000 frames, want at most 5", allocs)
	}
}

// A Decoder without a reader returns an error.
func TestDecoderWithoutReader(t *testing.T) {
	t.Parallel()
	for _, d := range []*sse.Decoder{nil, {}, sse.NewDecoder(nil)} {
		if frames, err := collect(d); err == nil || !strings.Contains(err.Error(), "sse.NewDecoder") || len(frames) != 0 {
			t.Errorf("%d frames, error %v", len(frames), err)
		}
	}
}
