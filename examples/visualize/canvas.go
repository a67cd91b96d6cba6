package main

import "image/color"

// A canvas draws a chart. Lengths are in pixels; y increases downwards.
type canvas interface {
	// polygon fills the area inside the points.
	polygon(fill color.RGBA, points ...point)
	// line draws a line through the points.
	line(s stroke, points ...point)
	// text draws a text whose baseline contains the point.
	text(at point, a anchor, s style, text string)
	// encode returns the content of the image file.
	encode() ([]byte, error)
}

type point struct{ x, y float64 }

// An anchor is the part of a text that is placed at its point.
type anchor string

const (
	start  anchor = "start"
	middle anchor = "middle"
	end    anchor = "end"
)

type stroke struct {
	color  color.RGBA
	width  float64
	dashed bool
}

// dashLength is the length of a dash and of the gap after it, in pixels.
const dashLength = 4

type style struct {
	size  float64
	bold  bool
	color color.RGBA
}
