package main

import (
	"fmt"
	"io"
	"strings"
	"time"
)

// table prints its lines as soon as they are complete. It has a line for each contender and workload.
// Goodput and 429s have a column for each server; the other columns are about all servers together.
type table struct {
	out     io.Writer
	err     error // The first error of out.
	servers []string
	work    string // The workload of the previous line.
}

func newTable(out io.Writer, servers []string) *table { return &table{out: out, servers: servers} }

// The widths of the columns. A full table has 120 characters.
const (
	nameWidth   = 15
	serverWidth = 7
	restWidth   = 6
)

// shortNames replace the names of servers that are too long for their columns.
var shortNames = map[string]string{"sliding": "slide", "observed": "observ"}

func (t *table) printf(format string, args ...any) {
	if t.err == nil {
		_, t.err = fmt.Fprintf(t.out, format, args...)
	}
}

// heading prints the heading of the part for some limits.
func (t *table) heading(l limits) {
	t.work = ""
	wide := serverWidth * len(t.servers)
	t.printf("\n%v (%s)\n", l, l.name)
	t.printf("%*s%s%s%*s%*s%s\n", nameWidth, "", rule("goodput, %", wide), rule("429s", wide),
		restWidth, "worst", restWidth, "lost", rule("wait, s", 3*restWidth)+" turn")
	t.printf("%*s", nameWidth, "")
	for range 2 {
		for _, server := range t.servers {
			if short, ok := shortNames[server]; ok {
				server = short
			}
			t.printf("%*s", serverWidth, server)
		}
	}
	t.printf("   run     %%   p50   p99   max    %%\n")
}

// rule returns a line with a centered title that spans its columns.
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

// notes prints explanations of the columns and the contenders.
func (t *table) notes() {
	t.printf(`
goodput  completed work as a share of the work that the limits allow in the same time, mean over the runs.
         For "shared", a share of what the other clients left; for "70%%", a share of the work that arrived.
         Above 100 if a server gives more than its limit: a bucket that is full at first, a window that starts for
         the next minute, or a call that starts with few tokens left and uses thousands.
429s     429 responses in all runs; "worst run" is the maximum of one run.
lost     calls that failed after their retries: %d for retry, %d for pacing; the limiter retries without a bound.
wait     time from the arrival of a call to its accepted attempt, for completed calls.
turn     calls that started before a call that had arrived earlier.

limiter  this repository's limiter with window guard and learned estimates
pacing   two limiters of golang.org/x/time/rate, one for requests and one for prompt and max_tokens
retry    no limiter; backoff from 1 s to 32 s, or the time in Retry-After
`, maxRetries, pacingRetries)
}

// inPercent formats a share. It distinguishes 0 from small shares.
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
