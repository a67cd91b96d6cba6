// Command chatserver is a web chat for many people who share one small quota. Each of them sees their place in the
// queue ("You are number 12, about 6 s to go"), and then the response as it comes. Who closes the page gives up their
// place, and an interrupt or SIGTERM lets the responses under way end before the program does.
//
//	go run ./examples/chatserver -addr localhost:8080
//
// With MISTRAL_API_KEY set it talks to the real API. Without, it starts the
// emulator and needs no key and no network. Without -addr, twelve people chat with it, and the program ends.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

const (
	model = "mistral-small-latest"

	// maxDrain is how long responses under way may take when the program is to end.
	maxDrain = 20 * time.Second
)

func main() {
	log.SetFlags(0)
	addr := flag.String("addr", "", "serve browsers at this address, such as localhost:8080, until an interrupt")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the program at once
	err := run(ctx, *addr)
	stop()
	if err != nil {
		log.Fatalln("chatserver:", err)
	}
}

func run(ctx context.Context, addr string) error {
	config := ratelimited.Config{MaxQueue: 100, LearnLimits: true}
	if os.Getenv("MISTRAL_API_KEY") == "" {
		fmt.Println("Talking to the embedded emulator: MISTRAL_API_KEY is not set.")
		server, err := emulator.Start(emulator.Config{
			RequestsPerSecond: 2, TokensPerMinute: 100_000, Mode: emulator.SlidingWindow, Latency: 300 * time.Millisecond, TokenDelay: 30 * time.Millisecond,
		})
		if err != nil {
			return err
		}
		defer server.Close()
		config = ratelimited.Config{MaxQueue: 100, RequestsPerSecond: 2, TokensPerMinute: 100_000, BaseURL: server.URL(), APIKey: "no-key-needed"}
	}
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
	fmt.Println("The chat is at", url)
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

// shutDown ends the calls that wait at once, lets the responses under way end, and then the server.
func shutDown(client *ratelimited.Client, server *http.Server) error {
	fmt.Println("Shutting down.")
	ctx, cancel := context.WithTimeout(context.Background(), maxDrain)
	defer cancel()
	return errors.Join(client.Shutdown(ctx), server.Shutdown(ctx))
}
