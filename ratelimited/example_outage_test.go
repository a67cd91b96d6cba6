package ratelimited_test

import (
	"context"
	"errors"
	"fmt"
	"log"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// A call fails with an OutageError if the outage lasts longer than MaxOutage. The program can
// make the call again later.
func ExampleOutageError() {
	server, err := emulator.Start(emulator.Config{})
	if err != nil {
		log.Fatal(err)
	}
	client, err := ratelimited.New(ratelimited.Config{
		APIKey: "any", BaseURL: server.URL(), RequestsPerSecond: 100, MaxOutage: 50 * time.Millisecond, // short, for this example
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	ask := func(ctx context.Context, prompt string) (*generated.ConversationResponse, error) {
		return client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{
			Model: "mistral-small-latest", Inputs: ratelimited.Text(prompt),
		})
	}
	if _, err := ask(context.Background(), "Hello!"); err != nil {
		log.Fatal(err)
	}
	_ = server.Close() // the server stays down

	prompts := []string{"Say one", "Say two", "Say three"}
	var later []string
	for i, result := range ratelimited.Gather(context.Background(), prompts, ask) {
		var outage *ratelimited.OutageError
		if errors.As(result.Err, &outage) && outage.Host == server.URL() {
			later = append(later, prompts[i])
		}
	}
	fmt.Println(later)
	// Output: [Say one Say two Say three]
}
