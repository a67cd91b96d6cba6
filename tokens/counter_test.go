package tokens_test

import (
	"fmt"
	"math/rand/v2"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/tokens"
)

func TestNewCounter(t *testing.T) {
	t.Parallel()
	for _, encoding := range append([]string{""}, encodings...) {
		if c, err := tokens.NewCounter(encoding); err != nil || c == nil {
			t.Errorf("NewCounter(%q) = %v, %v, want a Counter", encoding, c, err)
		}
	}
	for _, encoding := range []string{"gpt2", "p50k_edit", "CL100K_BASE", " cl100k_base", "mistral-small", strings.Repeat("x", 1<<20)} {
		c, err := tokens.NewCounter(encoding)
		if c != nil || err == nil {
			t.Errorf("NewCounter(%.20q) = %v, %v, want an error", encoding, c, err)
			continue
		}
		for _, part := range append([]string{"tokens: encoding: must be one of ", fmt.Sprintf("%.64q", encoding)}, encodings...) {
			if !strings.Contains(err.Error(), part) {
				t.Errorf("error %q does not contain %s", err, part)
			}
		}
		if len(err.Error()) > 300 {
			t.Errorf("the error text has %d bytes, want at most 300", len(err.Error()))
		}
	}
}

func TestPatternsEqualTheLibrary(t *testing.T) {
	t.Parallel()
	for _, encoding := range encodings {
		// The library does not export its patterns.
		library := reflect.ValueOf(references[encoding]()).Elem().FieldByName("pbeEncoding").Elem()
		if got, want := tokens.Pattern(encoding), library.FieldByName("PatStr").String(); got != want {
			t.Errorf("%s: pattern %s, want %s", encoding, got, want)
		}
	}
}

// The counts for four encodings are from the tiktoken page of OpenAI's cookbook, the others from the
// Python library.
func TestTextKnownCounts(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		s                         string
		cl100k, o200k, p50k, r50k int
	}{
		{"", 0, 0, 0, 0},
		{"hello world", 2, 2, 2, 2},
		{"tiktoken is great!", 6, 6, -1, -1},
		{"antidisestablishmentarianism", 6, 6, 5, 5},
		{"2 + 2 = 4", 7, 7, 5, 5},
		{"お誕生日おめでとう", 9, 8, 14, 14},
		{"hello world!你好，世界！", 10, -1, -1, -1},
		{" ", 1, 1, 1, 1},
		{"a", 1, 1, 1, 1},
		{"\n", 1, 1, 1, 1},
	} {
		for i, want := range []int{tt.cl100k, tt.o200k, tt.p50k, tt.r50k} {
			if want < 0 {
				continue
			}
			if got := newCounter(t, encodings[i]).Text(tt.s); got != want {
				t.Errorf("%s: Text(%q) = %d, want %d", encodings[i], tt.s, got, want)
			}
		}
	}
}

func TestZeroCounterIsDefault(t *testing.T) {
	t.Parallel()
	var zero tokens.Counter
	for name, s := range corpus {
		if got, want := zero.Text(s), reference(tokens.DefaultEncoding, s); got != want {
			t.Errorf("%s: %d tokens, want %d", name, got, want)
		}
	}
	if err := zero.Load(); err != nil {
		t.Errorf("Load: %v", err)
	}
}

func TestSpecialTokensAreText(t *testing.T) {
	t.Parallel()
	special := []string{"<|endoftext|>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|endofprompt|>"}
	for _, encoding := range encodings {
		c := newCounter(t, encoding)
		for _, s := range append(special, strings.Join(special, ""), "Say "+special[0]+" and stop.") {
			got := c.Text(s)
			if want := reference(encoding, s); got != want || got < 4 {
				t.Errorf("%s: Text(%q) = %d, want %d", encoding, s, got, want)
			}
		}
	}
}

// The count of ordinary text of any length equals the count of the library.
func TestTextIsExactForOrdinaryText(t *testing.T) {
	t.Parallel()
	for _, encoding := range encodings {
		t.Run(encoding, func(t *testing.T) {
			t.Parallel()
			c := newCounter(t, encoding)
			check := func(name, s string) {
				if got, want := c.Text(s), reference(encoding, s); got != want {
					t.Errorf("%s, %d bytes: %d tokens, want %d", name, len(s), got, want)
				}
			}
			var all []string
			for name, text := range corpus {
				r := random(3)
				check(name, text)
				check(name, mix(r, 2*tokens.SegmentBytes, text))
				all = append(all, text)
			}
			slices.Sort(all) // make the order deterministic
			check("mixed", mix(random(4), 8_000, all...))
			check("prose", prose(random(5), 8_000))
		})
	}
}

