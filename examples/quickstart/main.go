// Command quickstart asks a question, continues the conversation, and streams the
// answer to a third question, within the limits of the account.
//
//	go run ./examples/quickstart "Why is the sky blue?"
//
// With MISTRAL_API_KEY set it talks to the real API. Without, it starts the
// emulator and needs no key and no network.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"
	"strings"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

const model = "mistral-small-latest"

func main() {
	log.SetFlags(0)
	flag.Parse() // there are none: -help says so, and asks nobody anything
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		log.Fatalln("quickstart:", err)
	}
}

func run(ctx context.Context) (err error) {
	config := ratelimited.Config{LearnLimits: true} // or your limits: RequestsPerSecond and TokensPerMinute
	if os.Getenv("MISTRAL_API_KEY") != "" {
		fmt.Println("Talking to the real API: MISTRAL_API_KEY is set.")
	} else {
		server, err := emulator.Start(emulator.Config{
			RequestsPerSecond: 1.2, TokensPerMinute: 100_000, Mode: emulator.SlidingWindow,
			Latency: 200 * time.Millisecond, TokenDelay: 20 * time.Millisecond,
		})
		if err != nil {
			return err
		}
		defer server.Close()
		config.BaseURL, config.APIKey = server.URL(), "no-key-needed"
		fmt.Println("Talking to the embedded emulator: MISTRAL_API_KEY is not set.")
	}

	client, err := ratelimited.New(config)
	if err != nil {
		return err
	}
	defer client.Close()
	conversations := client.Beta.Conversations

	// A question and its answer.
	question := cmp.Or(strings.Join(flag.Args(), " "), "What is 2+2?")
	fmt.Printf("\n> %s\n", question)
	first, err := conversations.Start(ctx, generated.StartConversationRequest{Model: model, Inputs: ratelimited.Text(question)})
	if err != nil {
		return err
	}
	fmt.Println(ratelimited.OutputText(first))
	report(first.Usage)
	id := first.ConversationID
	defer func() { err = errors.Join(err, conversations.Delete(context.WithoutCancel(ctx), id)) }() // leave nothing on the server

	// The same conversation, continued: the server remembers what was said.
	const next = "Count to 5."
	fmt.Printf("\n> %s\n", next)
	second, err := conversations.Append(ctx, id, generated.AppendConversationRequest{Inputs: ratelimited.Text(next)})
	if err != nil {
		return err
	}
	fmt.Println(ratelimited.OutputText(second))
	report(second.Usage)

	// An answer as a stream of events.
	const last = "Now count to 20."
	fmt.Printf("\n> %s (streamed)\n", last)
	stream, err := conversations.AppendStream(ctx, id, generated.AppendConversationRequest{Inputs: ratelimited.Text(last)})
	if err != nil {
		return err
	}
	defer stream.Close()
	for event, err := range stream.Events() {
		if err != nil {
			return err
		}
		switch e := event.(type) {
		case generated.MessageOutputEvent:
			fmt.Print(e.Content.Text())
		case generated.ResponseDoneEvent:
			fmt.Println()
			report(e.Usage)
		}
	}

	s := client.Snapshot()[model]
	fmt.Printf("\nThe limiter (%.1f requests a second, from the %s; %d tokens a minute, from the %s):\n",
		s.Limit.RequestsPerSecond, s.RequestsFrom, s.Limit.TokensPerMinute, s.TokensFrom)
	fmt.Printf("  calls admitted  %d, retried %d\n", s.Admitted, s.Retried)
	fmt.Printf("  time waited     %v\n", s.TotalWait.Round(time.Millisecond))
	fmt.Printf("  tokens used     %d, given back of the estimates %d\n", s.TokensSettled, s.TokensRefunded)
	fmt.Printf("  tokens left     %.0f\n", s.AvailableTokens)
	return nil
}

func report(usage generated.ConversationUsageInfo) {
	fmt.Printf("  [%d prompt + %d completion = %d tokens]\n", usage.PromptTokens, usage.CompletionTokens, usage.TotalTokens)
}
