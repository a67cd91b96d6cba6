// Command visualize shows how the two token buckets of the limiter admit nine concurrent calls.
// It shows the levels of the buckets, the start of each call, and the tokens that are returned
// when a call uses fewer tokens than estimated.
//
//	go run ./examples/visualize                         # live in a terminal, takes ten seconds
//	go run ./examples/visualize | cat                   # only the result, immediately
//	go run ./examples/visualize -o bucket.svg           # a chart, immediately
//	go run ./examples/visualize -terminal terminal.svg  # an animation of the terminal, immediately
//
// It does not need a key, a server or a network, because it only uses package limiter. Any
// program can use that package for other calls. The result and the pictures are recorded with the
// same limiter in virtual time.
package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/examples/internal/setup"
)

func main() {
	chart := flag.String("o", "", "draw a chart into this `file`, .svg")
	animation := flag.String("terminal", "", "draw an animation of the terminal into this `file`, .svg")
	setup.Main("visualize", func(ctx context.Context) error { return run(ctx, *chart, *animation) })
}

func run(ctx context.Context, chart, animation string) error {
	r, err := newRecording()
	if err != nil {
		return err
	}
	if chart == "" && animation == "" && isTerminal(os.Stdout) {
		return r.live(ctx, os.Stdout)
	}
	if err := inVirtualTime(r.record); err != nil {
		return err
	}
	if chart != "" {
		if err := r.draw(chart); err != nil {
			return fmt.Errorf("-o %w", err)
		}
	}
	if animation != "" {
		if err := r.animate(animation); err != nil {
			return fmt.Errorf("-terminal %w", err)
		}
	}
	if chart == "" && animation == "" {
		_, err = fmt.Print(r.frame())
	}
	return err
}

func isTerminal(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
