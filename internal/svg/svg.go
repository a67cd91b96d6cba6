// Package svg draws the pictures of the documentation. They are readable on light and on dark
// pages, and screen readers find a title and a description.
package svg

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"strings"
	"time"
)

// A Color is a name of the palette. Dark pages show another shade of it.
type Color string

// The palette. Ink, Muted and Green are for text, too.
const (
	Paper  Color = "paper" // the background
	Ink    Color = "ink"
	Muted  Color = "muted"
	Faint  Color = "faint" // lines of a grid
	Blue   Color = "blue"
	Sky    Color = "sky" // a light Blue
	Orange Color = "orange"
	Cream  Color = "cream" // a light Orange
	Green  Color = "green"
	Red    Color = "red"
	Idle   Color = "idle"
)

// shades are the values of each color on light and on dark pages.
var shades = []struct {
	color       Color
	light, dark string
}{
	{Paper, "#ffffff", "#0d1117"},
	{Ink, "#22262b", "#e6edf3"},
	{Muted, "#616972", "#9da7b1"},
	{Faint, "#e4e6e9", "#2b3138"},
	{Blue, "#1f6fc5", "#4493e8"},
	{Sky, "#d5e5f6", "#15304d"},
	{Orange, "#b96a05", "#e0a04a"},
	{Cream, "#fbead0", "#40301a"},
	{Green, "#1a7f45", "#3fb968"},
	{Red, "#c0322b", "#f2726a"},
	{Idle, "#c9cdd3", "#48505a"},
}

// A Point is a place in a picture. Lengths are in pixels; Y grows downward.
type Point struct{ X, Y float64 }

// At returns a point.
func At(x, y float64) Point { return Point{x, y} }

// An Anchor is the part of a text that is at its point.
type Anchor string

// The anchors.
const (
	Start  Anchor = "start"
	Middle Anchor = "middle"
	End    Anchor = "end"
)

// A Font is the look of a text. Its size is in pixels.
type Font struct {
	Size  float64
	Bold  bool
	Color Color
}

// Regular returns a font that is not bold.
func Regular(size float64, color Color) Font { return Font{Size: size, Color: color} }

// Bold returns a bold font.
func Bold(size float64, color Color) Font { return Font{Size: size, Bold: true, Color: color} }

// A Picture is drawn from back to front. It is not safe for concurrent use.
type Picture struct {
	width, height      int
	title, description string
	body               bytes.Buffer
}

// New returns a picture that shows its background alone.
func New(width, height int, title, description string) *Picture {
	p := &Picture{width: width, height: height, title: title, description: description}
	p.Polygon(Paper, Rectangle(0, 0, float64(width), float64(height))...)
	return p
}

// Rectangle returns the corners of a rectangle.
func Rectangle(left, top, right, bottom float64) []Point {
	return []Point{{left, top}, {right, top}, {right, bottom}, {left, bottom}}
}

// Polygon fills the area within the points.
func (p *Picture) Polygon(fill Color, points ...Point) {
	fmt.Fprintf(&p.body, "<polygon class=\"%s\" points=\"%s\"/>\n", fill, coordinates(points))
}

// Line draws a line of the given width through the points.
func (p *Picture) Line(color Color, width float64, points ...Point) {
	p.line(color, width, `stroke-linecap="square"`, points)
}

// DashedLine is Line with gaps.
func (p *Picture) DashedLine(color Color, width float64, points ...Point) {
	p.line(color, width, `stroke-dasharray="4"`, points)
}

func (p *Picture) line(color Color, width float64, ends string, points []Point) {
	fmt.Fprintf(&p.body, "<polyline class=\"%s-line\" points=\"%s\" stroke-width=\"%g\" %s/>\n", color, coordinates(points), width, ends)
}

// Text writes a text at a point on its baseline.
func (p *Picture) Text(at Point, anchor Anchor, font Font, text string) {
	weight := ""
	if font.Bold {
		weight = ` font-weight="bold"`
	}
	fmt.Fprintf(&p.body, "<text class=\"%s\" x=\"%.1f\" y=\"%.1f\" font-size=\"%g\" text-anchor=\"%s\"%s>%s</text>\n",
		font.Color, at.X, at.Y, font.Size, anchor, weight, escape(text))
}

// A Span is a part of a line in a terminal.
type Span struct {
	Color Color
	Text  string
}

// A Scene is a part of an animation of the given Length, which starts again when it has ended.
type Scene struct{ From, To, Length time.Duration }

// Terminal writes a line, in a monospace font, that is visible during a scene. Programs that do not show animations show
// the lines that are visible at the end.
func (p *Picture) Terminal(scene Scene, at Point, size float64, line ...Span) {
	display, animation := "inline", ""
	share := func(d time.Duration) string { return fmt.Sprintf(";%.4f", float64(d)/float64(scene.Length)) }
	values, times := "inline", "0"
	if scene.From > 0 {
		values, times = "none;inline", "0"+share(scene.From)
	}
	if scene.To < scene.Length {
		display = "none"
		values, times = values+";none", times+share(scene.To)
	}
	if values != "inline" {
		animation = fmt.Sprintf(`<animate attributeName="display" values="%s" keyTimes="%s" dur="%gs" calcMode="discrete" repeatCount="indefinite"/>`,
			values, times, scene.Length.Seconds())
	}
	fmt.Fprintf(&p.body, "<text class=\"terminal\" x=\"%.1f\" y=\"%.1f\" font-size=\"%g\" display=\"%s\">%s", at.X, at.Y, size, display, animation)
	for _, s := range line {
		fmt.Fprintf(&p.body, "<tspan class=\"%s\">%s</tspan>", s.Color, escape(s.Text))
	}
	p.body.WriteString("</text>\n")
}

// Bytes returns the picture as a file.
func (p *Picture) Bytes() []byte {
	var style bytes.Buffer
	for _, s := range shades {
		fmt.Fprintf(&style, ".%[1]s{fill:%[2]s}.%[1]s-line{fill:none;stroke:%[2]s}\n", s.color, s.light)
	}
	style.WriteString(".terminal{white-space:pre;font-family:ui-monospace,SFMono-Regular,Menlo,Consolas,Liberation Mono,DejaVu Sans Mono,monospace}\n")
	style.WriteString("@media (prefers-color-scheme: dark){\n")
	for _, s := range shades {
		fmt.Fprintf(&style, ".%[1]s{fill:%[2]s}.%[1]s-line{stroke:%[2]s}\n", s.color, s.dark)
	}
	style.WriteString("}")
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" width="%[1]d" height="%[2]d" viewBox="0 0 %[1]d %[2]d" role="img" aria-labelledby="title description" font-family="Helvetica, Arial, Liberation Sans, sans-serif">
<title id="title">%[3]s</title>
<desc id="description">%[4]s</desc>
<style>
%[5]s
</style>
%[6]s</svg>
`, p.width, p.height, escape(p.title), escape(p.description), style.Bytes(), p.body.Bytes())
}

func escape(text string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(text)) // a strings.Builder returns no error
	return b.String()
}

func coordinates(points []Point) string {
	var b strings.Builder
	for i, p := range points {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%.1f,%.1f", p.X, p.Y)
	}
	return b.String()
}
