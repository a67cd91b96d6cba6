package main

import (
	"bytes"
	"image"
	"image/color"
	"image/png"
	"math"

	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
	"golang.org/x/image/vector"
)

// raster is a canvas of pixels. Its resolution is doubled for high-density screens.
type raster struct {
	image         *image.RGBA
	regular, bold *opentype.Font
}

const scale = 2

func newRaster(width, height int) (*raster, error) {
	regular, err := opentype.Parse(goregular.TTF)
	if err != nil {
		return nil, err
	}
	bold, err := opentype.Parse(gobold.TTF)
	if err != nil {
		return nil, err
	}
	return &raster{image.NewRGBA(image.Rect(0, 0, scale*width, scale*height)), regular, bold}, nil
}

func (c *raster) polygon(fill color.RGBA, points ...point) {
	var box image.Rectangle // the bounding box, because the cost of a rasterizer grows with its size
	for _, p := range points {
		x, y := int(math.Floor(scale*p.x)), int(math.Floor(scale*p.y))
		box = box.Union(image.Rect(x, y, x+2, y+2))
	}
	box = box.Intersect(c.image.Bounds())
	v := vector.NewRasterizer(box.Dx(), box.Dy())
	for i, p := range points {
		x, y := float32(scale*p.x-float64(box.Min.X)), float32(scale*p.y-float64(box.Min.Y))
		if i == 0 {
			v.MoveTo(x, y)
		} else {
			v.LineTo(x, y)
		}
	}
	v.ClosePath()
	v.Draw(c.image, box, image.NewUniform(fill), image.Point{})
}

// line draws each segment of a line as a rectangle. It extends each end by half the width to
// close the corners.
func (c *raster) line(s stroke, points ...point) {
	for i := 1; i < len(points); i++ {
		a, b := points[i-1], points[i]
		length := math.Hypot(b.x-a.x, b.y-a.y)
		if length == 0 {
			continue
		}
		along := point{(b.x - a.x) / length, (b.y - a.y) / length}
		if !s.dashed {
			c.segment(s, a, along, -s.width/2, length+s.width/2)
			continue
		}
		for from := 0.0; from < length; from += 2 * dashLength {
			c.segment(s, a, along, from, min(from+dashLength, length))
		}
	}
}

// segment draws the part of a line between two distances from its start.
func (c *raster) segment(s stroke, a, along point, from, to float64) {
	across := point{-along.y * s.width / 2, along.x * s.width / 2}
	first := point{a.x + along.x*from, a.y + along.y*from}
	last := point{a.x + along.x*to, a.y + along.y*to}
	c.polygon(s.color,
		point{first.x + across.x, first.y + across.y}, point{last.x + across.x, last.y + across.y},
		point{last.x - across.x, last.y - across.y}, point{first.x - across.x, first.y - across.y})
}

func (c *raster) text(at point, a anchor, s style, text string) {
	typeface := c.regular
	if s.bold {
		typeface = c.bold
	}
	face, err := opentype.NewFace(typeface, &opentype.FaceOptions{Size: s.size * scale, DPI: 72})
	if err != nil {
		panic(err) // NewFace always returns a nil error
	}
	d := font.Drawer{Dst: c.image, Src: image.NewUniform(s.color), Face: face}
	x := scale * at.x
	switch width := float64(d.MeasureString(text)) / 64; a {
	case start:
	case middle:
		x -= width / 2
	case end:
		x -= width
	}
	d.Dot = fixed.Point26_6{X: fixed.Int26_6(x * 64), Y: fixed.Int26_6(scale * at.y * 64)}
	d.DrawString(text)
}

func (c *raster) encode() ([]byte, error) {
	var b bytes.Buffer
	err := png.Encode(&b, c.image)
	return b.Bytes(), err
}
