package emulator

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// ToolLimit is how often a tool of the service may be run; 0 means no limit.
type ToolLimit struct {
	// PerMinute and PerDay are counted in the way of [Config.Mode].
	PerMinute int `json:"per_minute"`
	PerDay    int `json:"per_day"`
}

// toolMeter is the count of one tool in one window.
type toolMeter struct {
	tool   string
	window string // as the headers call it
	limit  int
	meter  meter
}

// newToolMeters makes a count of each limit that is set.
func newToolMeters(cfg Config, start time.Time) []toolMeter {
	var list []toolMeter
	for tool, limit := range cfg.ToolLimits {
		if n := limit.PerMinute; n > 0 {
			list = append(list, toolMeter{tool, "minute", n, newMeter(cfg.Mode, windowQuota(n, time.Minute), start)})
		}
		if n := limit.PerDay; n > 0 {
			list = append(list, toolMeter{tool, "day", n, newMeter(cfg.Mode, windowQuota(n, 24*time.Hour), start)})
		}
	}
	return list
}

// toolRefusal refuses a call that has a tool which may not be run any more.
func (g *gate) toolRefusal(tools []string, arrived time.Time) *refusal {
	for _, m := range g.tools {
		if slices.Contains(tools, m.tool) {
			if wait := m.meter.wait(arrived); wait > 0 {
				return &refusal{tool: m.tool, wait: wait}
			}
		}
	}
	return nil
}

// refuseTools is toolRefusal for a call that is under way.
func (g *gate) refuseTools(tools []string, now time.Time) *refusal {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.toolRefusal(tools, now)
}

// chargeTools takes the runs of tools, by name.
func (g *gate) chargeTools(runs map[string]int, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range g.tools {
		if n := runs[m.tool]; n > 0 {
			m.meter.take(now, n)
		}
	}
}

// toolHeaders sets the headers about the tools that a call has.
func (g *gate) toolHeaders(header http.Header, tools []string, now time.Time) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for _, m := range g.tools {
		if slices.Contains(tools, m.tool) {
			name := strings.ReplaceAll(m.tool, "_", "-") + "-" + m.window
			header.Set("x-ratelimit-limit-"+name, strconv.Itoa(m.limit))
			header.Set("x-ratelimit-remaining-"+name, strconv.Itoa(max(0, m.meter.left(now))))
		}
	}
}

func (l ToolLimit) validate() error {
	if l.PerMinute < 0 || l.PerDay < 0 {
		return fmt.Errorf("PerMinute is %d and PerDay is %d: want 0 or more", l.PerMinute, l.PerDay)
	}
	return nil
}
