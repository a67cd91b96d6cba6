// Command visualize shows the two token buckets of the limiter at work: nine calls that
// come at once, with what is in the buckets, when each call starts, and what is given
// back when its reply turns out smaller than its estimate.
//
//	go run ./examples/visualize                # live, in a terminal, in ten seconds
//	go run ./examples/visualize | cat          # the outcome, at once
//	go run ./examples/visualize -o bucket.svg  # a picture, at once; or bucket.png
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
	output := flag.String("o", "", "a file to draw a picture into, .svg or .png")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	if err := run(ctx, *output); err != nil {
		log.Fatalln("visualize:", err)
	}
}

func run(ctx context.Context, output string) error {
	r, err := newRecording()
	if err != nil {
		return err
	}
	if output == "" && isTerminal(os.Stdout) {
		return r.live(ctx, os.Stdout)
	}
	if err := inVirtualTime(r.record); err != nil {
		return err
	}
	if output != "" {
		return r.draw(output)
	}
	_, err = fmt.Print(r.frame())
	return err
}

func isTerminal(file *os.File) bool {
	info, err := file.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}
