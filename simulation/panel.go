package main

import (
	"fmt"
	"image/color"
	"math"
	"slices"
	"strconv"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/plotter"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// A measure is what a panel of the chart shows.
type measure struct {
	title string
	value func(total) float64
	label func(float64) string
	scale func(float64) float64 // of value to height
	ticks []float64
	most  float64 // value at the top of the panel; higher bars are cut, but say how high
}

var measures = []measure{
	{
		title: "Completed work, % of what the limit allows (above 100: the server let in too much)",
		value: func(t total) float64 { return 100 * t.goodput },
		label: rounded,
		scale: func(v float64) float64 { return v },
		ticks: []float64{0, 50, 100},
		most:  150,
	},
	{
		title: "429s, logarithmic",
		value: func(t total) float64 { return float64(t.refused) / float64(t.runs) },
		label: rounded,
		scale: func(v float64) float64 { return math.Log10(1 + v) },
		ticks: []float64{0, 10, 100, 1000, 10_000},
		most:  30_000,
	},
	{
		title: "Calls given up after their retries, %",
		value: func(t total) float64 { return 100 * t.share(t.lost) },
		label: func(v float64) string { return inPercent(v / 100) },
		scale: func(v float64) float64 { return v },
		ticks: []float64{0, 5, 10, 15},
		most:  17,
	},
}

func rounded(v float64) string {
	if v > 0 && v < 0.5 {
		return "<1"
	}
	return grouped(v)
}

// grouped writes a whole number below a million, its thousands apart.
func grouped(v float64) string {
	n := int(math.Round(v))
	if n < 10_000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%d %03d", n/1000, n%1000)
}

const barWidth vg.Length = 28

// newPanel draws a measure: a group of bars for each workload, one for each
// contender, with its value above it.
func newPanel(m measure, groups []group) *plot.Plot {
	p := plot.New()
	p.Title.Text = m.title
	p.Title.TextStyle = style(11)
	p.Title.TextStyle.XAlign = draw.XCenter
	p.Title.Padding = 4

	lines := plotter.NewGrid()
	lines.Vertical.Width = 0
	lines.Horizontal.Color = pale
	p.Add(lines)
	for i := range contenders {
		p.Add(newBars(m, groups, i))
	}

	names := make([]string, len(groups))
	for i, g := range groups {
		names[i] = g.work.name + "\n" + g.work.caption
	}
	p.NominalX(names...)
	p.X.Min, p.X.Max = -0.5, float64(len(groups))-0.5
	p.X.Tick.Label.Font = style(9).Font
	p.X.Tick.Label.Color = ink
	p.X.Tick.Length = 3
	p.X.Tick.Color = color.Transparent
	p.X.Padding = 0
	p.X.Color = ink

	p.Y.Min, p.Y.Max = 0, m.scale(m.most)
	p.Y.Width = 0
	p.Y.Tick.Width = 0
	p.Y.Tick.Label.Font = style(9).Font
	p.Y.Tick.Label.Color = ink
	ticks := make(plot.ConstantTicks, len(m.ticks))
	for i, v := range m.ticks {
		ticks[i] = plot.Tick{Value: m.scale(v), Label: grouped(v)}
	}
	p.Y.Tick.Marker = ticks
	return p
}

// bars are those of one contender in a panel.
type bars struct {
	*plotter.BarChart
	labels *plotter.Labels
}

func newBars(m measure, groups []group, contender int) bars {
	offset := (vg.Length(contender) - vg.Length(len(contenders)-1)/2) * (barWidth + 2)
	b := bars{
		BarChart: &plotter.BarChart{Width: barWidth, Color: colours[contender], Offset: offset},
		labels:   &plotter.Labels{Offset: vg.Point{X: offset, Y: 2}},
	}
	above := style(9)
	above.XAlign, above.YAlign = draw.XCenter, draw.YBottom
	for i, g := range groups {
		value := m.value(totalOf(plainCells(g.rows[contender])...))
		height := m.scale(min(value, m.most))
		b.Values = append(b.Values, height)
		b.labels.XYs = append(b.labels.XYs, plotter.XY{X: float64(i), Y: height})
		b.labels.Labels = append(b.labels.Labels, m.label(value))
		b.labels.TextStyle = append(b.labels.TextStyle, above)
	}
	return b
}

// Plot draws the bars and then their values.
func (b bars) Plot(c draw.Canvas, p *plot.Plot) {
	b.BarChart.Plot(c, p)
	b.labels.Plot(c, p)
}

// plainCells returns the cells of the servers that keep to the published limits,
// or all, if there are none of these.
func plainCells(r row) []cell {
	plain := slices.DeleteFunc(slices.Clone(r.cells), func(c cell) bool { return !slices.Contains(plainKinds, c.server) })
	if len(plain) == 0 {
		return r.cells
	}
	return plain
}
