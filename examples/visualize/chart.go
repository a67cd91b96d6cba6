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

// Sizes of the chart, which is as wide as a README shows it.
const (
	width, height = 800, 642
	left, right   = 64, 772 // of the panels
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

// draw writes a picture of the recording, of the kind that the file's name ends in.
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
		return fmt.Errorf("-o %s: want a name that ends in .svg or .png", path)
	}
	r.chart(c)
	data, err := c.encode()
	if err != nil {
		return err
	}
	return os.WriteFile(path, data, 0o644)
}

// A panel is a part of the chart with an axis of its own, from 0 at the bottom to most
// at the top.
type panel struct {
	top, bottom float64
	most        float64
}

func (p panel) y(v float64) float64 { return p.bottom - v/p.most*(p.bottom-p.top) }

// x is where an instant is.
func x(at time.Duration) float64 { return left + at.Seconds()/lastSecond*(right-left) }

func (r *recording) chart(c canvas) {
	requests := panel{top: 124, bottom: 224, most: limit.RequestsPerSecond}
	tokens := panel{top: 284, bottom: 404, most: float64(limit.TokensPerMinute)}
	calls := panel{top: 440, bottom: 602, most: float64(len(r.calls))}

	c.polygon(white, point{0, 0}, point{width, 0}, point{width, height}, point{0, height})
	r.header(c)
	seconds(c, requests, tokens, calls)
	c.text(point{left, requests.top - 22}, start, style{11, true, blue}, "Requests in the bucket, and when the calls start (s)")
	c.text(point{left, tokens.top - 32}, start, style{11, true, orange}, "Tokens in the bucket, and what is given back or charged")
	c.text(point{left, calls.top - 8}, start, style{11, true, ink}, "Calls, in the order in which they came")
	for _, v := range []float64{0, 0.5, 1, 1.2} {
		tick(c, requests, v, fmt.Sprintf("%.1f", v))
	}
	for _, v := range []float64{0, 10_000, 20_000, 30_000} {
		tick(c, tokens, v, thousands(v))
	}
	r.curve(c, requests, blue, sky, func(s sample) float64 { return s.requests })
	r.curve(c, tokens, orange, cream, func(s sample) float64 { return s.tokens })
	needs(c, requests, 1, "a call needs 1")
	needs(c, tokens, estimate, "a call needs its estimate, "+thousands(estimate))
	for i, call := range r.calls {
		r.mark(c, requests, tokens, call)
		r.row(c, calls, i, call)
	}
}

