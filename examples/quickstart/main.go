// Command quickstart asks a question, continues the conversation, and streams the response to
// a third question. It keeps to the limits of the account.
//
//	go run ./examples/quickstart "Why is the sky blue?"
//
// If MISTRAL_API_KEY is set, it uses the real API. Otherwise it starts the
// emulator and does not need a key or a network.
package main

import (
	"cmp"
	"context"
	"errors"
	"flag"
	"fmt"
	"strings"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/examples/internal/setup"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

const model = "mistral-small-latest"

func main() { setup.Main("quickstart", run) }

func run(ctx context.Context) (err error) {
	config := ratelimited.Config{LearnLimits: true} // or your limits: RequestsPerSecond and TokensPerMinute
	stop, err := setup.Connect(&config, emulator.Config{
		RequestsPerSecond: 1.2, TokensPerMinute: 100_000, Mode: emulator.SlidingWindow,
		Latency: 200 * time.Millisecond, TokenDelay: 20 * time.Millisecond,
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
	conversations := client.Beta.Conversations

	// Start a conversation.
	question := cmp.Or(strings.Join(flag.Args(), " "), "What is 2+2?")
	fmt.Printf("\n> %s\n", question)
	first, err := conversations.Start(ctx, generated.StartConversationRequest{Model: model, Inputs: ratelimited.Text(question)})
	if err != nil {
		return err
	}
	fmt.Println(ratelimited.OutputText(first))
	report(first.Usage)
	id := first.ConversationID
	// Delete the conversation at the end, also after an error.
	defer func() { err = errors.Join(err, conversations.Delete(context.WithoutCancel(ctx), id)) }()

	// Continue the conversation. The server stores its history.
	const next = "Count to 5."
	fmt.Printf("\n> %s\n", next)
	second, err := conversations.Append(ctx, id, generated.AppendConversationRequest{Inputs: ratelimited.Text(next)})
	if err != nil {
		return err
	}
	fmt.Println(ratelimited.OutputText(second))
	report(second.Usage)

	// Receive a response as a stream of events.
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
	fmt.Printf("\nThe limiter (%.1f requests/s from the %s, %d tokens/min from the %s):\n",
		s.Limit.RequestsPerSecond, s.RequestsFrom, s.Limit.TokensPerMinute, s.TokensFrom)
	fmt.Printf("  calls admitted    %d (%d retries)\n", s.Admitted, s.Retried)
	fmt.Printf("  wait time         %v\n", s.TotalWait.Round(time.Millisecond))
	fmt.Printf("  tokens used       %d (%d estimated tokens returned)\n", s.TokensSettled, s.TokensRefunded)
	fmt.Printf("  tokens available  %.0f\n", s.AvailableTokens)
	return nil
}

func report(usage generated.ConversationUsageInfo) {
	fmt.Printf("  [%d prompt + %d completion = %d tokens]\n", usage.PromptTokens, usage.CompletionTokens, usage.TotalTokens)
}
