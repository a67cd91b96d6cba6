package main

import (
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/svg"
)

// Sizes of the chart, which is as wide as a page on GitHub shows it.
const (
	width, height = 800, 668
	left, right   = 64, 772 // of the panels
	lastSecond    = 10
)

// draw writes a chart of the recording to a file.
func (r *recording) draw(path string) error {
	return write(path, func() []byte {
		c := svg.New(width, height, "Nine calls through two token buckets",
			"At 1.2 requests per second and 30,000 tokens per minute, nine calls arrive at once. The chart shows the level of both buckets "+
				"over ten seconds, when each call starts, how many tokens it returns when it ends, and how long it waits. "+
				"The first six calls wait for a request, the last three for tokens.")
		r.chart(c)
		return c.Bytes()
	})
}

// write writes a picture to a file whose name ends in .svg.
func write(path string, picture func() []byte) error {
	if filepath.Ext(path) != ".svg" {
		return fmt.Errorf("%q: the name must end in .svg", path)
	}
	return os.WriteFile(path, picture(), 0o644)
}

// A panel is a part of the chart with its own axis, from 0 at the bottom to most at the top.
type panel struct {
	top, bottom float64
	most        float64
}

func (p panel) y(v float64) float64 { return p.bottom - v/p.most*(p.bottom-p.top) }

// x returns where an instant is.
func x(at time.Duration) float64 { return left + at.Seconds()/lastSecond*(right-left) }

func (r *recording) chart(c *svg.Picture) {
	requests := panel{top: 146, bottom: 246, most: limit.RequestsPerSecond}
	tokens := panel{top: 306, bottom: 426, most: float64(limit.TokensPerMinute)}
	calls := panel{top: 462, bottom: 624, most: float64(len(r.calls))}

	r.header(c)
	seconds(c, requests, tokens, calls)
	c.Text(svg.At(left, requests.top-22), svg.Start, svg.Bold(11, svg.Blue), "Requests in the bucket; when calls start, in seconds")
	c.Text(svg.At(left, tokens.top-32), svg.Start, svg.Bold(11, svg.Orange), "Tokens in the bucket; what each call returns, or is charged")
	c.Text(svg.At(left, calls.top-8), svg.Start, svg.Bold(11, svg.Ink), "Calls in order of arrival")
	for _, v := range []float64{0, 0.5, 1, 1.2} {
		tick(c, requests, v, fmt.Sprintf("%.1f", v))
	}
	for _, v := range []float64{0, 10_000, 20_000, 30_000} {
		tick(c, tokens, v, thousands(v))
	}
	r.curve(c, requests, svg.Blue, svg.Sky, func(s sample) float64 { return s.requests })
	r.curve(c, tokens, svg.Orange, svg.Cream, func(s sample) float64 { return s.tokens })
	needs(c, requests, 1, "a call needs 1")
	needs(c, tokens, estimate, "a call needs its estimate, "+thousands(estimate))
	for i, call := range r.calls {
		r.mark(c, requests, tokens, call)
		r.row(c, calls, i, call)
	}
}

// header shows what the chart is about, and what each mark means.
func (r *recording) header(c *svg.Picture) {
	c.Text(svg.At(16, 28), svg.Start, svg.Bold(17, svg.Ink), fmt.Sprintf("The two token buckets alone: %d calls arrive at once", len(r.calls)))
	c.Text(svg.At(16, 48), svg.Start, svg.Regular(11, svg.Muted), fmt.Sprintf(
		"%v requests/s, %s tokens/min. A call starts when both buckets hold what it needs.",
		limit.RequestsPerSecond, thousands(float64(limit.TokensPerMinute))))
	c.Text(svg.At(16, 64), svg.Start, svg.Regular(11, svg.Muted),
		"This is the schedule of Config.BareBuckets. By default, a client also keeps sliding windows: here, calls would start every 0.883 s.")
	left, y := 16.0, 88.0
	entry := func(mark func(x float64), text string, length float64) {
		mark(left)
		c.Text(svg.At(left+20, y), svg.Start, svg.Regular(11, svg.Ink), text)
		left += length
	}
	box := func(fill svg.Color) func(x float64) {
		return func(x float64) { c.Polygon(fill, svg.Rectangle(x, y-9, x+14, y+1)...) }
	}
	entry(func(x float64) { c.Line(svg.Muted, 1, svg.At(x+7, y-10), svg.At(x+7, y+2)) }, "a call starts", 116)
	entry(box(svg.Idle), "it waits", 90)
	entry(box(svg.Blue), "it is in flight", 120)
	entry(func(x float64) { triangle(c, svg.Green, x+7, y-1, -9) }, "it returns unused tokens", 184)
	entry(func(x float64) { triangle(c, svg.Red, x+7, y-9, 9) }, "it used more than its estimate", 0)
}

