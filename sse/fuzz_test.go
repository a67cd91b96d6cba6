package sse_test

import (
	"errors"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/sse"
)

// FuzzDecoder compares the Decoder with the reference decoder, on any stream, cut
// into chunks in any way, with any limit. At each Read it also checks that nothing
// was held back: all frames complete by then must have been delivered.
func FuzzDecoder(f *testing.F) {
	for i, c := range conformance {
		f.Add([]byte(c.stream), uint64(i), uint16(0))
		f.Add([]byte(c.stream), uint64(i), uint16(i))
	}
	f.Fuzz(func(t *testing.T, stream []byte, seed uint64, limit uint16) {
		if len(stream) > 4<<10 {
			return // the check at each Read takes quadratic time
		}
		size := int(limit)
		if size == 0 {
			size = sse.DefaultMaxFrameSize
		}
		random := rand.New(rand.NewPCG(seed, 0))
		most := 1 + random.IntN(64) // small chunks for some seeds, large ones for others
		r := &script{}
		for rest := string(stream); rest != ""; {
			n := min(random.IntN(most+1), len(rest)) // a chunk may be empty
			r.chunks = append(r.chunks, rest[:n])
			rest = rest[n:]
		}
		var got []frame
		r.before = func() {
			want, tooLarge := reference(string(stream[:r.delivered]), size)
			if len(got) != len(want) {
				t.Fatalf("read on after %q with %d frames delivered, want %d", stream[:r.delivered], len(got), len(want))
			}
			if tooLarge {
				t.Fatalf("read on after %q, which is too large", stream[:r.delivered])
			}
		}
		d := sse.NewDecoder(r)
		d.MaxFrameSize = size
		var err error
		for f, e := range d.Frames() {
			if err = e; err == nil {
				got = append(got, keep(f))
			}
		}
		want, wantTooLarge := reference(string(stream), size)
		if !slices.Equal(got, want) {
			t.Errorf("got %q, want %q", got, want)
		}
		var tooLarge *sse.FrameTooLargeError
		if errors.As(err, &tooLarge) != wantTooLarge || err != nil && tooLarge == nil {
			t.Errorf("error %v, want too large: %t", err, wantTooLarge)
		}
	})
}
