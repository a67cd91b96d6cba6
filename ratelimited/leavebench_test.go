package ratelimited_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// BenchmarkLeaveStream measures how long it takes to leave a stream after text of the given size has
// been read. The metric x-short is the ratio to a stream of 1 KB. Run it with -benchtime 3x, because
// reading takes longer than leaving.
func BenchmarkLeaveStream(b *testing.B) {
	var short float64
	for _, size := range []int{1 << 10, 7 << 20, 250 << 20} {
		b.Run(fmt.Sprintf("%dKB", size>>10), func(b *testing.B) {
			const deltaBytes = 512
			delta := frame("message.output.delta", fmt.Sprintf(`{"type":"message.output.delta","id":"msg_1","content":%q}`,
				strings.Repeat("The quick brown fox jumps. ", deltaBytes/27)))
			transport := roundTripperFunc(func(*http.Request) (*http.Response, error) {
				resp := newResponse(200, "text/event-stream", "")
				resp.Body = io.NopCloser(io.MultiReader(strings.NewReader(started), &repeatedText{text: delta, left: size / len(delta)}, brokenReader{}))
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
				stream, err := openStream(b.Context(), client)
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
						break // the stream settles here
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

// repeatedText is a reader that repeats a text.
type repeatedText struct {
	text string
	left int // the remaining repetitions
	pos  int // in the current repetition
}

func (r *repeatedText) Read(p []byte) (int, error) {
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

// brokenReader is a reader that fails at once.
type brokenReader struct{}

func (brokenReader) Read([]byte) (int, error) { return 0, io.ErrUnexpectedEOF }
