package emulator

import (
	"slices"
	"testing"
	"time"
)

func TestShelfForgetsTheOldest(t *testing.T) {
	t.Parallel()
	s := newShelf[int](3)
	for i, id := range []string{"a", "b", "c", "d"} {
		s.add(id, i)
	}
	if _, ok := s.get("a"); ok || !slices.Equal(s.newest(), []int{3, 2, 1}) {
		t.Errorf("shelf has %v, want 3 2 1", s.newest())
	}
	if !s.remove("c") || s.remove("c") || s.remove("a") {
		t.Error("what is there can be removed, once")
	}
	for i, id := range []string{"e", "f"} {
		s.add(id, 4+i)
	}
	if !slices.Equal(s.newest(), []int{5, 4, 3}) || len(s.byID) != 3 {
		t.Errorf("shelf has %v of %d, want 5 4 3", s.newest(), len(s.byID))
	}
}

func TestStoreIsBounded(t *testing.T) {
	t.Parallel()
	s := newStore()
	if s.conversations.most != MaxConversations || s.agents.most != MaxAgents {
		t.Errorf("store keeps %d conversations and %d agents", s.conversations.most, s.agents.most)
	}
}

// A tool's count keeps nothing of calls that did not run it.
func TestToolCountsAreBounded(t *testing.T) {
	t.Parallel()
	g := newGate(Config{Mode: SlidingWindow, ToolLimits: map[string]ToolLimit{"web_search": {PerDay: 5}}})
	for range 10 {
		g.chargeTools(nil, time.Now())
		g.chargeTools(map[string]int{"code_interpreter": 1}, time.Now())
	}
	if kept, _ := g.tools[0].meter.(*slidingWindow); len(kept.uses) != 0 {
		t.Errorf("%d entries are kept of no runs", len(kept.uses))
	}
}
