package tokens

import (
	"fmt"
	"strings"
	"sync"

	"github.com/pkoukk/tiktoken-go"
)

// The patterns that split a text into pieces, as in tiktoken-go, which exports them
// only with a map of the vocabulary. A test compares them with the library's.
const (
	patternGPT2   = `'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+`
	patternCL100K = `(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+`
	patternO200K  = `[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+(?i:'s|'t|'re|'ve|'m|'ll|'d)?` +
		`|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*(?i:'s|'t|'re|'ve|'m|'ll|'d)?` +
		`|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+`
)

// A vocabulary is one encoding: its encoder, loaded on first use, and the counts
// it has given lately. There is one of each per process.
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

func lookup(name string) (*vocabulary, error) {
	names := make([]string, len(vocabularies))
	for i, v := range vocabularies {
		if v.name == name {
			return v, nil
		}
		names[i] = v.name
	}
	return nil, fmt.Errorf("tokens: encoding %.64q is not supported, use one of: %s", name, strings.Join(names, ", "))
}

// count is Counter.Text. A long text is the sum of its segments, and each of them
// is cached too: texts that begin alike, such as a fixed instruction before a
// question, are counted anew only from the segment in which they differ.
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
