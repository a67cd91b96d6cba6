package ratelimited_test

import (
	"context"
	"fmt"
	"log"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// A model in Config.Limits has a separate limit. The other models share the default limit.
func ExampleClient_WaitTime() {
	client, stop := emulatedClient(ratelimited.Config{
		TokensPerMinute: 60_000,
		BareBuckets:     true,
		Limits:          map[string]limiter.Limit{"mistral-large-latest": {RequestsPerSecond: 0.05, TokensPerMinute: 50_000}},
	})
	defer stop()
	_, err := client.Beta.Conversations.Start(context.Background(), generated.StartConversationRequest{
		Model: "mistral-large-latest", Inputs: ratelimited.Text("Hello!"),
	})
	if err != nil {
		log.Fatal(err)
	}

	fmt.Println(client.WaitTime("mistral-large-latest", 1000).Round(10 * time.Second)) // one request every 20 s
	fmt.Println(client.WaitTime("any other", 1000))
	fmt.Println(client.WaitTime("any other", 60_001) == limiter.Never)
	// Output:
	// 20s
	// 0s
	// true
}

// Snapshot returns the state of each limit. The key "" is the limit that models share.
func ExampleClient_Snapshot() {
	client, stop := emulatedClient(ratelimited.Config{})
	defer stop()
	_, err := client.Beta.Conversations.Start(context.Background(), generated.StartConversationRequest{
		Model: "mistral-small-latest", Inputs: ratelimited.Text("What is 2+2?"),
	})
	if err != nil {
		log.Fatal(err)
	}

	s := client.Snapshot()[""]
	fmt.Println(s.Admitted, "call,", s.InFlight, "in flight,", s.Waiting, "waiting")
	fmt.Println(s.TokensSettled, "tokens used,", s.HeldTokens, "held")
	// Output:
	// 1 call, 0 in flight, 0 waiting
	// 9 tokens used, 0 held
}

// SetLimit also applies to calls that already wait.
func ExampleClient_SetLimit() {
	client, stop := emulatedClient(ratelimited.Config{})
	defer stop()

	if err := client.SetLimit("", limiter.Limit{RequestsPerSecond: 2, TokensPerMinute: 30_000}); err != nil {
		log.Fatal(err)
	}
	fmt.Println(client.Snapshot()[""].Limit.TokensPerMinute)
	fmt.Println(client.SetLimit("", limiter.Limit{RequestsPerSecond: 2}))
	// Output:
	// 30000
	// mistral: SetLimit: model "": TokensPerMinute is 0: must be at least 1 and at most 1000000000000
}
