package ratelimited_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

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

// All requests further pages for as long as the loop runs.
func ExampleAgents_All() {
	client, stop := emulatedClient(ratelimited.Config{})
	defer stop()
	ctx := context.Background()

	for _, name := range []string{"Ada", "Grace", "Hedy"} {
		if _, err := client.Beta.Agents.Create(ctx, generated.CreateAgentRequest{Model: "mistral-small-latest", Name: name}); err != nil {
			log.Fatal(err)
		}
	}
	for agent, err := range client.Beta.Agents.All(ctx, generated.ListAgentPagesParams{PageSize: ratelimited.Ptr(2)}) {
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println(agent.Name)
	}
	// Unordered output:
	// Ada
	// Grace
	// Hedy
}

// A response format makes the model answer with JSON that matches a schema. The model writes
// the properties in the order of the schema.
func Example_structuredOutput() {
	client, stop := emulatedClient(ratelimited.Config{})
	defer stop()

	response, err := client.Beta.Conversations.Start(context.Background(), generated.StartConversationRequest{
		Model: "mistral-small-latest", Inputs: ratelimited.Text("Which city has the Eiffel Tower?"),
		CompletionArgs: generated.CompletionArgs{ResponseFormat: generated.ResponseFormat{
			Type: generated.ResponseFormatsJSONSchema,
			JSONSchema: generated.JSONSchema{Name: "answer", Schema: `{
				"type": "object",
				"properties": {"city": {"type": "string", "enum": ["Paris"]}},
				"required": ["city"]
			}`},
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	var answer struct{ City string }
	if err := json.Unmarshal([]byte(response.OutputText()), &answer); err != nil {
		log.Fatal(err)
	}
	fmt.Println(answer.City)
	// Output: Paris
}

// The server returns free-form values unchanged. DecodeJSON decodes them.
func ExampleAgents_Get() {
	client, stop := emulatedClient(ratelimited.Config{})
	defer stop()
	ctx := context.Background()

	created, err := client.Beta.Agents.Create(ctx, generated.CreateAgentRequest{
		Model: "mistral-small-latest", Name: "Clerk", Metadata: `{"team": "support", "order": 9007199254740993}`,
	})
	if err != nil {
		log.Fatal(err)
	}
	agent, err := client.Beta.Agents.Get(ctx, created.ID, generated.GetAgentParams{})
	if err != nil {
		log.Fatal(err)
	}
	var metadata struct {
		Team  string
		Order int64
	}
	if err := generated.DecodeJSON(agent.Metadata, &metadata); err != nil {
		log.Fatal(err)
	}
	fmt.Println(agent.Metadata)
	fmt.Println(metadata.Team, metadata.Order)
	// Output:
	// {"team":"support","order":9007199254740993}
	// support 9007199254740993
}
