package quota

import (
	"slices"
	"time"
)

// toolCounter is the counter of one tool in one window.
type toolCounter struct {
	counter
	tool   string
	window string // the name of the window in headers: minute or day
	limit  int
}

func newToolCounters(cfg Config, start time.Time) []toolCounter {
	var list []toolCounter
	for tool, limit := range cfg.Tools {
		if n := limit.PerMinute; n > 0 {
			list = append(list, toolCounter{newCounter(cfg.Mode, windowRate(n, time.Minute), start), tool, "minute", n})
		}
		if n := limit.PerDay; n > 0 {
			list = append(list, toolCounter{newCounter(cfg.Mode, windowRate(n, 24*time.Hour), start), tool, "day", n})
		}
	}
	return list
}

func (c toolCounter) among(tools []string) bool { return slices.Contains(tools, c.tool) }

// toolRefusal returns a refusal if the limit of one of the tools is used up. The caller must
// hold mu.
func (l *Limiter) toolRefusal(tools []string, now time.Time) *Refusal {
	for _, c := range l.tools {
		if !c.among(tools) {
			continue
		}
		if wait := c.wait(now); wait > 0 {
			return &Refusal{Tool: c.tool, Wait: wait}
		}
	}
	return nil
}

// CheckTools returns a refusal if a call in progress may not continue with these tools.
func (l *Limiter) CheckTools(tools []string) *Refusal {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.toolRefusal(tools, time.Now())
}
