package tokens_test

import (
	"math/rand/v2"
	"strconv"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/tokens"
)

func newCounter(tb testing.TB, encoding string) *tokens.Counter {
	tb.Helper()
	c, err := tokens.NewCounter(encoding)
	if err != nil {
		tb.Fatal(err)
	}
	if err := c.Load(); err != nil {
		tb.Fatal(err)
	}
	return c
}

func BenchmarkText(b *testing.B) {
	c := newCounter(b, "")
	const question = "What is the capital of France? Answer in one word."

	b.Run("cached/short", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			c.Text(question)
		}
	})
	b.Run("cached/short/parallel", func(b *testing.B) {
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				c.Text(question)
			}
		})
	})
	b.Run("cached/prose100KB", func(b *testing.B) {
		s := prose(random(1), 100_000)
		c.Text(s)
		b.ReportAllocs()
		b.SetBytes(int64(len(s)))
		for b.Loop() {
			c.Text(s)
		}
	})
	b.Run("fresh/short", func(b *testing.B) {
		b.ReportAllocs()
		n := rand.Int()
		for b.Loop() {
			n++
			c.Text(question + strconv.Itoa(n))
		}
	})
	b.Run("fresh/prose100KB", func(b *testing.B) {
		benchmarkFresh(b, c, func(r *rand.Rand) string { return prose(r, 100_000) })
	})
	// A new question after 100 KB that are cached.
	b.Run("fresh/question after prose100KB", func(b *testing.B) {
		s := prose(random(1), 100_000)
		c.Text(s)
		n := rand.Int()
		for b.Loop() {
			n++
			c.Text(s + question + strconv.Itoa(n))
		}
	})
}

func BenchmarkPathological(b *testing.B) {
	c := newCounter(b, "")
	for _, p := range pathological {
		b.Run(p.name, func(b *testing.B) {
			benchmarkFresh(b, c, func(r *rand.Rand) string { return p.text(r, 1<<20) })
		})
	}
}

// benchmarkFresh counts a new text in every iteration.
func benchmarkFresh(b *testing.B, c *tokens.Counter, text func(r *rand.Rand) string) {
	r := random(rand.Uint64()) // different texts with -count=2
	for b.Loop() {
		b.StopTimer()
		s := text(r)
		b.SetBytes(int64(len(s)))
		b.StartTimer()
		c.Text(s)
	}
}

// pathological generates texts of about n bytes with few or no boundaries. The segments of repeated runes
// are cached, those of random texts are not.
var pathological = []struct {
	name string
	text func(r *rand.Rand, n int) string
}{
	{"repeated a", func(_ *rand.Rand, n int) string { return strings.Repeat("a", n) }},
	{"repeated 的", func(_ *rand.Rand, n int) string { return strings.Repeat("的", n/3) }},
	{"almost a", func(r *rand.Rand, n int) string { return sample(r, n, "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab") }},
	{"letters", func(r *rand.Rand, n int) string { return sample(r, n, "etaoinshrdlucmfwypvbgkqjxz") }},
	{"han", func(r *rand.Rand, n int) string {
		return sample(r, n, "的一是不了人我在有他这中大来上国个到说们为子和你地出道也时年")
	}},
	{"base64", func(r *rand.Rand, n int) string {
		return sample(r, n, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/")
	}},
	{"blanks", func(r *rand.Rand, n int) string { return sample(r, n, "                               \t") }},
	{"newlines", func(r *rand.Rand, n int) string { return sample(r, n, "\n\n\n\n\n\n\n\n\n\n\n\n\n\n\n\r") }},
	{"punctuation", func(r *rand.Rand, n int) string { return sample(r, n, "!\"#$%&'()*+,-./:;<=>?@[\\]^_`{|}~") }},
	{"one mark", func(r *rand.Rand, n int) string { return sample(r, n, "===============================-") }},
	{"digits", func(r *rand.Rand, n int) string { return sample(r, n, "0123456789") }},
	{"emoji", func(r *rand.Rand, n int) string { return sample(r, n, "👋🌍😀👩🏽🚀\u200d❤️") }},
	{"random bytes", func(r *rand.Rand, n int) string {
		p := make([]byte, n)
		for i := range p {
			p[i] = byte(r.Uint32())
		}
		return string(p)
	}},
	{"bytes 0x80", func(_ *rand.Rand, n int) string { return strings.Repeat("\x80", n) }},
}

// sample returns random runes of set, with a total of n bytes or slightly more.
func sample(r *rand.Rand, n int, set string) string {
	runes := []rune(set)
	var b strings.Builder
	for b.Len() < n {
		b.WriteRune(runes[r.IntN(len(runes))])
	}
	return b.String()
}

// prose returns about n bytes of random English words.
func prose(r *rand.Rand, n int) string {
	words := strings.Fields(`the of and to a in is it you that he was for on are with as I his they be at
		one have this from or had by hot but some what there we can out other were all your when up use
		word how said an each she which do their time if will way about many then them would write like
		so these her long make thing see him two has look more day could go come did my sound no most
		number who over know water than call first people may down side been now find limiter request
		organisation, however, therefore; certainly. nevertheless (approximately) don't it's they're 1984
		3.14 "quoted" well-known Paris London understanding responsibility`)
	var b strings.Builder
	for b.Len() < n {
		length := 4 + r.IntN(16)
		for range length {
			b.WriteString(words[r.IntN(len(words))])
			b.WriteByte(' ')
		}
		b.WriteString("and so on.")
		if r.IntN(5) == 0 {
			b.WriteString("\n\n")
		} else {
			b.WriteByte(' ')
		}
	}
	return b.String()
}

var encodings = []string{"cl100k_base", "o200k_base", "p50k_base", "r50k_base"}
