// Command chatserver is a web chat in which many people share one small quota. The page shows each person's position in
// the queue ("You are number 12, about 6 s to go"), and then the response while the model writes it. Closing the page
// cancels the call. After an interrupt or SIGTERM, the program completes the responses in flight before it ends.
//
//	go run ./examples/chatserver -addr localhost:8080
//
// If MISTRAL_API_KEY is set, it uses the real API. Otherwise it starts the
// emulator and does not need a key or a network.
//
// Without -addr, the program simulates twelve people and then ends.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/http"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/examples/internal/setup"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

const (
	model = "mistral-small-latest"

	// maxDrain bounds the time for the responses in flight during a shutdown.
	maxDrain = 20 * time.Second
)

func main() {
	addr := flag.String("addr", "", "`address` to serve browsers at until an interrupt, such as localhost:8080")
	setup.Main("chatserver", func(ctx context.Context) error { return run(ctx, *addr) })
}

func run(ctx context.Context, addr string) error {
	config := ratelimited.Config{MaxQueue: 100, LearnLimits: true}
	if setup.UsesEmulator() {
		config = ratelimited.Config{MaxQueue: 100, RequestsPerSecond: 2, TokensPerMinute: 100_000}
	}
	stop, err := setup.Connect(&config, emulator.Config{
		RequestsPerSecond: 2, TokensPerMinute: 100_000, Mode: emulator.SlidingWindow, Latency: 300 * time.Millisecond, TokenDelay: 30 * time.Millisecond,
	})
	if err != nil {
		return err
	}
	defer stop()
	client, err := ratelimited.New(config)
	if err != nil {
		return err
	}
	defer client.Close()

	isDemo := addr == ""
	if isDemo {
		addr = "127.0.0.1:0"
	}
	listener, err := (&net.ListenConfig{}).Listen(ctx, "tcp", addr)
	if err != nil {
		return err
	}
	url := "http://" + listener.Addr().String()
	fmt.Println("Serving the chat at", url)
	server := &http.Server{Handler: newHandler(client), ReadHeaderTimeout: 10 * time.Second}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()

	if isDemo {
		err = demo(ctx, url)
	} else {
		select {
		case err = <-served:
			return err
		case <-ctx.Done():
		}
	}
	return errors.Join(err, shutDown(client, server))
}

// shutDown fails the waiting calls at once, completes the responses in flight, and then stops the server.
func shutDown(client *ratelimited.Client, server *http.Server) error {
	fmt.Println("Shutting down.")
	ctx, cancel := context.WithTimeout(context.Background(), maxDrain)
	defer cancel()
	return errors.Join(client.Shutdown(ctx), server.Shutdown(ctx))
}