// Without segments, the count of every text equals the count of the library.
func TestCountWholeEqualsTheLibrary(t *testing.T) {
	t.Parallel()
	for _, encoding := range encodings {
		t.Run(encoding, func(t *testing.T) {
			t.Parallel()
			r := random(19)
			check := func(s string) {
				if got, want := tokens.CountWhole(encoding, s), reference(encoding, s); got != want {
					t.Errorf("%q: %d tokens, want %d", s, got, want)
				}
			}
			check("")
			for b := range 256 {
				check(string([]byte{byte(b)}))
			}
			for _, p := range pathological {
				check(p.text(r, 2000))
			}
			for range 300 {
				check(invalidText(r, 1+r.IntN(60)))
				check(sample(r, 1+r.IntN(60), awkward))
				check(sample(r, 1+r.IntN(60), "abcdefghijklmnopqrstuvwxyz"))
				check(sample(r, 1+r.IntN(200), "ab"))
			}
		})
	}
}

// A run without a boundary is cut anyway. The count may be off by two per cut.
func TestTextIsCloseForUnbrokenText(t *testing.T) {
	t.Parallel()
	const size = 3 * tokens.SegmentBytes
	for _, encoding := range encodings {
		t.Run(encoding, func(t *testing.T) {
			t.Parallel()
			c := newCounter(t, encoding)
			for _, p := range pathological {
				s := strings.ToValidUTF8(p.text(random(9), size+8)[:size], "")
				got, want := c.Text(s), reference(encoding, s)
				if d := got - want; d < -2 || d > 2*(size/tokens.SegmentBytes) {
					t.Errorf("%s: %d tokens in segments, %d tokens as a whole", p.name, got, want)
				}
			}
		})
	}
}

func TestTextOfAnyBytes(t *testing.T) {
	t.Parallel()
	for _, encoding := range encodings {
		t.Run(encoding, func(t *testing.T) {
			t.Parallel()
			c, r := newCounter(t, encoding), random(13)
			for _, p := range pathological {
				checkText(t, c, p.text(r, 3000))
			}
			for range 150 {
				checkText(t, c, invalidText(r, 1+r.IntN(60)))
			}
		})
	}
}

// invalidText mixes runes with bytes that are not UTF-8.
func invalidText(r *rand.Rand, n int) string {
	var b strings.Builder
	for range n {
		switch r.IntN(3) {
		case 0:
			b.WriteByte(byte(r.Uint32()))
		case 1:
			b.WriteByte(byte(0xe0 + r.IntN(0x20)))
		default:
			b.WriteRune(rune(r.IntN(0x11_0000)))
		}
	}
	return b.String()
}

// checkText checks the documented properties of Text.
func checkText(t *testing.T, c *tokens.Counter, s string) int {
	t.Helper()
	n := c.Text(s)
	if n < min(1, len(s)) || n > len(s) {
		t.Errorf("Text(%.80q) = %d for %d bytes", s, n, len(s))
	}
	if again := c.Text(s); again != n {
		t.Errorf("Text(%.80q) = %d, then %d", s, n, again)
	}
	return n
}

func TestTextIsConcurrent(t *testing.T) {
	t.Parallel()
	const encoding = "r50k_base"
	c, err := tokens.NewColdCounter(encoding) // loading is concurrent too
	if err != nil {
		t.Fatal(err)
	}
	r := random(17)
	texts := make(map[string]int)
	for range 40 {
		s := mix(r, 1+r.IntN(2000), corpus["english"], corpus["go"], corpus["chinese"])
		texts[s] = reference(encoding, s)
	}
	var wg sync.WaitGroup
	for range 16 {
		wg.Go(func() {
			for s, want := range texts {
				if got := c.Text(s); got != want {
					t.Errorf("Text of %d bytes = %d, want %d", len(s), got, want)
				}
			}
		})
	}
	wg.Wait()
}

func TestDamagedVocabulary(t *testing.T) {
	t.Parallel()
	for name, c := range tokens.NewDamagedCounters() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for s, want := range map[string]int{"": 0, "a": 1, "abc": 1, "abcd": 2, strings.Repeat("a", 3000): 1000} {
				if got := c.Text(s); got != want {
					t.Errorf("Text of %d bytes = %d, want the estimate %d", len(s), got, want)
				}
			}
			err := c.Load()
			if err == nil || !strings.HasPrefix(err.Error(), "tokens: load ") {
				t.Errorf("Load = %v, want an error", err)
			}
		})
	}
}

func FuzzText(f *testing.F) {
	for _, s := range corpus {
		f.Add(s)
	}
	f.Add(awkward)
	f.Add("\xff\xfe\x80<|endoftext|>")
	f.Add(strings.Repeat("a", 2000))
	f.Fuzz(func(t *testing.T, s string) {
		for _, encoding := range encodings {
			c := newCounter(t, encoding)
			n := checkText(t, c, s)
			if len(s) > 8*tokens.SegmentBytes {
				continue // the library takes quadratic time
			}
			want := reference(encoding, s)
			if got := tokens.CountWhole(encoding, s); got != want {
				t.Errorf("%s: %q has %d tokens, want %d", encoding, s, got, want)
			}
			if len(s) <= tokens.SegmentBytes && n != want {
				t.Errorf("%s: Text(%q) = %d, want %d", encoding, s, n, want)
			}
		}
	})
}
