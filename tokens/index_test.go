package tokens_test

import (
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"maps"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/pkoukk/tiktoken-go"
	loader "github.com/pkoukk/tiktoken-go-loader"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/tokens"
)

func libraryRanks(tb testing.TB, encoding string) map[string]int {
	tb.Helper()
	ranks, err := loader.NewOfflineLoader().LoadTiktokenBpe(encoding + ".tiktoken")
	if err != nil {
		tb.Fatal(err)
	}
	return ranks
}

func TestIndexHasTheTokensOfTheLibrary(t *testing.T) {
	t.Parallel()
	for _, encoding := range encodings {
		t.Run(encoding, func(t *testing.T) {
			t.Parallel()
			ranks := libraryRanks(t, encoding)
			sorted := slices.SortedFunc(maps.Keys(ranks), func(a, b string) int { return ranks[a] - ranks[b] })
			last := uint32(0)
			for _, token := range sorted {
				position, ok := tokens.Position(encoding, token)
				if !ok || position <= last {
					t.Fatalf("token %q with rank %d: position %d, %v, want a position after %d", token, ranks[token], position, ok, last)
				}
				last = position
				for _, other := range []string{token[:len(token)-1], token[1:], token + "a", "\xff" + token} {
					_, want := ranks[other]
					if _, got := tokens.Position(encoding, other); got != want {
						t.Fatalf("is %q a token? %v, want %v", other, got, want)
					}
				}
			}
		})
	}
}

// bytesFile returns the smallest vocabulary, which consists of all single bytes.
func bytesFile() string {
	var b strings.Builder
	for i := range 256 {
		b.WriteString(line(string([]byte{byte(i)}), i))
	}
	return b.String()
}

func line(token string, rank int) string {
	return fmt.Sprintf("%s %d\n", base64.StdEncoding.EncodeToString([]byte(token)), rank)
}

func TestReadVocabulary(t *testing.T) {
	t.Parallel()
	all := bytesFile()
	for _, file := range []string{
		all,
		strings.TrimSuffix(all, "\n"),
		all + line("ab", 300), // ranks may have gaps, as in p50k_base
		all + line(strings.Repeat("a", 255), 256),
	} {
		if _, err := tokens.ReadVocabulary(strings.NewReader(file), ""); err != nil {
			t.Errorf("a file that ends with %q: %v", file[len(file)-20:], err)
		}
	}
}

func TestReadDamagedVocabulary(t *testing.T) {
	t.Parallel()
	all := bytesFile()
	for name, tt := range map[string]struct{ file, want string }{
		"empty":               {"", "byte 0x00: must be a token"},
		"a byte is missing":   {strings.Replace(all, line("A", 'A'), "", 1), "byte 0x41: must be a token"},
		"missing rank":        {all + "YWI=", `line 257: rank "": must be a number greater than 255`},
		"missing token":       {all + " 256\n", `line 257: token "": must be 1 to 255 bytes in base64`},
		"empty line":          {"\n" + all, `line 1: rank "": must be a number greater than -1`},
		"rank not a number":   {all + "YWI= 25x\n", `line 257: rank "25x": must be a number greater than 255`},
		"rank too large":      {all + "YWI= 99999999999999999999\n", `line 257: rank "99999999999999999999": must be`},
		"negative rank":       {"YWI= -5\n" + all, `line 1: rank "-5": must be a number greater than -1`},
		"rank occurs twice":   {all + line("ab", 255), `line 257: rank "255": must be a number greater than 255`},
		"rank decreases":      {all + line("ab", 9), `line 257: rank "9": must be a number greater than 255`},
		"not base64":          {all + "YW=I 256\n", `line 257: token "YW=I": must be 1 to 255 bytes in base64`},
		"incomplete base64":   {all + "YWI 256\n", `line 257: token "YWI": must be 1 to 255 bytes in base64`},
		"token too long":      {all + line(strings.Repeat("a", 256), 256), `line 257: token "YWFhYWFhYWFhYWFhYWFh": must be`},
		"token occurs twice":  {all + line("a", 256), `token "a": must occur once`},
		"line without an end": {all + strings.Repeat("YWJj", 1<<15), "line 257: bufio.Scanner: token too long"},
		"something else":      {"<html>Not Found</html>", `line 1: rank "Found</html>": must be a number`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, err := tokens.ReadVocabulary(strings.NewReader(tt.file), "")
			if err == nil || !strings.HasPrefix(err.Error(), tt.want) {
				t.Errorf("error %v, want %s…", err, tt.want)
			}
		})
	}
	broken := errors.New("broken")
	file := io.MultiReader(strings.NewReader(all), iotest.ErrReader(broken))
	if _, err := tokens.ReadVocabulary(file, ""); !errors.Is(err, broken) {
		t.Errorf("error %v, want the error of the reader", err)
	}
}

