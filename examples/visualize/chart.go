package main

import (
	"fmt"
	"image/color"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"time"
)

// The sizes of the chart in pixels. README files show this width without scaling.
const (
	width, height = 800, 642
	left, right   = 64, 772 // the horizontal range of the panels
	lastSecond    = 10
)

var (
	ink    = color.RGBA{0x22, 0x26, 0x2b, 0xff}
	grey   = color.RGBA{0x6b, 0x72, 0x7b, 0xff}
	pale   = color.RGBA{0xe4, 0xe6, 0xe9, 0xff}
	white  = color.RGBA{0xff, 0xff, 0xff, 0xff}
	blue   = color.RGBA{0x1f, 0x6f, 0xc5, 0xff}
	sky    = color.RGBA{0xd5, 0xe5, 0xf6, 0xff}
	orange = color.RGBA{0xd9, 0x82, 0x10, 0xff}
	cream  = color.RGBA{0xfb, 0xea, 0xd0, 0xff}
	green  = color.RGBA{0x1e, 0x8e, 0x4e, 0xff}
	red    = color.RGBA{0xc0, 0x32, 0x2b, 0xff}
	wait   = color.RGBA{0xc9, 0xcd, 0xd3, 0xff}
)

// draw writes an image of the recording. The extension of path selects the format.
func (r *recording) draw(path string) error {
	var c canvas
	switch filepath.Ext(path) {
	case ".svg":
		c = &svg{width: width, height: height}
	case ".png":
		var err error
		if c, err = newRaster(width, height); err != nil {
			return err
		}
	default:
		return fmt.Errorf("-o: must end in .svg or .png, got %q", path)
	}
	r.chart(c)
	data, err := c.encode()
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}

// A panel is a part of the chart. Its vertical axis is from 0 at the bottom to max at the top.
type panel struct {
	top, bottom float64
	max         float64
}

func (p panel) y(v float64) float64 { return p.bottom - v/p.max*(p.bottom-p.top) }

// x returns the horizontal position of an instant.
func x(at time.Duration) float64 { return left + at.Seconds()/lastSecond*(right-left) }

func (r *recording) chart(c canvas) {
	requests := panel{top: 124, bottom: 224, max: limit.RequestsPerSecond}
	tokens := panel{top: 284, bottom: 404, max: float64(limit.TokensPerMinute)}
	calls := panel{top: 440, bottom: 602, max: float64(len(r.calls))}

	c.polygon(white, point{0, 0}, point{width, 0}, point{width, height}, point{0, height})
	r.header(c)
	seconds(c, requests, tokens, calls)
	c.text(point{left, requests.top - 22}, start, style{11, true, blue}, "Requests in the bucket, and start times of the calls (s)")
	c.text(point{left, tokens.top - 32}, start, style{11, true, orange}, "Tokens in the bucket, and tokens returned or charged")
	c.text(point{left, calls.top - 8}, start, style{11, true, ink}, "Calls, in order of arrival")
	for _, v := range []float64{0, 0.5, 1, 1.2} {
		tick(c, requests, v, fmt.Sprintf("%.1f", v))
	}
	for _, v := range []float64{0, 10_000, 20_000, 30_000} {
		tick(c, tokens, v, thousands(v))
	}
	r.curve(c, requests, blue, sky, func(s sample) float64 { return s.requests })
	r.curve(c, tokens, orange, cream, func(s sample) float64 { return s.tokens })
	needs(c, requests, 1, "a call needs 1")
	needs(c, tokens, estimate, "a call needs its estimate of "+thousands(estimate))
	for i, call := range r.calls {
		r.mark(c, requests, tokens, call)
		r.row(c, calls, i, call)
	}
}

// header draws the title and the legend.
func (r *recording) header(c canvas) {
	c.text(point{16, 28}, start, style{17, true, ink}, fmt.Sprintf("%d concurrent calls, two token buckets", len(r.calls)))
	c.text(point{16, 48}, start, style{11, false, grey}, fmt.Sprintf(
		"%v requests/s, %s tokens/min. A call starts when both buckets contain what it needs.",
		limit.RequestsPerSecond, thousands(float64(limit.TokensPerMinute))))
	at := point{16, 72}
	entry := func(mark func(x, y float64), text string, length float64) {
		mark(at.x, at.y)
		c.text(point{at.x + 20, at.y}, start, style{11, false, ink}, text)
		at.x += length
	}
	box := func(fill color.RGBA) func(x, y float64) {
		return func(x, y float64) { c.polygon(fill, rectangle(x, y-9, x+14, y+1)...) }
	}
	entry(func(x, y float64) { c.line(stroke{color: grey, width: 1}, point{x + 7, y - 10}, point{x + 7, y + 2}) }, "a call starts", 116)
	entry(box(wait), "waiting", 90)
	entry(box(blue), "in flight", 136)
	entry(func(x, y float64) { triangle(c, green, x+7, y-1, -9) }, "unused tokens are returned", 196)
	entry(func(x, y float64) { triangle(c, red, x+7, y-9, 9) }, "it used more than its estimate", 0)
}

