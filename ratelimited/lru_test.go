package ratelimited

import (
	"strconv"
	"testing"
)

// The cache evicts the least recently used entry when it is full.
func TestLRU(t *testing.T) {
	t.Parallel()
	const size = 100
	m := newLRU[int](size)
	set := func(key string, value int) { m.update(key, func(v *int) { *v = value }) }
	for i := range size {
		set(strconv.Itoa(i), i+1)
	}
	if m.get("0") != 1 { // get makes it the most recent entry
		t.Fatal("the first entry is evicted before the cache is full")
	}
	set("one more", 7)
	set("one more", 8)
	set("", 9)
	if len(m.byKey) != size || m.recent.Len() != size {
		t.Errorf("the cache holds %d entries by key and %d by age, want %d", len(m.byKey), m.recent.Len(), size)
	}
	if m.get("0") == 0 || m.get("1") != 0 {
		t.Error("the cache did not evict the least recently used entry")
	}
	if m.get("one more") != 8 || m.get("") != 0 {
		t.Errorf("the latest entry is %d and the entry with an empty key %d, want 8 and 0", m.get("one more"), m.get(""))
	}
	m.forget("0")
	m.forget("0")
	if m.get("0") != 0 {
		t.Error("the cache returns a forgotten entry")
	}
}
