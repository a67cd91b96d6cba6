package ratelimited_test

import (
	"context"
	"fmt"
	"log"
	"slices"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// Gather runs the calls concurrently, as fast as the limiter admits them. The results are in
// the order of the inputs.
func ExampleGather() {
	client, stop := emulatedClient(ratelimited.Config{})
	defer stop()

	questions := []string{"What is 1+1?", "What is 2+2?", "What is 3+3?"}
	results := ratelimited.Gather(context.Background(), questions, func(ctx context.Context, question string) (*generated.ConversationResponse, error) {
		return client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{
			Model: "mistral-small-latest", Inputs: ratelimited.Text(question),
		})
	})
	for i, result := range results {
		if result.Err != nil {
			log.Fatal(result.Err)
		}
		fmt.Println(questions[i], ratelimited.OutputText(result.Value))
	}
	// Output:
	// What is 1+1? 2
	// What is 2+2? 4
	// What is 3+3? 6
}

// Async starts a call in the background. Await returns its result.
func ExampleAsync() {
	client, stop := emulatedClient(ratelimited.Config{})
	defer stop()
	ctx := context.Background()

	future := ratelimited.Async(func() (*generated.ConversationResponse, error) {
		return client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{
			Model: "mistral-small-latest", Inputs: ratelimited.Text("Say hello"),
		})
	})
	// The program can do other work here.
	response, err := future.Await(ctx)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ratelimited.OutputText(response))
	// Output: hello
}

// Each yields the results in the order in which the calls end.
func ExampleEach() {
	client, stop := emulatedClient(ratelimited.Config{})
	defer stop()

	prompts := []string{"What is 1+1?", "What is 2+2?", "What is 3+3?"}
	answers := make([]string, len(prompts))
	for i, result := range ratelimited.Each(context.Background(), slices.Values(prompts), func(ctx context.Context, prompt string) (*generated.ConversationResponse, error) {
		return client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{Model: "mistral-small-latest", Inputs: ratelimited.Text(prompt)})
	}) {
		if result.Err != nil {
			log.Fatal(result.Err)
		}
		answers[i] = result.Value.OutputText()
	}
	fmt.Println(answers)
	// Output: [2 4 6]
}
