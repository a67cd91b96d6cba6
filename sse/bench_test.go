package sse_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/sse"
)

// deltas returns a stream of about 1 MiB that consists of events of exactly size bytes, and their
// number.
func deltas(size int) (stream []byte, events int) {
	const format = "event: message.output.delta\n" +
		`data: {"type":"message.output.delta","created_at":"2025-06-01T12:00:00Z","output_index":0,"id":"msg_%06d","content":"%s"}` + "\n\n"
	events = 1 << 20 / size
	for i := range events {
		pad := strings.Repeat("x", size-len(fmt.Sprintf(format, i, "")))
		stream = fmt.Appendf(stream, format, i, pad)
	}
	return stream, events
}

// endless is a reader that repeats the same bytes forever.
type endless struct {
	stream []byte
	pos    int
}

func (r *endless) Read(p []byte) (int, error) {
	if r.pos == len(r.stream) {
		r.pos = 0
	}
	n := copy(p, r.stream[r.pos:])
	r.pos += n
	return n, nil
}

// scanLines returns the time of a plain search for the line ends of stream. All line ends equal its
// last byte.
func scanLines(stream []byte) time.Duration {
	end := stream[len(stream)-1]
	start := time.Now()
	for rest := stream; len(rest) > 0; {
		rest = rest[bytes.IndexByte(rest, end)+1:]
	}
	return time.Since(start)
}

// BenchmarkDecode reports as "ratio" the time of decoding, as a multiple of the time of a plain search
// for the line ends in the same bytes. Both are measured alternately, and the minimum of each counts,
// so the load of the machine has little effect.
func BenchmarkDecode(b *testing.B) {
	for _, c := range []struct {
		name string
		size int
	}{{"events=180B", 180}, {"events=64KiB", 64 << 10}} {
		b.Run(c.name, func(b *testing.B) {
			stream, events := deltas(c.size)
			decoder := sse.NewDecoder(&endless{stream: stream})
			compare(b, stream, events, func() {
				n := 0
				for range decoder.Frames() {
					if n++; n == events {
						break
					}
				}
			})
		})
	}

	// One large event per Decoder, with reads of several sizes. The time must be linear in the size of
	// the event.
	for _, c := range []struct {
		name string
		line string
		n    int
	}{
		{"line=1MiB", "data: " + strings.Repeat("x", 1<<20) + "\n", 1},
		{"line=4MiB", "data: " + strings.Repeat("x", 4<<20) + "\n", 1},
		{"lines=4096", "data: " + strings.Repeat("x", 57) + "\n", 4096},
		{"lines=16384", "data: " + strings.Repeat("x", 57) + "\n", 16384},
		{"lines=16384-CR", "data: " + strings.Repeat("x", 57) + "\r", 16384},
	} {
		stream := []byte(strings.Repeat(c.line, c.n) + c.line[len(c.line)-1:])
		for _, read := range []int{1, 4096, len(stream)} {
			b.Run(fmt.Sprintf("%s/read=%d", c.name, read), func(b *testing.B) {
				compare(b, stream, 1, func() {
					for _, err := range sse.NewDecoder(chunked{bytes.NewReader(stream), read}).Frames() {
						if err != nil {
							b.Fatal(err)
						}
					}
				})
			})
		}
	}
}

// compare measures decode, which decodes all events of stream.
func compare(b *testing.B, stream []byte, events int, decode func()) {
	b.ReportAllocs()
	decode() // warm up
	quickest, scan := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
	for b.Loop() {
		start := time.Now()
		decode()
		quickest = min(quickest, time.Since(start))
		scan = min(scan, scanLines(stream))
	}
	b.ReportMetric(float64(quickest)/float64(scan), "ratio")
	b.ReportMetric(float64(quickest.Nanoseconds())/float64(events), "ns/event")
	b.ReportMetric(0, "ns/op") // it would include the scan
}

// chunked reads at most size bytes at a time.
type chunked struct {
	r    *bytes.Reader
	size int
}

func (c chunked) Read(p []byte) (int, error) {
	return c.r.Read(p[:min(c.size, len(p))])
}

// BenchmarkTyped reports as "ratio" the time of Decode, as a multiple of the time of encoding/json for
// a struct with the same fields.
func BenchmarkTyped(b *testing.B) {
	frame := sse.Frame{Event: "message.output.delta", Data: []byte(`{"type":"message.output.delta","created_at":"2025-06-01T12:00:00Z",` +
		`"output_index":0,"id":"msg_0123456789abcdef","content_index":0,"model":"mistral-large-latest","role":"assistant","content":" word"}`)}
	plain := func() {
		var v struct {
			Type         string    `json:"type"`
			CreatedAt    time.Time `json:"created_at"`
			OutputIndex  int       `json:"output_index"`
			ID           string    `json:"id"`
			ContentIndex int       `json:"content_index"`
			Model        string    `json:"model"`
			AgentID      string    `json:"agent_id"`
			Role         string    `json:"role"`
			Content      string    `json:"content"`
		}
		if err := json.Unmarshal(frame.Data, &v); err != nil {
			b.Fatal(err)
		}
	}
	typed := func() {
		if _, err := sse.Decode(frame); err != nil {
			b.Fatal(err)
		}
	}
	const batch = 100
	time100 := func(decode func()) time.Duration {
		start := time.Now()
		for range batch {
			decode()
		}
		return time.Since(start)
	}
	b.ReportMetric(testing.AllocsPerRun(batch, typed), "allocs/event")
	quickest, base := time.Duration(math.MaxInt64), time.Duration(math.MaxInt64)
	for b.Loop() {
		quickest, base = min(quickest, time100(typed)), min(base, time100(plain))
	}
	b.ReportMetric(float64(quickest)/float64(base), "ratio")
	b.ReportMetric(testing.AllocsPerRun(batch, typed), "allocs/event")
	b.ReportMetric(float64(quickest.Nanoseconds())/batch, "ns/event")
	b.ReportMetric(0, "ns/op") // it would include the baseline
}
