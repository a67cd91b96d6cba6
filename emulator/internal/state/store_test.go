package state

import (
	"slices"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// weight is a thing that has nothing but a size.
type weight int

func (w *weight) size() int { return int(*w) }

// on returns the ids in a map, newest first, and checks its counts.
func (s *bounded[T]) on(t *testing.T) string {
	t.Helper()
	var ids strings.Builder
	bytes := 0
	for _, item := range slices.Backward(s.order) {
		ids.WriteString(item.id)
		bytes += item.value.size()
	}
	if bytes != s.bytes || len(s.order) != len(s.byID) {
		t.Errorf("it has %d items of %d bytes, and counts %d of %d", len(s.order), bytes, len(s.byID), s.bytes)
	}
	return ids.String()
}

func TestBoundedEvictsTheOldest(t *testing.T) {
	t.Parallel()
	s := newBounded[*weight](3, 100)
	put := func(ids string, bytes weight) {
		for _, id := range ids {
			s.add(string(id), &bytes)
		}
	}
	put("abcd", 1)
	if got := s.on(t); got != "dcb" {
		t.Errorf("of a, b, c, d it has %s, want d, c, b", got)
	}
	if _, ok := s.get("a"); ok || !s.remove("c") || s.remove("c") || s.remove("a") {
		t.Error("what is there can be removed, once")
	}
	put("ef", 1)
	if got := s.on(t); got != "fed" {
		t.Errorf("with e, f it has %s, want f, e, d", got)
	}
	put("g", 98)
	if got := s.on(t); got != "gfe" {
		t.Errorf("with g, which makes it 100 bytes, it has %s, want g, f, e", got)
	}
	f, _ := s.get("f")
	*f = 2 // It is that of e, too.
	s.update("e")
	s.update("f")
	if got := s.on(t); got != "gf" {
		t.Errorf("with f and e one byte larger it has %s, want g, f", got)
	}
	put("h", 1000)
	if got := s.on(t); got != "h" {
		t.Errorf("with h, which is too large, it has %s, want h alone", got)
	}
}

func TestStoreIsBounded(t *testing.T) {
	t.Parallel()
	s := New(77)
	if c, a := s.conversations, s.agents; c.max != MaxConversations || a.max != MaxAgents || c.maxBytes != 77 || a.maxBytes != 77 {
		t.Errorf("store keeps %d conversations of %d bytes and %d agents of %d", c.max, c.maxBytes, a.max, a.maxBytes)
	}
}

// An agent that is too large by itself keeps its latest versions.
func TestVersionsAreBoundedInBytes(t *testing.T) {
	t.Parallel()
	a := &agent{}
	for range 5 {
		a.add(generated.Agent{}, MaxKeptBytes/2)
	}
	if view := a.view(a.current); !slices.Equal(view.Versions, []int{3, 4}) || a.size() != MaxKeptBytes {
		t.Errorf("versions %v are kept, of %d bytes", view.Versions, a.size())
	}
}

// An agent that has more versions than are kept has the latest, and no alias of others.
func TestOldestVersionGivesWay(t *testing.T) {
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
		t.Error("version 0 is still there")
	}
	if number, ok := a.find("second"); !ok || number != 1 {
		t.Errorf("alias is of version %d, %v", number, ok)
	}
}
