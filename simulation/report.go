package main

import (
	"io"
	"testing"
)

// report runs all that was asked for, prints the table line by line as it comes,
// and draws the chart.
func report(t *testing.T, o options, out io.Writer) error {
	t.Helper()
	table := newTable(out, o.servers)
	if o.challenges != nil {
		reportChallenges(t, o, table)
		return table.err
	}
	var charted []group
	for _, l := range o.limits {
		table.heading(l)
		for _, work := range o.workloads {
			g := group{limits: l, work: work}
			for _, c := range contenders {
				r := newRow(t, o, l, work, c)
				table.row(work, r)
				g.rows = append(g.rows, r)
			}
			if work.caption != "" && l == o.limits[0] {
				charted = append(charted, g)
			}
		}
	}
	table.notes()
	if table.err != nil || o.chart == "" || len(charted) == 0 {
		return table.err
	}
	return drawChart(o.chart, charted)
}

// A group is what all contenders make of a workload.
type group struct {
	limits limits
	work   workload
	rows   []row // in the order of contenders
}

// A row is what a contender makes of a workload, with each kind of server.
type row struct {
	contender contender
	cells     []cell
}

func newRow(t *testing.T, o options, l limits, work workload, c contender) row {
	t.Helper()
	r := row{contender: c}
	for _, server := range o.servers {
		r.cells = append(r.cells, newCell(t, o.seeds, scenario{
			limits:      l,
			work:        work,
			server:      server,
			newStrategy: c.make,
			length:      o.length,
		}))
	}
	return r
}