// tick labels a value of a panel's axis.
func tick(c canvas, p panel, v float64, label string) {
	c.line(stroke{color: pale, width: 1}, point{left, p.y(v)}, point{right, p.y(v)})
	c.text(point{left - 6, p.y(v) + 3.5}, end, style{10, false, grey}, label)
}

// seconds draws the time axis of all panels, with labels below the last panel.
func seconds(c canvas, panels ...panel) {
	bottom := panels[len(panels)-1].bottom
	for s := range lastSecond + 1 {
		at := x(time.Duration(s) * time.Second)
		for _, p := range panels {
			c.line(stroke{color: pale, width: 1}, point{at, p.top}, point{at, p.bottom})
		}
		c.text(point{at, bottom + 15}, middle, style{10, false, grey}, strconv.Itoa(s))
	}
	c.text(point{(left + right) / 2, bottom + 31}, middle, style{11, false, ink}, "seconds since the calls arrived")
}

// curve draws a level over time. It omits samples that are on the straight line between their
// neighbors.
func (r *recording) curve(c canvas, p panel, edge, fill color.RGBA, level func(sample) float64) {
	var points []point
	for i, s := range r.samples {
		if i > 0 && i < len(r.samples)-1 {
			bend := level(r.samples[i-1]) - 2*level(s) + level(r.samples[i+1])
			if math.Abs(bend) < p.max*1e-6 {
				continue
			}
		}
		points = append(points, point{x(s.at), p.y(level(s))})
	}
	first, last := points[0].x, points[len(points)-1].x
	c.polygon(fill, append([]point{{last, p.bottom}, {first, p.bottom}}, points...)...)
	c.line(stroke{color: edge, width: 1.5}, points...)
}

// needs marks the level that a bucket must have for a call to start.
func needs(c canvas, p panel, v float64, label string) {
	c.line(stroke{color: ink, width: 1, dashed: true}, point{left, p.y(v)}, point{right, p.y(v)})
	c.text(point{right, p.y(v) - 4}, end, style{10, false, ink}, label)
}

// mark draws the start and the settlement of a call in the panels of the buckets.
func (r *recording) mark(c canvas, requests, tokens panel, call call) {
	at := x(call.admitted)
	c.line(stroke{color: grey, width: 1}, point{at, requests.top}, point{at, requests.bottom})
	c.line(stroke{color: grey, width: 1}, point{at, tokens.top}, point{at, tokens.bottom})
	c.text(point{at, requests.top - 6}, middle, style{10, true, ink}, fmt.Sprintf("%.3f", call.admitted.Seconds()))

	at = x(call.settled)
	if returned := estimate - call.used; returned >= 0 {
		triangle(c, green, at, tokens.top-2, -9)
		c.text(point{at, tokens.top - 15}, middle, style{10, true, green}, "+"+thousands(float64(returned)))
	} else {
		triangle(c, red, at, tokens.top-11, 9)
		c.text(point{at, tokens.top - 15}, middle, style{10, true, red}, "−"+thousands(float64(-returned)))
	}
}

// row draws the wait and the time in flight of a call.
func (r *recording) row(c canvas, p panel, i int, call call) {
	top := p.top + float64(i)*(p.bottom-p.top)/p.max
	bottom := top + (p.bottom-p.top)/p.max - 4
	c.polygon(wait, rectangle(x(call.arrived), top, x(call.admitted), bottom)...)
	c.polygon(blue, rectangle(x(call.admitted), top, x(call.settled), bottom)...)
	if resource := r.waitedFor(call); resource != "" && call.admitted > time.Second {
		c.text(point{x(call.admitted) - 5, bottom - 3.5}, end, style{9.5, false, ink}, "waits for "+resource)
	}
	c.text(point{left - 6, bottom - 3}, end, style{10, false, grey}, strconv.Itoa(i+1))
	c.text(point{(x(call.admitted) + x(call.settled)) / 2, bottom - 3.5}, middle, style{9.5, false, white}, thousands(float64(call.used))+" tokens used")
}

func rectangle(x0, y0, x1, y1 float64) []point {
	return []point{{x0, y0}, {x1, y0}, {x1, y1}, {x0, y1}}
}

// triangle draws a triangle whose base is at y. It points down if height is positive, otherwise up.
func triangle(c canvas, fill color.RGBA, x, y, height float64) {
	c.polygon(fill, point{x - 5, y}, point{x + 5, y}, point{x, y + height})
}

// thousands formats a number below a million, rounded to an integer, with a thousands separator.
func thousands(v float64) string {
	n := int(math.Round(v))
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%d,%03d", n/1000, n%1000)
}
