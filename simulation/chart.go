package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/svg"
)

// Sizes of the chart, which is as wide as a page on GitHub shows it.
const (
	chartWidth   = 760
	headerHeight = 84
	panelTop     = 34  // of a panel's title
	panelHeight  = 132 // of its bars
	panelBottom  = 34  // of the names below
	left, right  = 52, 748
	barWidth     = 34
)

// fills are the colors of the contenders, in their order.
var fills = []svg.Color{svg.Blue, svg.Orange, svg.Idle}

// counting names how each kind of server counts.
var counting = map[string]string{
	"bucket": "token bucket", "fixed": "fixed window", "sliding": "sliding window",
	"strict": "sliding window, prompts on arrival", "observed": "sliding minute",
}

// A measure is what a panel of the chart shows.
type measure struct {
	title     string
	value     func(total) float64
	label     func(float64) string
	scale     func(float64) float64 // from the value to the height
	ticks     []float64
	max       float64 // value at the top of the panel; higher bars are cut off below their label
	reference float64 // value of a line across the panel; 0: none
	meaning   string  // of that line
}

var measures = []measure{
	{
		title: "Requests that were refused with a 429 (logarithmic scale)",
		value: func(t total) float64 { return float64(t.refused) / float64(t.runs) },
		label: rounded,
		scale: func(v float64) float64 { return math.Log10(1 + v) },
		ticks: []float64{0, 10, 100, 1000, 10_000},
		max:   30_000,
	},
	{
		title:     "Completed work, in % of what the limits allow",
		value:     func(t total) float64 { return 100 * t.goodput },
		label:     rounded,
		scale:     func(v float64) float64 { return v },
		ticks:     []float64{0, 50, 100},
		max:       150,
		reference: 100,
		meaning:   "100%; a server that accepted more did not enforce its limit exactly",
	},
	{
		title: "Calls that failed after all retries, in %",
		value: func(t total) float64 { return 100 * t.share(t.lost) },
		label: func(v float64) string { return inPercent(v / 100) },
		scale: func(v float64) float64 { return v },
		ticks: []float64{0, 10, 20, 30},
		max:   38,
	},
}

func rounded(v float64) string {
	if v > 0 && v < 0.5 {
		return "<1"
	}
	return grouped(v)
}

// grouped writes a whole number below a million, with a comma before its thousands.
func grouped(v float64) string {
	n := int(math.Round(v))
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}

// drawChart writes a chart of some workloads under the same limits to a file: a panel for each measure, with the means
// over the plain kinds of servers.
func drawChart(path string, groups []group) error {
	if filepath.Ext(path) != ".svg" {
		return fmt.Errorf("-o: the name must end in .svg, got %q", path)
	}
	height := headerHeight + len(measures)*(panelTop+panelHeight+panelBottom)
	c := svg.New(chartWidth, height, "Refused requests, completed work and failed calls of three ways to keep a rate limit", describe(groups))
	drawHeader(c, groups[0])
	for i, m := range measures {
		p := panel{measure: m, top: float64(headerHeight + i*(panelTop+panelHeight+panelBottom) + panelTop)}
		p.draw(c, groups)
	}
	return os.WriteFile(path, c.Bytes(), 0o644)
}

// describe returns the values of the chart as a text, for people who cannot see it.
func describe(groups []group) string {
	var b strings.Builder
	for _, m := range measures {
		fmt.Fprintf(&b, "%s. ", m.title)
		for _, g := range groups {
			values := make([]string, len(contenders))
			for i, contender := range contenders {
				values[i] = contender.caption + " " + m.label(g.value(m, i))
			}
			fmt.Fprintf(&b, "%s: %s. ", g.work.caption, strings.Join(values, ", "))
		}
	}
	return strings.TrimSpace(b.String())
}

// value returns what a contender achieved, by a measure.
func (g group) value(m measure, contender int) float64 {
	return m.value(totalOf(plainCells(g.rows[contender])...))
}

