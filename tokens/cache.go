package tokens

import (
	"hash/maphash"
	"sync"
)

// generationEntries is half of what a cache holds.
const generationEntries = 1 << 14

// A cache remembers the counts of recent texts. It never holds a text: a key is a
// seeded 64-bit hash and the length, so an entry has a fixed size and no prompt
// outlives its request. A new text is taken for another with a chance of at most
// 2*generationEntries/2^64, below one in 10^14, and then only an estimate is wrong.
//
// Entries live in two generations. When the young one is full it becomes the old
// one, whose entries are dropped unless they were used meanwhile. So the last
// generationEntries distinct keys are always present, with constant time for
// each operation and no list to keep in order.
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

// putLocked requires that c.mu is held. It reuses the map it empties, so that a
// cache which has reached its size allocates no more.
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
