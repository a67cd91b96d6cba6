package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// A table is printed line by line, so that one can watch it grow. It has a line
// for each contender and workload, with a column for each server under goodput
// and under 429s; the other columns are about the calls to all these servers.
type table struct {
	out     io.Writer
	err     error // the first of out
	servers []string
	work    string // of the line before
}

func newTable(out io.Writer, servers []string) *table { return &table{out: out, servers: servers} }

// Widths of columns, by which a full table has 120.
const (
	nameWidth   = 15
	serverWidth = 7
	restWidth   = 6
)

// shorter are the names of servers that are too long for their columns.
var shorter = map[string]string{"sliding": "slide", "observed": "observ"}

func (t *table) printf(format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.out, format, args...)
	}
}

// heading begins the part of the table about some limits.
func (t *table) heading(l limits) {
	t.work = ""
	wide := serverWidth * len(t.servers)
	t.printf("\n%v (%s)\n", l, l.name)
	t.printf("%*s%s%s%*s%*s%s\n", nameWidth, "", rule("goodput, %", wide), rule("429s", wide),
		restWidth, "worst", restWidth, "lost", rule("wait, s", 3*restWidth)+" turn")
	t.printf("%*s", nameWidth, "")
	for range 2 {
		for _, server := range t.servers {
			if short, ok := shorter[server]; ok {
				server = short
			}
			t.printf("%*s", serverWidth, server)
		}
	}
	t.printf("   run     %%   p50   p99   max    %%\n")
}

// rule writes a title in the middle of a line that spans its columns.
func rule(title string, width int) string {
	dashes := max(0, width-2-len(title)-2)
	left := strings.Repeat("-", dashes/2)
	return fmt.Sprintf("%*s", width, left+" "+title+" "+left+strings.Repeat("-", dashes%2))
}

func (t *table) row(work workload, r row) {
	name := work.name
	if name == t.work {
		name = ""
	}
	t.work = work.name
	t.printf("%-8s%-*s", name, nameWidth-8, r.contender.name)
	for _, c := range r.cells {
		t.printf("%*.1f", serverWidth, 100*c.goodput())
	}
	for _, c := range r.cells {
		t.printf("%*d", serverWidth, totalOf(c).refused)
	}
	all := totalOf(r.cells...)
	t.printf("%*d%*s", restWidth, all.worst, restWidth, inPercent(all.share(all.lost)))
	for _, percent := range []int{50, 99, 100} {
		t.printf("%*s", restWidth, inSeconds(all.percentile(percent)))
	}
	t.printf("%*s\n", restWidth-1, inPercent(all.share(all.inversions)))
}

// notes explains the columns and the names.
func (t *table) notes() {
	t.printf(`
goodput  completed work as a share of what the limit that binds allows in the same time, on average over the
         runs. For "shared", of what the others left; for "70%%", of the work that arrived. Above 100 where a server
         gives more than its limit: a bucket that is full at first, a window that opens for the next minute, calls
         that use thousands of tokens after one that was left, others on the account who take without asking.
429s     refused requests, of all runs together; "worst run" is the most of one.
lost     calls given up after their retries: %d for retry, %d for pacing; the limiter goes on.
wait     from asking for a call to the attempt that was accepted, of the calls that were completed.
turn     calls that got in by an attempt made before that of a call asked for earlier.

limiter  this repository's, with its guard and what it learns of prompts and replies
pacing   two limiters of golang.org/x/time/rate, one for requests and one for prompt and max_tokens
retry    no limiter; backoff from 1 s to 32 s, or as Retry-After says
`, patience, pacingRetries)
}

// inPercent tells nothing from next to nothing.
func inPercent(share float64) string {
	switch percent := 100 * share; {
	case share == 0:
		return "0"
	case percent < 0.05:
		return "<0.1"
	default:
		return fmt.Sprintf("%.1f", percent)
	}
}

func inSeconds(d time.Duration) string {
	if d >= 1000*time.Second {
		return fmt.Sprintf("%.0f", d.Seconds())
	}
	return fmt.Sprintf("%.1f", d.Seconds())
}
