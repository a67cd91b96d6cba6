package tokens

import (
	"fmt"
	"strings"
	"sync"

	"github.com/pkoukk/tiktoken-go"
)

// The patterns that split a text into pieces, copied from tiktoken-go, which only exports them together with a
// map of the vocabulary. A test compares the copies with the library.
const (
	patternGPT2   = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	patternCL100K = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternO200K  = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?` +
		`|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?` +
		`|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// A vocabulary is an encoding with its encoder, loaded on first use, and its cache. Each process has one
// vocabulary per encoding.
type vocabulary struct {
	name    string
	pattern string
	encoder func() (*encoder, error)
	counts  *cache
}

var defaultVocabulary = newVocabulary(DefaultEncoding, patternCL100K)

var vocabularies = []*vocabulary{
	defaultVocabulary,
	newVocabulary(tiktoken.MODEL_O200K_BASE, patternO200K),
	newVocabulary(tiktoken.MODEL_P50K_BASE, patternGPT2),
	newVocabulary(tiktoken.MODEL_R50K_BASE, patternGPT2),
}

func newVocabulary(name, pattern string) *vocabulary {
	return &vocabulary{
		name:    name,
		pattern: pattern,
		encoder: sync.OnceValues(func() (*encoder, error) {
			return loadEncoder(name, pattern)
		}),
		counts: newCache(),
	}
}

// lookup returns the vocabulary of a named encoding.
func lookup(name string) (*vocabulary, error) {
	names := make([]string, len(vocabularies))
	for i, v := range vocabularies {
		if v.name == name {
			return v, nil
		}
		names[i] = v.name
	}
	return nil, fmt.Errorf("tokens: encoding: must be one of %s, got %.64q", strings.Join(names, ", "), name)
}

// count implements Counter.Text. The count of a long text is the sum of its segments. Each segment is cached too,
// so texts with the same beginning, such as fixed instructions before a question, are only counted from the
// first different segment on.
func (v *vocabulary) count(s string) int {
	if s == "" {
		return 0
	}
	key := v.counts.key(s)
	if n, ok := v.counts.get(key); ok {
		return n
	}
	enc, err := v.encoder()
	if err != nil {
		return (len(s) + bytesPerToken - 1) / bytesPerToken
	}
	n := 0
	if len(s) <= segmentBytes {
		n = enc.count(s)
	} else {
		for len(s) > 0 {
			end := segmentEnd(s, segmentBytes)
			n += v.count(s[:end])
			s = s[end:]
		}
	}
	v.counts.put(key, n)
	return n
}
