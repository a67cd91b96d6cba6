package ratelimited_test

import (
	"context"
	"fmt"
	"log"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// Exiting the loop for any reason closes the stream and records its usage.
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
		case generated.UnknownStreamEvent: // an event type that this version does not define
		}
	}
	// Output: 1 2 3 4 5 - 5 tokens
}

// The server stores the entries of streamed and other responses alike.
func ExampleConversations_AppendStream() {
	client, stop := emulatedClient(ratelimited.Config{})
	defer stop()
	ctx := context.Background()

	response, err := client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{
		Model: "mistral-small-latest", Inputs: ratelimited.Text("My name is Ada"),
	})
	if err != nil {
		log.Fatal(err)
	}
	stream, err := client.Beta.Conversations.AppendStream(ctx, response.ConversationID, generated.AppendConversationRequest{
		Inputs: ratelimited.Text("What is my name?"),
	})
	if err != nil {
		log.Fatal(err)
	}
	for event, err := range stream.Events() {
		if err != nil {
			log.Fatal(err)
		}
		if e, ok := event.(generated.MessageOutputEvent); ok {
			fmt.Print(e.Content.Text())
		}
	}
	// Output: Your name is Ada.
}

// The first event contains the ID of the new conversation.
func ExampleConversations_RestartStream() {
	client, stop := emulatedClient(ratelimited.Config{})
	defer stop()
	ctx := context.Background()

	first, err := client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{
		Model: "mistral-small-latest", Inputs: ratelimited.Text("What is 2+2?"),
	})
	if err != nil {
		log.Fatal(err)
	}
	history, err := client.Beta.Conversations.GetHistory(ctx, first.ConversationID)
	if err != nil {
		log.Fatal(err)
	}
	answer := history.Entries[1].Value().(generated.MessageOutputEntry)
	stream, err := client.Beta.Conversations.RestartStream(ctx, first.ConversationID, generated.RestartConversationRequest{
		FromEntryID: answer.ID, Inputs: ratelimited.Text("Multiply that by 5"),
	})
	if err != nil {
		log.Fatal(err)
	}
	for event, err := range stream.Events() {
		if err != nil {
			log.Fatal(err)
		}
		switch e := event.(type) {
		case generated.ResponseStartedEvent:
			fmt.Println("new conversation:", e.ConversationID != first.ConversationID)
		case generated.MessageOutputEvent:
			fmt.Print(e.Content.Text())
		}
	}
	// Output:
	// new conversation: true
	// 20
}

// Response returns the same response as the call without streaming.
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

// TextDeltas yields only the text of the response.
func ExampleStream_TextDeltas() {
	client, stop := emulatedClient(ratelimited.Config{})
	defer stop()

	stream, err := client.Beta.Conversations.StartStream(context.Background(), generated.StartConversationRequest{
		Model: "mistral-small-latest", Inputs: ratelimited.Text("Count to 5"),
	})
	if err != nil {
		log.Fatal(err)
	}
	for text, err := range stream.TextDeltas() {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Print(text)
	}
	// Output: 1 2 3 4 5
}