// In a random vocabulary, a token may have a lower rank than its parts, or merges may not reach it. The
// order of merges then decides the count.
func TestMergeEqualsTheLibraryForAnyVocabulary(t *testing.T) {
	t.Parallel()
	const pattern = "[abc]+"
	r := random(23)
	for range 200 {
		file, ranks := bytesFile(), make(map[string]int)
		for b := range 256 {
			ranks[string([]byte{byte(b)})] = b
		}
		for len(ranks) < 256+30 {
			token := sample(r, 2+r.IntN(4), "abc")
			if _, ok := ranks[token]; !ok {
				file += line(token, len(ranks))
				ranks[token] = len(ranks)
			}
		}
		count, err := tokens.ReadVocabulary(strings.NewReader(file), pattern)
		if err != nil {
			t.Fatal(err)
		}
		bpe, err := tiktoken.NewCoreBPE(ranks, nil, pattern)
		if err != nil {
			t.Fatal(err)
		}
		library := tiktoken.NewTiktoken(bpe, nil, nil)
		for range 50 {
			s := sample(r, 1+r.IntN(40), "abc")
			if got, want := count(s), len(library.EncodeOrdinary(s)); got != want {
				t.Fatalf("%q: %d tokens, want %d, in\n%s", s, got, want, file[len(bytesFile()):])
			}
		}
	}
}

// A vocabulary must consist of few objects, because the garbage collector visits each one. This test is not
// parallel, because it counts the objects of the whole process.
func TestVocabularyIsFewObjects(t *testing.T) {
	const maxObjects = 500 // mostly the compiled pattern; the library needs over 70,000
	objects := func() int64 {
		runtime.GC()
		runtime.GC() // frees objects of sync.Pools
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapObjects)
	}
	for _, encoding := range encodings {
		before := objects()
		vocabulary, err := tokens.LoadFresh(encoding)
		if err != nil {
			t.Fatal(err)
		}
		if n := objects() - before; n > maxObjects {
			t.Errorf("%s: a loaded vocabulary has %d objects on the heap, want at most %d", encoding, n, maxObjects)
		}
		runtime.KeepAlive(vocabulary)
	}
}

// loadLibrary loads a vocabulary with tiktoken-go.
func loadLibrary(b *testing.B, encoding string) *tiktoken.Tiktoken {
	b.Helper()
	ranks := libraryRanks(b, encoding)
	bpe, err := tiktoken.NewCoreBPE(ranks, nil, tokens.Pattern(encoding))
	if err != nil {
		b.Fatal(err)
	}
	return tiktoken.NewTiktoken(bpe, &tiktoken.Encoding{Name: encoding, MergeableRanks: ranks}, nil)
}

// BenchmarkLoad measures the first use of an encoding: loading, and counting a short text. In a new process
// this takes longer because of page faults.
func BenchmarkLoad(b *testing.B) {
	const question = "What is the capital of France?"
	for _, encoding := range encodings {
		b.Run(encoding, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				c, err := tokens.NewColdCounter(encoding)
				if err != nil {
					b.Fatal(err)
				}
				c.Text(question)
			}
		})
		b.Run(encoding+"/tiktoken-go", func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				loadLibrary(b, encoding).EncodeOrdinary(question)
			}
		})
	}
}

// BenchmarkCollect measures a forced garbage collection without a vocabulary, with one, and with one of
// tiktoken-go.
func BenchmarkCollect(b *testing.B) {
	collect := func(load func(b *testing.B) any) func(b *testing.B) {
		return func(b *testing.B) {
			loaded := load(b)
			runtime.GC() // frees garbage of loading
			for b.Loop() {
				runtime.GC()
			}
			runtime.KeepAlive(loaded)
		}
	}
	b.Run("baseline", collect(func(*testing.B) any { return nil }))
	for _, encoding := range encodings {
		b.Run(encoding, collect(func(b *testing.B) any {
			vocabulary, err := tokens.LoadFresh(encoding)
			if err != nil {
				b.Fatal(err)
			}
			return vocabulary
		}))
		b.Run(encoding+"/tiktoken-go", collect(func(b *testing.B) any { return loadLibrary(b, encoding) }))
	}
}
