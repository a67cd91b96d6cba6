package tokens

// What the external tests need to see of the inside.
var (
	Boundary   = boundary
	SegmentEnd = segmentEnd
)

const SegmentBytes = segmentBytes

// Pattern returns the pattern of an encoding that there is.
func Pattern(encoding string) string {
	v, _ := lookup(encoding)
	return v.pattern
}

// LoadFresh loads a vocabulary as the first use of an encoding does.
func LoadFresh(encoding string) error {
	v, err := lookup(encoding)
	if err != nil {
		return err
	}
	_, err = newVocabulary(v.name, v.pattern).encoder()
	return err
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

// Cache is a cache of its own, addressed by text.
type Cache struct{ cache *cache }

const CacheGeneration = generationEntries

func NewCache() Cache                         { return Cache{newCache()} }
func (c Cache) Put(s string, n int)           { c.cache.put(c.cache.key(s), n) }
func (c Cache) Get(s string) (n int, ok bool) { return c.cache.get(c.cache.key(s)) }
func (c Cache) Len() int                      { return len(c.cache.young) + len(c.cache.old) }
