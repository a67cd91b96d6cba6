package quota

import "testing"

// A tool's count keeps nothing of calls that did not run it.
func TestToolCountsAreBounded(t *testing.T) {
	t.Parallel()
	g := New(Config{Mode: SlidingWindow, Tools: map[string]ToolLimit{"web_search": {PerDay: 5}}})
	for range 10 {
		g.Charge("m", 1, nil)
		g.Charge("m", 1, map[string]int{"code_interpreter": 1})
	}
	if kept, _ := g.tools[0].counter.(*slidingWindow); len(kept.uses) != 0 {
		t.Errorf("%d entries are kept of no runs", len(kept.uses))
	}
}
