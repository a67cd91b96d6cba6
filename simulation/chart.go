package main

import (
	"bytes"
	"fmt"
	"image/color"
	"os"
	"path/filepath"
	"strings"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/text"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// Sizes of the chart, which is as wide as a README shows it.
const (
	chartWidth   = 640 * vg.Length(1)
	panelHeight  = 158 * vg.Length(1)
	headerHeight = 66 * vg.Length(1)
	margin       = 12 * vg.Length(1)
)

// colours of the contenders, in their order: one stands out.
var colours = []color.Color{
	color.RGBA{R: 0x1f, G: 0x6f, B: 0xc5, A: 0xff},
	color.RGBA{R: 0xe3, G: 0x9a, B: 0x2d, A: 0xff},
	color.RGBA{R: 0xa3, G: 0xa8, B: 0xb0, A: 0xff},
}

var (
	ink  = color.Gray{Y: 0x22}
	pale = color.Gray{Y: 0xe2}
)

// drawChart writes the chart of some workloads at the same limits: a panel for
// each of the measures, on average over the plain kinds of servers.
func drawChart(path string, groups []group) error {
	height := headerHeight + vg.Length(len(measures))*panelHeight + 2*margin
	format := strings.TrimPrefix(filepath.Ext(path), ".")
	canvas, err := draw.NewFormattedCanvas(chartWidth, height, format)
	if err != nil {
		return err
	}
	c := draw.New(canvas)
	c.SetColor(color.White)
	c.Fill(c.Path())
	c = draw.Crop(c, margin, -margin, margin, -margin)
	drawHeader(c, groups[0])

	panels := make([][]*plot.Plot, len(measures))
	for i, m := range measures {
		panels[i] = []*plot.Plot{newPanel(m, groups)}
	}
	tiles := draw.Tiles{Rows: len(panels), Cols: 1, PadY: margin}
	for i, row := range plot.Align(panels, tiles, draw.Crop(c, 0, 0, 0, -headerHeight)) {
		panels[i][0].Draw(row[0])
	}
	return save(path, canvas)
}

// save writes the chart, with fonts named for SVG viewers that lack the one it
// was measured by. Arial has the same widths.
func save(path string, canvas vg.CanvasWriterTo) error {
	var b bytes.Buffer
	if _, err := canvas.WriteTo(&b); err != nil {
		return err
	}
	family := []byte("font-family:Liberation Sans;")
	fallbacks := []byte("font-family:Liberation Sans,Arial,Helvetica,sans-serif;")
	return os.WriteFile(path, bytes.ReplaceAll(b.Bytes(), family, fallbacks), 0o644)
}

// drawHeader writes what the chart is about, and which colour is whose.
func drawHeader(c draw.Canvas, g group) {
	x, y := c.Min.X, c.Max.Y
	c.FillText(style(14), vg.Point{X: x, Y: y}, fmt.Sprintf("Half an hour at %v", g.limits))
	cells := plainCells(g.rows[0])
	servers := make([]string, len(cells))
	for i, cell := range cells {
		servers[i] = cell.server
	}
	c.FillText(style(9), vg.Point{X: x, Y: y - 20}, fmt.Sprintf(
		"Simulated (make simulate). Means over the servers %s, each with the seeds 1 to %d",
		strings.Join(servers, ", "), len(cells[0].outcomes)))
	y -= 40
	for i, contender := range contenders {
		c.SetColor(colours[i])
		c.Fill(vg.Rectangle{Min: vg.Point{X: x, Y: y - 11}, Max: vg.Point{X: x + 11, Y: y}}.Path())
		c.FillText(style(11), vg.Point{X: x + 16, Y: y}, contender.caption)
		x += 16 + style(11).Width(contender.caption) + 24
	}
}

// style is that of text which hangs from its point.
func style(size vg.Length) text.Style {
	return text.Style{
		Color:   ink,
		Font:    font.From(font.Font{Typeface: "Liberation", Variant: "Sans"}, size),
		XAlign:  draw.XLeft,
		YAlign:  draw.YTop,
		Handler: plot.DefaultTextHandler,
	}
}
