package main

import (
	"bytes"
	"encoding/xml"
	"fmt"
	"image/color"
	"strings"
)

// svg is a canvas that writes SVG elements.
type svg struct {
	width, height int
	body          bytes.Buffer
}

func (c *svg) polygon(fill color.RGBA, points ...point) {
	fmt.Fprintf(&c.body, "<polygon points=\"%s\" fill=\"%s\"/>\n", coordinates(points), hex(fill))
}

func (c *svg) line(s stroke, points ...point) {
	ends := `stroke-linecap="square"`
	if s.dashed {
		ends = fmt.Sprintf(`stroke-dasharray="%d"`, dashLength)
	}
	fmt.Fprintf(&c.body, "<polyline points=\"%s\" fill=\"none\" stroke=\"%s\" stroke-width=\"%g\" %s/>\n",
		coordinates(points), hex(s.color), s.width, ends)
}

func (c *svg) text(at point, a anchor, s style, text string) {
	weight := ""
	if s.bold {
		weight = ` font-weight="bold"`
	}
	fmt.Fprintf(&c.body, "<text x=\"%.1f\" y=\"%.1f\" font-size=\"%g\" fill=\"%s\" text-anchor=\"%s\"%s>", at.x, at.y, s.size, hex(s.color), a, weight)
	_ = xml.EscapeText(&c.body, []byte(text)) // writing to a buffer does not fail
	c.body.WriteString("</text>\n")
}

func (c *svg) encode() ([]byte, error) {
	return fmt.Appendf(nil, "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"%[1]d\" height=\"%[2]d\" viewBox=\"0 0 %[1]d %[2]d\" "+
		"font-family=\"Helvetica, Arial, Liberation Sans, sans-serif\">\n%[3]s</svg>\n", c.width, c.height, c.body.String()), nil
}

func coordinates(points []point) string {
	var b strings.Builder
	for i, p := range points {
		if i > 0 {
			b.WriteByte(' ')
		}
		fmt.Fprintf(&b, "%.1f,%.1f", p.x, p.y)
	}
	return b.String()
}

func hex(c color.RGBA) string { return fmt.Sprintf("#%02x%02x%02x", c.R, c.G, c.B) }
