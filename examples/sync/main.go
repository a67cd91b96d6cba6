// Command sync makes one call after the other: it starts a conversation, continues it,
// reads it back, deletes it, and asks for what is gone. Each method blocks until its
// call has ended, its wait for the limiter included; the context bounds it all.
//
//	go run ./examples/sync
//
// With MISTRAL_API_KEY set it talks to the real API. Without, it starts the
// emulator and needs no key and no network.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"net/http"
	"os"
	"os/signal"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

func main() {
	log.SetFlags(0)
	flag.Parse() // there are none: -help says so, and asks nobody anything
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		log.Fatalln("sync:", err)
	}
}

func run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	config := ratelimited.Config{RequestsPerSecond: 1.2, TokensPerMinute: 100_000}
	if os.Getenv("MISTRAL_API_KEY") != "" {
		fmt.Println("Talking to the real API: MISTRAL_API_KEY is set.")
	} else {
		server, err := emulator.Start(emulator.Config{Latency: 200 * time.Millisecond})
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

	response, err := conversations.Start(ctx, generated.StartConversationRequest{
		Model:          "mistral-small-latest",
		Inputs:         ratelimited.Text("What is 6 * 7? Reply with the number alone."),
		CompletionArgs: generated.CompletionArgs{Temperature: ratelimited.Ptr(0.0), MaxTokens: ratelimited.Ptr(50)},
	})
	if err != nil {
		return err
	}
	fmt.Printf("started:   %s (%d tokens)\n", ratelimited.OutputText(response), response.Usage.TotalTokens)
	// Whatever becomes of it, the conversation is deleted.
	id := response.ConversationID
	err = errors.Join(converse(ctx, conversations, id), conversations.Delete(context.WithoutCancel(ctx), id))
	if err != nil {
		return err
	}
	fmt.Println("deleted")

	// errors.Is tells the kind of a failure, errors.As all there is to know of it.
	_, err = conversations.Get(ctx, id)
	if !errors.Is(err, ratelimited.ErrNotFound) {
		return errors.Join(errors.New("a deleted conversation is not gone"), err)
	}
	var failure *ratelimited.APIError
	if errors.As(err, &failure) {
		fmt.Printf("gone:      status %d after %d attempt: %s\n", failure.StatusCode, failure.Attempts, failure.Message)
	}
	return nil
}

// converse continues a conversation, and reads it back.
func converse(ctx context.Context, conversations *ratelimited.Conversations, id string) error {
	// Options are for one call. This one is given up, and tried again, after 20 s without a
	// reply, and says what came over the wire.
	var wire *http.Response
	response, err := conversations.Append(ctx, id, generated.AppendConversationRequest{
		Inputs: ratelimited.Text("Multiply that by 10. Reply with the number alone."),
	}, ratelimited.WithTimeout(20*time.Second), ratelimited.WithResponseInto(&wire))
	if err != nil {
		return err
	}
	fmt.Printf("continued: %s (%d tokens, %s)\n", ratelimited.OutputText(response), response.Usage.TotalTokens, wire.Status)

	history, err := conversations.GetMessages(ctx, id)
	if err != nil {
		return err
	}
	for i, entry := range history.Messages {
		switch m := entry.Value().(type) {
		case generated.MessageInputEntry:
			fmt.Printf("message %d: user: %s\n", i+1, m.Content.Text())
		case generated.MessageOutputEntry:
			fmt.Printf("message %d: model: %s\n", i+1, m.Content.Text())
		}
	}
	return nil
}
