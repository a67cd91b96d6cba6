package ratelimited_test

import (
	"context"
	"fmt"
	"log"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// Leaving the loop, in whatever way, closes the stream and settles what it used.
func ExampleConversations_StartStream() {
	client, stop := emulatedClient(ratelimited.Config{})
	defer stop()

	stream, err := client.Beta.Conversations.StartStream(context.Background(), generated.StartConversationRequest{
		Model: "mistral-small-latest", Inputs: ratelimited.Text("Count to 5"),
	})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = stream.Close() }()
	for event, err := range stream.Events() {
		if err != nil {
			log.Fatal(err)
		}
		switch e := event.(type) {
		case generated.MessageOutputEvent:
			fmt.Print(e.Content.Text())
		case generated.ResponseDoneEvent:
			fmt.Println(" -", e.Usage.CompletionTokens, "tokens")
		case generated.UnknownStreamEvent: // a type this version does not know
		}
	}
	// Output: 1 2 3 4 5 - 5 tokens
}

// The reply as the plain call would have brought it.
func ExampleStream_Response() {
	client, stop := emulatedClient(ratelimited.Config{})
	defer stop()

	stream, err := client.Beta.Conversations.StartStream(context.Background(), generated.StartConversationRequest{
		Model: "mistral-small-latest", Inputs: ratelimited.Text("Say hello"),
	})
	if err != nil {
		log.Fatal(err)
	}
	for _, err := range stream.Events() {
		if err != nil {
			log.Fatal(err)
		}
	}
	response := stream.Response()
	fmt.Println(ratelimited.OutputText(response), response.Usage.TotalTokens == stream.Usage().TotalTokens)
	// Output: hello true
}