// tick labels a value of a panel's axis.
func tick(c *svg.Picture, p panel, v float64, label string) {
	c.Line(svg.Faint, 1, svg.At(left, p.y(v)), svg.At(right, p.y(v)))
	c.Text(svg.At(left-6, p.y(v)+3.5), svg.End, svg.Regular(10, svg.Muted), label)
}

// seconds draws the time axis that all panels share, with its figures below the last panel.
func seconds(c *svg.Picture, panels ...panel) {
	bottom := panels[len(panels)-1].bottom
	for s := range lastSecond + 1 {
		second := x(time.Duration(s) * time.Second)
		for _, p := range panels {
			c.Line(svg.Faint, 1, svg.At(second, p.top), svg.At(second, p.bottom))
		}
		c.Text(svg.At(second, bottom+15), svg.Middle, svg.Regular(10, svg.Muted), strconv.Itoa(s))
	}
	c.Text(svg.At((left+right)/2, bottom+31), svg.Middle, svg.Regular(11, svg.Ink), "seconds since the calls arrived")
}

// curve draws a level over time. It leaves out samples on a straight line between others.
func (r *recording) curve(c *svg.Picture, p panel, edge, fill svg.Color, level func(sample) float64) {
	var points []svg.Point
	for i, s := range r.samples {
		if i > 0 && i < len(r.samples)-1 {
			bend := level(r.samples[i-1]) - 2*level(s) + level(r.samples[i+1])
			if math.Abs(bend) < p.most*1e-6 {
				continue
			}
		}
		points = append(points, svg.At(x(s.at), p.y(level(s))))
	}
	first, last := points[0].X, points[len(points)-1].X
	c.Polygon(fill, append([]svg.Point{svg.At(last, p.bottom), svg.At(first, p.bottom)}, points...)...)
	c.Line(edge, 1.5, points...)
}

// needs marks the level that a bucket must have for a call to start.
func needs(c *svg.Picture, p panel, v float64, label string) {
	c.DashedLine(svg.Ink, 1, svg.At(left, p.y(v)), svg.At(right, p.y(v)))
	c.Text(svg.At(right, p.y(v)-4), svg.End, svg.Regular(10, svg.Ink), label)
}

// mark shows a call's start and its settlement in the panels of the buckets.
func (r *recording) mark(c *svg.Picture, requests, tokens panel, call call) {
	start := x(call.admitted)
	c.Line(svg.Muted, 1, svg.At(start, requests.top), svg.At(start, requests.bottom))
	c.Line(svg.Muted, 1, svg.At(start, tokens.top), svg.At(start, tokens.bottom))
	c.Text(svg.At(start, requests.top-6), svg.Middle, svg.Bold(10, svg.Ink), fmt.Sprintf("%.3f", call.admitted.Seconds()))

	ended := x(call.settled)
	if back := estimate - call.used; back >= 0 {
		triangle(c, svg.Green, ended, tokens.top-2, -9)
		c.Text(svg.At(ended, tokens.top-15), svg.Middle, svg.Bold(10, svg.Green), "+"+thousands(float64(back)))
	} else {
		triangle(c, svg.Red, ended, tokens.top-11, 9)
		c.Text(svg.At(ended, tokens.top-15), svg.Middle, svg.Bold(10, svg.Red), "−"+thousands(float64(-back)))
	}
}

// row shows how long a call waits, and how long it is in flight.
func (r *recording) row(c *svg.Picture, p panel, i int, call call) {
	top := p.top + float64(i)*(p.bottom-p.top)/p.most
	bottom := top + (p.bottom-p.top)/p.most - 4
	c.Polygon(svg.Idle, svg.Rectangle(x(call.arrived), top, x(call.admitted), bottom)...)
	c.Polygon(svg.Blue, svg.Rectangle(x(call.admitted), top, x(call.settled), bottom)...)
	if what := r.waitedFor(call); what != "" && call.admitted > time.Second {
		c.Text(svg.At(x(call.admitted)-5, bottom-3.5), svg.End, svg.Regular(9.5, svg.Ink), "waits for "+what)
	}
	c.Text(svg.At(left-6, bottom-3), svg.End, svg.Regular(10, svg.Muted), strconv.Itoa(i+1))
	c.Text(svg.At((x(call.admitted)+x(call.settled))/2, bottom-3.5), svg.Middle, svg.Regular(9.5, svg.Paper), thousands(float64(call.used))+" tokens used")
}

// triangle stands on y, or hangs from it where its height is positive.
func triangle(c *svg.Picture, fill svg.Color, x, y, height float64) {
	c.Polygon(fill, svg.At(x-5, y), svg.At(x+5, y), svg.At(x, y+height))
}

// thousands writes a whole number below a million, with a comma before its thousands.
func thousands(v float64) string {
	n := int(math.Round(v))
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}
