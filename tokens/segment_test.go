package tokens_test

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/tokens"
)

func TestSegmentEnd(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name, s string
		limit   int
		want    int
	}{
		{"short text is one segment", "hello world", 11, 11},
		{"before the blank", "hello world", 10, 5},
		{"at the last boundary", "one two three", 9, 7},
		{"before a tab", "one\ttwo", 5, 3},
		{"not within blanks", "one   two", 5, 3},
		{"after a letter", "one,two", 4, 3},
		{"not before an apostrophe", "isn't it", 5, 5},
		{"not before a mark", "e\u0301e\u0301e\u0301", 5, 4},
		{"after a number", "12345678x", 8, 8},
		{"before a line that follows a letter", "one\ntwo", 5, 3},
		{"no boundary", "aaaaaaaa", 5, 5},
		{"no boundary, two-byte runes", "éééééé", 5, 4},
		{"no boundary, three-byte runes", "的的的的", 5, 3},
		{"no boundary, four-byte runes", "😀😀😀", 7, 4},
		{"not UTF-8", "\x80\x80\x80\x80\x80\x80", 4, 4},
		{"smallest limit", "😀😀", 4, 4},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			if got := tokens.SegmentEnd(tt.s, tt.limit); got != tt.want {
				t.Errorf("SegmentEnd(%q, %d) = %d, want %d", tt.s, tt.limit, got, tt.want)
			}
		})
	}
}

// Counting takes linear time because segments have at most SegmentBytes, and because two successive segments
// are longer than that.
func TestSegmentsAreBounded(t *testing.T) {
	t.Parallel()
	for _, p := range pathological {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			s := p.text(random(7), 64<<10)
			valid, segments := utf8.ValidString(s), 0
			for rest := s; rest != ""; segments++ {
				end := tokens.SegmentEnd(rest, tokens.SegmentBytes)
				if end < 1 || end > min(len(rest), tokens.SegmentBytes) {
					t.Fatalf("segment %d has %d bytes", segments, end)
				}
				if valid && end < len(rest) && !utf8.RuneStart(rest[end]) {
					t.Fatalf("segment %d ends within a rune", segments)
				}
				rest = rest[end:]
			}
			if limit := 3 * len(s) / tokens.SegmentBytes; segments > limit {
				t.Errorf("%d segments, want at most %d", segments, limit)
			}
		})
	}
}

// awkward consists of the runes that the patterns treat specially.
const awkward = "aAzsSrREtTdéßſKǅʰ的あกि\u0301\u0e33ª0٣Ⅷ²½'’\"-/.,!?<|>_#$€©👩\u200d🏽\ufe0f\u00ad\ufffd" +
	" \t\n\r\v\f\u0085\u00a0\u2003\u2028\u3000 \n \n'sS a"

func TestBoundaryIsExact(t *testing.T) {
	t.Parallel()
	for _, encoding := range encodings {
		t.Run(encoding, func(t *testing.T) {
			t.Parallel()
			r := random(11)
			runes := []rune(awkward)
			boundaries := 0
			for range 400 {
				var b strings.Builder
				for range 2 + r.IntN(10) {
					if r.IntN(40) == 0 {
						b.WriteByte(byte(0x80 + r.IntN(0x80))) // not UTF-8
						continue
					}
					b.WriteRune(runes[r.IntN(len(runes))])
				}
				boundaries += checkBoundaries(t, encoding, b.String())
			}
			if boundaries < 300 {
				t.Errorf("only %d boundaries were tested", boundaries)
			}
		})
	}
}

// checkBoundaries checks that the counts on both sides of each boundary in s add up to the count of s. It
// returns the number of boundaries.
func checkBoundaries(t *testing.T, encoding, s string) (n int) {
	t.Helper()
	whole := reference(encoding, s)
	for i := 1; i < len(s); i++ {
		if !tokens.Boundary(s, i) {
			continue
		}
		n++
		if got := reference(encoding, s[:i]) + reference(encoding, s[i:]); got != whole {
			t.Errorf("%s: %q and %q have %d tokens, together %d", encoding, s[:i], s[i:], got, whole)
		}
	}
	return n
}

func FuzzBoundary(f *testing.F) {
	for _, s := range corpus {
		f.Add(s)
	}
	f.Add(awkward)
	f.Add("I'Ll don't 'twas a'S 'ſ \u0301a /\n/\r\n  \n x")
	f.Fuzz(func(t *testing.T, s string) {
		if len(s) > 150 {
			s = s[:150]
		}
		for _, encoding := range encodings {
			checkBoundaries(t, encoding, s)
		}
	})
}

func random(seed uint64) *rand.Rand { return rand.New(rand.NewPCG(seed, seed)) }
