package ratelimited

import (
	"strconv"
	"testing"
)

// The memory of conversations is bounded, and what was used last stays.
func TestMemoryIsBounded(t *testing.T) {
	t.Parallel()
	var m memory
	for i := range conversationsKept {
		m.remember(strconv.Itoa(i), "m", i)
	}
	if m.recall("0").model != "m" { // which makes it the latest
		t.Fatal("the first is forgotten before the memory is full")
	}
	m.remember("one more", "m", 7)
	m.remember("one more", "n", 8)
	m.remember("", "m", 9)
	if len(m.byID) != conversationsKept || m.recent.Len() != conversationsKept {
		t.Errorf("%d conversations are kept, want %d", len(m.byID), conversationsKept)
	}
	if m.recall("0").id == "" || m.recall("1").id != "" {
		t.Error("not the one used least recently is forgotten")
	}
	if c := m.recall("one more"); c.model != "n" || c.tokens != 8 {
		t.Errorf("the latest is %+v", c)
	}
	m.forget("0")
	m.forget("0")
	if m.recall("0").id != "" {
		t.Error("a forgotten conversation is recalled")
	}
}
