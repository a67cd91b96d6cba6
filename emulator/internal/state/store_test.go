package state

import (
	"slices"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// sizedInt is a value whose size is its number.
type sizedInt int

func (n *sizedInt) size() int { return int(*n) }

// ids returns the ids in b, newest first, and checks the counts of b.
func ids[T sized](t *testing.T, b *bounded[T]) string {
	t.Helper()
	var text strings.Builder
	bytes := 0
	for _, item := range slices.Backward(b.order) {
		text.WriteString(item.id)
		bytes += item.value.size()
	}
	if bytes != b.bytes || len(b.order) != len(b.byID) {
		t.Errorf("order has %d items of %d bytes; the counts are %d and %d", len(b.order), bytes, len(b.byID), b.bytes)
	}
	return text.String()
}

func TestBoundedEvictsTheOldest(t *testing.T) {
	t.Parallel()
	b := newBounded[*sizedInt](3, 100)
	put := func(ids string, bytes sizedInt) {
		for _, id := range ids {
			b.add(string(id), &bytes)
		}
	}
	put("abcd", 1)
	if got := ids(t, &b); got != "dcb" {
		t.Errorf("after adding a, b, c, d: %s, want dcb", got)
	}
	if _, ok := b.get("a"); ok || !b.remove("c") || b.remove("c") || b.remove("a") {
		t.Error("remove must succeed exactly once, and only for a stored item")
	}
	put("ef", 1)
	if got := ids(t, &b); got != "fed" {
		t.Errorf("after adding e, f: %s, want fed", got)
	}
	put("g", 98)
	if got := ids(t, &b); got != "gfe" {
		t.Errorf("after adding g, for a total of 100 bytes: %s, want gfe", got)
	}
	f, _ := b.get("f")
	*f = 2 // e shares the value.
	b.update("e")
	b.update("f")
	if got := ids(t, &b); got != "gf" {
		t.Errorf("after e and f grew by 1 byte: %s, want gf", got)
	}
	put("h", 1000)
	if got := ids(t, &b); got != "h" {
		t.Errorf("after adding h, which exceeds the bound by itself: %s, want h", got)
	}
}

func TestStoreIsBounded(t *testing.T) {
	t.Parallel()
	s := New(77)
	if c, a := s.conversations, s.agents; c.max != MaxConversations || a.max != MaxAgents || c.maxBytes != 77 || a.maxBytes != 77 {
		t.Errorf("the bounds are %d conversations of %d bytes and %d agents of %d bytes", c.max, c.maxBytes, a.max, a.maxBytes)
	}
}

func TestVersionsAreBoundedInBytes(t *testing.T) {
	t.Parallel()
	a := &agent{}
	for range 5 {
		a.add(generated.Agent{}, MaxKeptBytes/2)
	}
	if view := a.view(a.current); !slices.Equal(view.Versions, []int{3, 4}) || a.size() != MaxKeptBytes {
		t.Errorf("the agent has versions %v of %d bytes", view.Versions, a.size())
	}
}

func TestOldestVersionIsDroppedWithItsAliases(t *testing.T) {
	t.Parallel()
	a := &agent{aliases: map[string]generated.AgentAliasResponse{"first": {Version: 0}, "second": {Version: 1}}}
	for range MaxVersions + 1 {
		a.add(generated.Agent{}, 1)
	}
	view := a.view(MaxVersions)
	if len(view.Versions) != MaxVersions || view.Versions[0] != 1 || view.Version != MaxVersions || a.current != MaxVersions {
		t.Errorf("version %d is one of %d from %d", view.Version, len(view.Versions), view.Versions[0])
	}
	if _, ok := a.find("first"); ok || a.version(0) != nil {
		t.Error("version 0 was not dropped")
	}
	if number, ok := a.find("second"); !ok || number != 1 {
		t.Errorf("the alias refers to version %d, %v; want 1", number, ok)
	}
}
