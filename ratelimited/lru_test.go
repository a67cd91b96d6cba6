package ratelimited

import (
	"strconv"
	"testing"
)

// What is remembered is bounded, and what was used last stays.
func TestLRU(t *testing.T) {
	t.Parallel()
	const most = 100
	m := newLRU[int](most)
	set := func(key string, value int) { m.update(key, func(v *int) { *v = value }) }
	for i := range most {
		set(strconv.Itoa(i), i+1)
	}
	if m.get("0") != 1 { // which makes it the latest
		t.Fatal("the first is forgotten before the memory is full")
	}
	set("one more", 7)
	set("one more", 8)
	set("", 9)
	if len(m.byKey) != most || m.recent.Len() != most {
		t.Errorf("%d values by key and %d by age are kept, want %d", len(m.byKey), m.recent.Len(), most)
	}
	if m.get("0") == 0 || m.get("1") != 0 {
		t.Error("not the one used least recently is forgotten")
	}
	if m.get("one more") != 8 || m.get("") != 0 {
		t.Errorf("the latest is %d, the one without a key %d", m.get("one more"), m.get(""))
	}
	m.forget("0")
	m.forget("0")
	if m.get("0") != 0 {
		t.Error("a forgotten value is found")
	}
}
