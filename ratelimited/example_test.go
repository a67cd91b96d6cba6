package ratelimited_test

import (
	"context"
	"fmt"
	"log"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// The example uses the emulator, which needs neither a key nor a network. For the real API,
// omit BaseURL and APIKey and set MISTRAL_API_KEY.
func Example() {
	server, err := emulator.Start(emulator.Config{RequestsPerSecond: 5, TokensPerMinute: 100_000})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = server.Close() }()

	client, err := ratelimited.New(ratelimited.Config{
		BaseURL: server.URL(), APIKey: "any", RequestsPerSecond: 5, TokensPerMinute: 100_000,
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	response, err := client.Beta.Conversations.Start(context.Background(), generated.StartConversationRequest{
		Model:  "mistral-small-latest",
		Inputs: ratelimited.Text("What is 2+2?"),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ratelimited.OutputText(response))
	fmt.Println(response.Usage.TotalTokens, "tokens")
	// Output:
	// 4
	// 9 tokens
}

// New returns an error for an invalid field. It does not send a request.
func ExampleNew() {
	_, err := ratelimited.New(ratelimited.Config{APIKey: "any", RequestsPerSecond: -1})
	fmt.Println(err)
	// Output: mistral: RequestsPerSecond is -1: must be above 0 and at most 1000000
}

// emulatedClient starts an emulator that injects the given faults. It returns a client of the
// emulator, and a function that closes both.
func emulatedClient(config ratelimited.Config, faults ...emulator.Fault) (*ratelimited.Client, func()) {
	server, err := emulator.Start(emulator.Config{Faults: faults})
	if err != nil {
		log.Fatal(err)
	}
	if config.RequestsPerSecond == 0 {
		config.RequestsPerSecond = 100
	}
	config.BaseURL, config.APIKey = server.URL(), "any"
	client, err := ratelimited.New(config)
	if err != nil {
		log.Fatal(err)
	}
	return client, func() {
		client.Close()
		_ = server.Close()
	}
}
