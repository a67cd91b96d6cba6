package ratelimited_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// Optional fields whose zero value is meaningful are pointers. Ptr makes such a pointer.
func ExampleConversations_Start() {
	client, stop := emulatedClient(ratelimited.Config{})
	defer stop()

	response, err := client.Beta.Conversations.Start(context.Background(), generated.StartConversationRequest{
		Model:          "mistral-small-latest",
		Inputs:         ratelimited.Text("Count to 5"),
		Instructions:   "Be brief.",
		CompletionArgs: generated.CompletionArgs{Temperature: ratelimited.Ptr(0.0), MaxTokens: ratelimited.Ptr(100)},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ratelimited.OutputText(response))
	// Output: 1 2 3 4 5
}

// The server stores the conversation. The client keeps its length, and waits for the tokens
// of the history too.
func ExampleConversations_Append() {
	client, stop := emulatedClient(ratelimited.Config{})
	defer stop()
	ctx := context.Background()

	response, err := client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{
		Model: "mistral-small-latest", Inputs: ratelimited.Text("What is 2+2?"),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ratelimited.OutputText(response))

	response, err = client.Beta.Conversations.Append(ctx, response.ConversationID, generated.AppendConversationRequest{
		Inputs: ratelimited.Text("Multiply that by 3"),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ratelimited.OutputText(response))
	// Output:
	// 4
	// 12
}

// Restart creates a new conversation from one entry of an existing conversation. The existing
// one does not change.
func ExampleConversations_Restart() {
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
	second, err := client.Beta.Conversations.Restart(ctx, first.ConversationID, generated.RestartConversationRequest{
		FromEntryID: answer.ID, Inputs: ratelimited.Text("Multiply that by 5"),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ratelimited.OutputText(second), second.ConversationID != first.ConversationID)
	// Output: 20 true
}

// Get returns the attributes of a conversation. GetHistory returns its entries.
func ExampleConversations_Get() {
	client, stop := emulatedClient(ratelimited.Config{})
	defer stop()
	ctx := context.Background()

	response, err := client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{
		Model: "mistral-small-latest", Inputs: ratelimited.Text("Say hello"), Name: "Greeting",
	})
	if err != nil {
		log.Fatal(err)
	}
	conversation, err := client.Beta.Conversations.Get(ctx, response.ConversationID)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(conversation.Name, "with", conversation.Model)
	// Output: Greeting with mistral-small-latest
}

// A page that is not full is the last page.
func ExampleConversations_List() {
	client, stop := emulatedClient(ratelimited.Config{})
	defer stop()
	ctx := context.Background()
	for range 3 {
		if _, err := client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{
			Model: "mistral-small-latest", Inputs: ratelimited.Text("Say hello"),
		}); err != nil {
			log.Fatal(err)
		}
	}

	const size = 2
	for page := 0; ; page++ {
		conversations, err := client.Beta.Conversations.List(ctx, generated.ListConversationsParams{
			Page: ratelimited.Ptr(page), PageSize: ratelimited.Ptr(size),
		})
		if err != nil {
			log.Fatal(err)
		}
		fmt.Println("page", page, "has", len(conversations))
		if len(conversations) < size {
			break
		}
	}
	// Output:
	// page 0 has 2
	// page 1 has 1
}

// A deleted conversation cannot be restored.
func ExampleConversations_Delete() {
	client, stop := emulatedClient(ratelimited.Config{})
	defer stop()
	ctx := context.Background()

	response, err := client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{
		Model: "mistral-small-latest", Inputs: ratelimited.Text("Say hello"),
	})
	if err != nil {
		log.Fatal(err)
	}
	if err := client.Beta.Conversations.Delete(ctx, response.ConversationID); err != nil {
		log.Fatal(err)
	}
	_, err = client.Beta.Conversations.Get(ctx, response.ConversationID)
	fmt.Println(errors.Is(err, ratelimited.ErrNotFound))
	// Output: true
}

// An entry has one of several types. A type switch on Value distinguishes them.
func ExampleConversations_GetHistory() {
	client, stop := emulatedClient(ratelimited.Config{})
	defer stop()
	ctx := context.Background()

	response, err := client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{
		Model: "mistral-small-latest", Inputs: ratelimited.Text("Say hello"),
	})
	if err != nil {
		log.Fatal(err)
	}
	history, err := client.Beta.Conversations.GetHistory(ctx, response.ConversationID)
	if err != nil {
		log.Fatal(err)
	}
	for _, entry := range history.Entries {
		switch e := entry.Value().(type) {
		case generated.MessageInputEntry:
			fmt.Println("user:", e.Content.Text())
		case generated.MessageOutputEntry:
			fmt.Println("model:", e.Content.Text())
		}
	}
	// Output:
	// user: Say hello
	// model: hello
}

// The server need not store a conversation: a request can contain the earlier messages.
func ExampleEntries() {
	client, stop := emulatedClient(ratelimited.Config{})
	defer stop()

	response, err := client.Beta.Conversations.Start(context.Background(), generated.StartConversationRequest{
		Model: "mistral-small-latest",
		Inputs: ratelimited.Entries(
			ratelimited.User("My name is Ada"),
			ratelimited.Assistant("Hello, Ada!"),
			ratelimited.User("What is my name?"),
		),
		Store: ratelimited.Ptr(false),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ratelimited.OutputText(response))
	// Output: Your name is Ada.
}

// A message can have chunks of several types.
func ExampleUserChunks() {
	message := ratelimited.UserChunks(
		generated.NewContentChunk(generated.TextChunk{Text: "What is in this picture?"}),
		generated.NewContentChunk(generated.ImageURLChunk{ImageURL: generated.ImageURL{URL: "https://example.com/cat.png"}}),
	)
	content := message.Value().(generated.MessageInputEntry).Content
	fmt.Println(content.Text())
	// Output: What is in this picture?
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
