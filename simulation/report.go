package main

import (
	"io"
	"testing"
)

// report runs the selected scenarios, prints the table line by line, and draws the chart.
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

// group holds the results of all contenders for a workload.
type group struct {
	limits limits
	work   workload
	rows   []row // In the order of contenders.
}

// row holds the results of a contender for a workload, one cell for each kind of server.
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
