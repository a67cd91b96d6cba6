package main

import (
	"strings"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/svg"
)

// Sizes of the animation.
const (
	frameEvery = 200 * time.Millisecond
	runLength  = lastSecond * time.Second
	loopLength = runLength + 4*time.Second // the last frame stays
	fontSize   = 13
	lineHeight = 18
)

// animate writes an animation of the recording, as a terminal shows it, to a file.
func (r *recording) animate(path string) error {
	return write(path, func() []byte {
		c := svg.New(720, 18*lineHeight, "The rate limiter at work in a terminal",
			"Nine calls arrive at once, at 1.2 requests per second and 30,000 tokens per minute. For ten seconds, two bars show how full "+
				"the buckets are, and a line for each call shows how long it waits and how long it is in flight. No request is refused.")
		border := svg.Rectangle(0.5, 0.5, 719.5, 18*lineHeight-0.5)
		c.Line(svg.Faint, 1, append(border, border[0])...)
		c.Terminal(svg.Scene{To: loopLength, Length: loopLength}, svg.At(20, 1.5*lineHeight), fontSize,
			svg.Span{Color: svg.Muted, Text: "$ "}, svg.Span{Color: svg.Ink, Text: "go run ./examples/visualize"})
		height := strings.Count(r.frameAt(0), "\n")
		lines := make([]string, height+1) // of the frame before
		since := make([]time.Duration, height+1)
		show := func(i int, until time.Duration) {
			if lines[i] != "" {
				c.Terminal(svg.Scene{From: since[i], To: until, Length: loopLength}, svg.At(20, (float64(i)+3)*lineHeight), fontSize, spans(lines[i])...)
			}
		}
		for now := time.Duration(0); now <= runLength; now += frameEvery {
			for i, line := range strings.Split(r.frameAt(now), "\n") {
				if line != lines[i] {
					show(i, now)
					lines[i], since[i] = line, now
				}
			}
		}
		for i := range lines {
			show(i, loopLength)
		}
		return c.Bytes()
	})
}

// spans colors the bars of a line.
func spans(line string) []svg.Span {
	full := svg.Blue
	if strings.HasPrefix(line, "tokens") {
		full = svg.Orange
	}
	var spans []svg.Span
	for _, char := range line {
		color := svg.Ink
		switch char {
		case '█':
			color = full
		case '░', '·':
			color = svg.Muted
		}
		if n := len(spans); n == 0 || spans[n-1].Color != color {
			spans = append(spans, svg.Span{Color: color})
		}
		spans[len(spans)-1].Text += string(char)
	}
	return spans
}
