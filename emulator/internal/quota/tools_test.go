package quota

import "testing"

func TestToolCounterIgnoresCallsWithoutTool(t *testing.T) {
	t.Parallel()
	l := New(Config{Mode: SlidingWindow, Tools: map[string]ToolLimit{"web_search": {PerDay: 5}}})
	for range 10 {
		l.Charge("m", 1, nil)
		l.Charge("m", 1, map[string]int{"code_interpreter": 1})
	}
	if window, _ := l.tools[0].counter.(*slidingWindow); len(window.uses) != 0 {
		t.Errorf("the counter has %d uses, want 0", len(window.uses))
	}
}
