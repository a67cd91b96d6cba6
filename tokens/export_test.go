package tokens

import (
	"io"

	"github.com/dlclark/regexp2"
)

// Exports for the external tests.
var (
	Boundary   = isBoundary
	SegmentEnd = segmentEnd
)

const SegmentBytes = segmentBytes

// Pattern returns the pattern of a supported encoding.
func Pattern(encoding string) string {
	v, _ := lookup(encoding)
	return v.pattern
}

// LoadFresh loads and returns a vocabulary, as the first use of an encoding does.
func LoadFresh(encoding string) (any, error) {
	v, err := lookup(encoding)
	if err != nil {
		return nil, err
	}
	return loadEncoder(v.name, v.pattern)
}

// CountWhole counts s without cache and segments, as tiktoken-go does.
func CountWhole(encoding, s string) int {
	return mustLoad(encoding).count(s)
}

// Position returns the position of a token in a vocabulary. Positions have the order of ranks.
func Position(encoding, token string) (position uint32, ok bool) {
	position = mustLoad(encoding).index.find([]byte(token))
	return position, position != noToken
}

func mustLoad(encoding string) *encoder {
	v, err := lookup(encoding)
	if err != nil {
		panic(err)
	}
	e, err := v.encoder()
	if err != nil {
		panic(err)
	}
	return e
}

// ReadVocabulary reads a .tiktoken file and returns a function that counts tokens with it.
func ReadVocabulary(file io.Reader, pattern string) (count func(s string) int, err error) {
	index, err := newIndex(file, 0)
	if err != nil {
		return nil, err
	}
	return (&encoder{pattern: regexp2.MustCompile(pattern, regexp2.None), index: index}).count, nil
}

// NewDamagedCounters returns Counters whose vocabularies cannot be loaded.
func NewDamagedCounters() map[string]*Counter {
	return map[string]*Counter{
		"no such file": {vocabulary: newVocabulary("missing", patternCL100K)},
		"bad pattern":  {vocabulary: newVocabulary(DefaultEncoding, "(")},
	}
}

// NewColdCounter returns a Counter whose vocabulary is not loaded yet.
func NewColdCounter(encoding string) (*Counter, error) {
	v, err := lookup(encoding)
	if err != nil {
		return nil, err
	}
	return &Counter{vocabulary: newVocabulary(v.name, v.pattern)}, nil
}

// Cache is a separate cache with texts as keys.
type Cache struct{ cache *cache }

const CacheGeneration = generationEntries

func NewCache() Cache                         { return Cache{newCache()} }
func (c Cache) Put(s string, n int)           { c.cache.put(c.cache.key(s), n) }
func (c Cache) Get(s string) (n int, ok bool) { return c.cache.get(c.cache.key(s)) }
func (c Cache) Len() int                      { return len(c.cache.young) + len(c.cache.old) }
