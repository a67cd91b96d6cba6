// Command visualize shows the two token buckets of the limiter at work: nine calls that
// come at once, with what is in the buckets, when each call starts, and what is given
// back when its reply turns out smaller than its estimate.
//
//	go run ./examples/visualize                # live, in a terminal, in ten seconds
//	go run ./examples/visualize | cat          # the outcome, at once
//	go run ./examples/visualize -o bucket.svg  # a chart, at once
//	go run ./examples/visualize -terminal terminal.svg  # an animation of the terminal, at once
//
// It needs no key, no server and no network: it asks the limiter alone, package
// limiter, which any program may use for calls of its own. What is shown at once was
// recorded in virtual time, by the same limiter.
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
)

func main() {
	log.SetFlags(0)
	chart := flag.String("o", "", "`file` to write a chart to, .svg")
	animation := flag.String("terminal", "", "`file` to write an animation of the terminal to, .svg")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *chart, *animation); err != nil {
		log.Fatalln("visualize:", err)
	}
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
