package tokens_test

import (
	"strconv"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/tokens"
)

// This test is not parallel, because AllocsPerRun counts the allocations of the whole process.
func TestTextCachedDoesNotAllocate(t *testing.T) {
	c := newCounter(t, "")
	for _, n := range []int{1, 50, 5_000, 20_000} {
		s := prose(random(1), n)
		want := c.Text(s)
		allocs := testing.AllocsPerRun(100, func() {
			if got := c.Text(s); got != want {
				t.Errorf("%d bytes: first count %d, then %d", n, want, got)
			}
		})
		if allocs != 0 {
			t.Errorf("%d bytes: a cached count allocates %v times, want 0", n, allocs)
		}
	}
}

func TestCacheIsBoundedAndKeepsTheLatest(t *testing.T) {
	t.Parallel()
	const puts = 3*tokens.CacheGeneration + 77
	c := tokens.NewCache()
	for i := range puts {
		c.Put(strconv.Itoa(i), i)
		if c.Len() > 2*tokens.CacheGeneration {
			t.Fatalf("%d entries after %d puts, want at most %d", c.Len(), i+1, 2*tokens.CacheGeneration)
		}
	}
	for i := puts - tokens.CacheGeneration; i < puts; i++ {
		if n, ok := c.Get(strconv.Itoa(i)); !ok || n != i {
			t.Fatalf("Get(%d) = %d, %v, want one of the latest %d entries", i, n, ok, tokens.CacheGeneration)
		}
	}
	if n, ok := c.Get("0"); ok {
		t.Errorf("Get(0) = %d, want no entry: it is the oldest one", n)
	}
}

func TestCacheKeepsUsedEntries(t *testing.T) {
	t.Parallel()
	c := tokens.NewCache()
	c.Put("used", 42)
	for i := range 5 * tokens.CacheGeneration {
		c.Put(strconv.Itoa(i), i)
		if i%1000 != 0 {
			continue
		}
		if n, ok := c.Get("used"); !ok || n != 42 {
			t.Fatalf("after %d other entries: Get = %d, %v, want 42", i+1, n, ok)
		}
	}
}
