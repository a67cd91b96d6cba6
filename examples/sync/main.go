// Command sync makes one call after the other: it starts a conversation, continues it, reads
// it, deletes it, and checks that it is deleted. Each method blocks until its call ends,
// including the wait for the limiter. The context bounds all of it.
//
//	go run ./examples/sync
//
// If MISTRAL_API_KEY is set, it uses the real API. Otherwise it starts the
// emulator and does not need a key or a network.
package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/examples/internal/setup"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

func main() { setup.Main("sync", run) }

func run(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	config := ratelimited.Config{RequestsPerSecond: 1.2, TokensPerMinute: 100_000}
	stop, err := setup.Connect(&config, emulator.Config{Latency: 200 * time.Millisecond})
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

	response, err := conversations.Start(ctx, generated.StartConversationRequest{
		Model:          "mistral-small-latest",
		Inputs:         ratelimited.Text("What is 6 * 7? Reply with the number alone."),
		CompletionArgs: generated.CompletionArgs{Temperature: ratelimited.Ptr(0.0), MaxTokens: ratelimited.Ptr(50)},
	})
	if err != nil {
		return err
	}
	fmt.Printf("started:   %s (%d tokens)\n", ratelimited.OutputText(response), response.Usage.TotalTokens)
	// Delete the conversation also after an error.
	id := response.ConversationID
	err = errors.Join(converse(ctx, conversations, id), conversations.Delete(context.WithoutCancel(ctx), id))
	if err != nil {
		return err
	}
	fmt.Println("deleted")

	// errors.Is checks the kind of an error. errors.As gives access to its details.
	_, err = conversations.Get(ctx, id)
	if !errors.Is(err, ratelimited.ErrNotFound) {
		return errors.Join(errors.New("the deleted conversation still exists"), err)
	}
	var failure *ratelimited.APIError
	if errors.As(err, &failure) {
		fmt.Printf("not found: status %d after %d attempt: %s\n", failure.StatusCode, failure.Attempts, failure.Message)
	}
	return nil
}

// converse continues a conversation and reads it.
func converse(ctx context.Context, conversations *ratelimited.Conversations, id string) error {
	// Options apply to one call. Each attempt of this call has a timeout of 20 s, and the call
	// stores its HTTP response in httpResponse.
	var httpResponse *http.Response
	response, err := conversations.Append(ctx, id, generated.AppendConversationRequest{
		Inputs: ratelimited.Text("Multiply that by 10. Reply with the number alone."),
	}, ratelimited.WithTimeout(20*time.Second), ratelimited.WithResponseInto(&httpResponse))
	if err != nil {
		return err
	}
	fmt.Printf("continued: %s (%d tokens, %s)\n", ratelimited.OutputText(response), response.Usage.TotalTokens, httpResponse.Status)

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
