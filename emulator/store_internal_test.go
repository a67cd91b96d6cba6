package emulator

import (
	"slices"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

func TestShelfForgetsTheOldest(t *testing.T) {
	t.Parallel()
	s := newShelf[int](3)
	for i, id := range []string{"a", "b", "c", "d"} {
		s.add(id, i)
	}
	if _, ok := s.get("a"); ok || !slices.Equal(slices.Collect(s.newest()), []int{3, 2, 1}) {
		t.Errorf("shelf has %v, want 3 2 1", slices.Collect(s.newest()))
	}
	if !s.remove("c") || s.remove("c") || s.remove("a") {
		t.Error("what is there can be removed, once")
	}
	for i, id := range []string{"e", "f"} {
		s.add(id, 4+i)
	}
	if !slices.Equal(slices.Collect(s.newest()), []int{5, 4, 3}) || len(s.byID) != 3 {
		t.Errorf("shelf has %v of %d, want 5 4 3", slices.Collect(s.newest()), len(s.byID))
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

// An agent that has more versions than are kept has the latest, and no alias of others.
func TestOldestVersionGivesWay(t *testing.T) {
	t.Parallel()
	a := &agent{aliases: map[string]generated.AgentAliasResponse{"first": {Version: 0}, "second": {Version: 1}}}
	for range MaxVersions + 1 {
		a.add(generated.Agent{})
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
