package tokens

import (
	"hash/maphash"
	"sync"
)

// generationEntries is half of the maximum number of entries of a cache.
const generationEntries = 1 << 14

// A cache stores the token counts of recent texts. It does not store texts: a key is a seeded 64-bit hash
// and the length, so entries have a fixed size, and prompts do not stay in memory. A new text collides with
// another one with a probability below one in 10^14 (2*generationEntries/2^64). The estimate is then wrong.
//
// Entries are in two generations. When the young generation is full, it becomes the old one, and the
// previous old one is dropped, except entries that were used meanwhile. So the cache always holds the last
// generationEntries distinct keys. Each operation takes constant time, without an ordered list.
type cache struct {
	seed maphash.Seed

	mu    sync.Mutex
	young map[cacheKey]int
	old   map[cacheKey]int
}

type cacheKey struct {
	hash   uint64
	length int
}

func newCache() *cache {
	return &cache{seed: maphash.MakeSeed(), young: make(map[cacheKey]int)}
}

func (c *cache) key(s string) cacheKey {
	return cacheKey{hash: maphash.String(c.seed, s), length: len(s)}
}

func (c *cache) get(k cacheKey) (int, bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if n, ok := c.young[k]; ok {
		return n, true
	}
	n, ok := c.old[k]
	if ok {
		c.putLocked(k, n)
	}
	return n, ok
}

func (c *cache) put(k cacheKey, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.putLocked(k, n)
}

// putLocked requires that c.mu is held. It reuses the dropped map, so a full cache does not allocate.
func (c *cache) putLocked(k cacheKey, n int) {
	if len(c.young) >= generationEntries {
		c.young, c.old = c.old, c.young
		if c.young == nil {
			c.young = make(map[cacheKey]int)
		}
		clear(c.young)
	}
	c.young[k] = n
}