// drawHeader writes what the chart is about, and which color stands for which contender.
func drawHeader(c *svg.Picture, g group) {
	cells := plainCells(g.rows[0])
	servers := make([]string, len(cells))
	for i, cell := range cells {
		servers[i] = counting[cell.server]
	}
	c.Text(svg.At(16, 28), svg.Start, svg.Bold(17, svg.Ink), fmt.Sprintf("Half an hour at %v requests/s and %s tokens/min", g.limits.rps, grouped(float64(g.limits.tpm))))
	c.Text(svg.At(16, 48), svg.Start, svg.Regular(11, svg.Muted), fmt.Sprintf(
		"Simulated (make simulate). Means over servers that count by %s, each with %d seeds.", strings.Join(servers, ", "), len(cells[0].outcomes)))
	x := 16.0
	for i, contender := range contenders {
		c.Polygon(fills[i], svg.Rectangle(x, 60, x+12, 72)...)
		c.Text(svg.At(x+18, 70), svg.Start, svg.Regular(12, svg.Ink), contender.caption)
		x += 44 + 6.2*float64(len(contender.caption))
	}
}

// A panel is the part of the chart that shows one measure.
type panel struct {
	measure
	top float64
}

func (p panel) y(v float64) float64 {
	return p.top + panelHeight*(1-p.scale(min(v, p.max))/p.scale(p.max))
}

// draw draws a group of bars for each workload, a bar for each contender, with its value above it.
func (p panel) draw(c *svg.Picture, groups []group) {
	c.Text(svg.At(left, p.top-16), svg.Start, svg.Bold(12, svg.Ink), p.title)
	for _, v := range p.ticks {
		c.Line(svg.Faint, 1, svg.At(left, p.y(v)), svg.At(right, p.y(v)))
		c.Text(svg.At(left-6, p.y(v)+3.5), svg.End, svg.Regular(10, svg.Muted), grouped(v))
	}
	width := float64(right-left) / float64(len(groups))
	for i, g := range groups {
		middle := left + (float64(i)+0.5)*width
		for n := range contenders {
			p.bar(c, middle+(float64(n)-float64(len(contenders)-1)/2)*(barWidth+3), fills[n], g.value(p.measure, n))
		}
		c.Text(svg.At(middle, p.top+panelHeight+16), svg.Middle, svg.Regular(11, svg.Ink), g.work.caption)
	}
	if p.reference > 0 {
		c.DashedLine(svg.Ink, 1.5, svg.At(left, p.y(p.reference)), svg.At(right, p.y(p.reference)))
		c.Text(svg.At(right, p.top-16), svg.End, svg.Regular(10, svg.Muted), "dashed: "+p.meaning)
	}
}

// bar draws one bar. A value of 0 is a green mark on the axis, so that nobody takes it for a bar that is missing.
func (p panel) bar(c *svg.Picture, middle float64, fill svg.Color, v float64) {
	top, look := p.y(v), svg.Regular(10, svg.Ink)
	if v == 0 {
		top, fill, look = p.y(0)-3, svg.Green, svg.Bold(11, svg.Green)
	}
	c.Polygon(fill, svg.Rectangle(middle-barWidth/2, top, middle+barWidth/2, p.y(0))...)
	at := svg.At(middle, top-4)
	if p.reference > 0 { // out of the way of its line
		at.Y = p.y(0) - 6
		if fill != svg.Idle {
			look.Color = svg.Paper
		}
	}
	c.Text(at, svg.Middle, look, p.label(v))
}

// plainCells returns the cells of the servers that enforce the published limits, or all cells if no such server was run.
func plainCells(r row) []cell {
	plain := slices.DeleteFunc(slices.Clone(r.cells), func(c cell) bool { return !slices.Contains(plainKinds, c.server) })
	if len(plain) == 0 {
		return r.cells
	}
	return plain
}
