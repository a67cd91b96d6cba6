package ratelimited_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// BenchmarkLeaveStream measures Close of a stream of which so many megabytes of text have
// been read, and prints its ratio to that of a stream of a kilobyte. Run it with -benchtime
// 3x: reading takes longer than leaving.
func BenchmarkLeaveStream(b *testing.B) {
	var short float64
	for _, size := range []int{1 << 10, 7 << 20, 250 << 20} {
		b.Run(fmt.Sprintf("%dKB", size>>10), func(b *testing.B) {
			const piece = 512
			delta := frame("message.output.delta", fmt.Sprintf(`{"type":"message.output.delta","id":"msg_1","content":%q}`,
				strings.Repeat("The quick brown fox jumps. ", piece/27)))
			transport := tripper(func(*http.Request) (*http.Response, error) {
				resp := canned(200, "text/event-stream", "")
				resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(started), &repeated{text: delta, left: size / len(delta)}, cutOff{}))
				return resp, nil
			})
			client, err := ratelimited.New(ratelimited.Config{
				APIKey: "a-key-for-benchmarks", HTTPClient: &http.Client{Transport: transport}, RequestsPerSecond: 1e6, TokensPerMinute: 1e12,
			})
			if err != nil {
				b.Fatal(err)
			}
			for b.Loop() {
				b.StopTimer()
				stream, err := openedStream(b.Context(), client)
				if err != nil {
					b.Fatal(err)
				}
				events := 0
				for _, err := range stream.Events() {
					if err != nil {
						b.Fatal(err)
					}
					if events++; events == size/len(delta) {
						b.StartTimer()
						break // settles
					}
				}
			}
			perCall := float64(b.Elapsed()) / float64(b.N)
			if short == 0 {
				short = perCall
			}
			b.ReportMetric(perCall/short, "x-short")
		})
	}
}

// repeated is a text a number of times.
type repeated struct {
	text string
	left int // times
	pos  int
}

func (r *repeated) Read(p []byte) (int, error) {
	if r.left == 0 {
		return 0, io.EOF
	}
	n := copy(p, r.text[r.pos:])
	if r.pos += n; r.pos == len(r.text) {
		r.pos = 0
		r.left--
	}
	return n, nil
}

// cutOff is a body that breaks off.
type cutOff struct{}

func (cutOff) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
