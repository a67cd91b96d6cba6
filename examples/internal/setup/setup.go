// Package setup holds the code that all examples share: the main function, and the choice
// between the real API and the emulator. A program that only uses the real API does not need
// this package: it calls [ratelimited.New] with its limits and sets MISTRAL_API_KEY.
package setup

import (
	"context"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"syscall"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// Main parses the flags and runs an example. If run returns an error, Main prints it and exits
// with status 1. An interrupt or SIGTERM cancels the context; a second signal ends the program
// at once.
func Main(name string, run func(ctx context.Context) error) {
	log.SetFlags(0)
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop)
	err := run(ctx)
	stop()
	if err != nil {
		log.Fatalf("%s: %v", name, err)
	}
}

// UsesEmulator reports whether MISTRAL_API_KEY is not set, so that [Connect] starts an emulator.
func UsesEmulator() bool { return os.Getenv("MISTRAL_API_KEY") == "" }

// Connect prints which server the example uses. Without MISTRAL_API_KEY, it starts an emulator
// and sets config.BaseURL and config.APIKey; otherwise it leaves config unchanged. The caller
// must call stop when it does not need the server any more.
func Connect(config *ratelimited.Config, server emulator.Config) (stop func(), err error) {
	if !UsesEmulator() {
		fmt.Println("Using the real API: MISTRAL_API_KEY is set.")
		return func() {}, nil
	}
	started, err := emulator.Start(server)
	if err != nil {
		return nil, err
	}
	config.BaseURL, config.APIKey = started.URL(), "no-key-needed"
	fmt.Println("Using the embedded emulator: MISTRAL_API_KEY is not set.")
	return func() { _ = started.Close() }, nil
}
