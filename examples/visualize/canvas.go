package main

import "image/color"

// A canvas is what a chart is drawn on. Lengths are in pixels, y grows downwards.
type canvas interface {
	// polygon fills the area within the points.
	polygon(fill color.RGBA, points ...point)
	// line draws a line through the points.
	line(s stroke, points ...point)
	// text writes at a point on its baseline.
	text(at point, a anchor, s style, text string)
	// encode returns the picture as a file.
	encode() ([]byte, error)
}

type point struct{ x, y float64 }

// An anchor is the part of a text that is at its point.
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

// dash is the length of a dash, and of the gap behind it.
const dash = 4

type style struct {
	size  float64
	bold  bool
	color color.RGBA
}