// header says what the chart is of, and which mark is what.
func (r *recording) header(c canvas) {
	c.text(point{16, 28}, start, style{17, true, ink}, fmt.Sprintf("%d calls at once, two token buckets", len(r.calls)))
	c.text(point{16, 48}, start, style{11, false, grey}, fmt.Sprintf(
		"%v requests a second, %s tokens a minute. A call starts when both buckets have what it needs.",
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
	entry(box(wait), "it waits", 90)
	entry(box(blue), "it is on its way", 136)
	entry(func(x, y float64) { triangle(c, green, x+7, y-1, -9) }, "unused tokens go back", 176)
	entry(func(x, y float64) { triangle(c, red, x+7, y-9, 9) }, "it used more than its estimate", 0)
}

// tick labels a value of a panel's axis.
func tick(c canvas, p panel, v float64, label string) {
	c.line(stroke{color: pale, width: 1}, point{left, p.y(v)}, point{right, p.y(v)})
	c.text(point{left - 6, p.y(v) + 3.5}, end, style{10, false, grey}, label)
}

// seconds draws the axis of time, which all panels share; its figures are below the last.
func seconds(c canvas, panels ...panel) {
	bottom := panels[len(panels)-1].bottom
	for s := range lastSecond + 1 {
		at := x(time.Duration(s) * time.Second)
		for _, p := range panels {
			c.line(stroke{color: pale, width: 1}, point{at, p.top}, point{at, p.bottom})
		}
		c.text(point{at, bottom + 15}, middle, style{10, false, grey}, strconv.Itoa(s))
	}
	c.text(point{(left + right) / 2, bottom + 31}, middle, style{11, false, ink}, "seconds since the calls came")
}

// curve draws a level over time, without the samples that lie on a straight line between
// others.
func (r *recording) curve(c canvas, p panel, edge, fill color.RGBA, level func(sample) float64) {
	var points []point
	for i, s := range r.samples {
		if i > 0 && i < len(r.samples)-1 {
			bend := level(r.samples[i-1]) - 2*level(s) + level(r.samples[i+1])
			if math.Abs(bend) < p.most*1e-6 {
				continue
			}
		}
		points = append(points, point{x(s.at), p.y(level(s))})
	}
	first, last := points[0].x, points[len(points)-1].x
	c.polygon(fill, append([]point{{last, p.bottom}, {first, p.bottom}}, points...)...)
	c.line(stroke{color: edge, width: 1.5}, points...)
}

// needs marks what has to be in a bucket for a call to start.
func needs(c canvas, p panel, v float64, label string) {
	c.line(stroke{color: ink, width: 1, dashed: true}, point{left, p.y(v)}, point{right, p.y(v)})
	c.text(point{right, p.y(v) - 4}, end, style{10, false, ink}, label)
}

// mark shows a call's start and its settlement in the panels of the buckets.
func (r *recording) mark(c canvas, requests, tokens panel, call call) {
	at := x(call.admitted)
	c.line(stroke{color: grey, width: 1}, point{at, requests.top}, point{at, requests.bottom})
	c.line(stroke{color: grey, width: 1}, point{at, tokens.top}, point{at, tokens.bottom})
	c.text(point{at, requests.top - 6}, middle, style{10, true, ink}, fmt.Sprintf("%.3f", call.admitted.Seconds()))

	at = x(call.settled)
	if back := estimate - call.used; back >= 0 {
		triangle(c, green, at, tokens.top-2, -9)
		c.text(point{at, tokens.top - 15}, middle, style{10, true, green}, "+"+thousands(float64(back)))
	} else {
		triangle(c, red, at, tokens.top-11, 9)
		c.text(point{at, tokens.top - 15}, middle, style{10, true, red}, "−"+thousands(float64(-back)))
	}
}

// row shows a call's wait and its way.
func (r *recording) row(c canvas, p panel, i int, call call) {
	top := p.top + float64(i)*(p.bottom-p.top)/p.most
	bottom := top + (p.bottom-p.top)/p.most - 4
	c.polygon(wait, rectangle(x(call.asked), top, x(call.admitted), bottom)...)
	c.polygon(blue, rectangle(x(call.admitted), top, x(call.settled), bottom)...)
	if what := r.waitedFor(call); what != "" && call.admitted > time.Second {
		c.text(point{x(call.admitted) - 5, bottom - 3.5}, end, style{9.5, false, ink}, "waits for "+what)
	}
	c.text(point{left - 6, bottom - 3}, end, style{10, false, grey}, strconv.Itoa(i+1))
	c.text(point{(x(call.admitted) + x(call.settled)) / 2, bottom - 3.5}, middle, style{9.5, false, white}, thousands(float64(call.used))+" tokens used")
}

func rectangle(x0, y0, x1, y1 float64) []point {
	return []point{{x0, y0}, {x1, y0}, {x1, y1}, {x0, y1}}
}

// triangle stands on y, or hangs from it where its height is positive.
func triangle(c canvas, fill color.RGBA, x, y, height float64) {
	c.polygon(fill, point{x - 5, y}, point{x + 5, y}, point{x, y + height})
}

// thousands writes a whole number below a million, its thousands apart.
func thousands(v float64) string {
	n := int(math.Round(v))
	if n < 1000 {
		return strconv.Itoa(n)
	}
	return fmt.Sprintf("%d %03d", n/1000, n%1000)
}
