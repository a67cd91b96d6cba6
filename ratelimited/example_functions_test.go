package ratelimited_test

import (
	"context"
	"encoding/json"
	"fmt"
	"log"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// weather is the Go function behind weatherTool.
func weather(arguments generated.FunctionCallEntryArguments) (string, error) {
	var in struct{ City string }
	if err := json.Unmarshal([]byte(arguments), &in); err != nil {
		return "", err
	}
	return "sunny in " + in.City, nil
}

// weatherTool describes a function that the model may call.
var weatherTool = generated.NewTool(generated.FunctionTool{Function: generated.Function{
	Name:        "get_weather",
	Description: "The weather of a city",
	Parameters: map[string]any{
		"type":       "object",
		"properties": map[string]any{"city": map[string]any{"type": "string", "enum": []string{"Paris"}}},
		"required":   []string{"city"},
	},
}})

// The model requests function calls. The program runs the functions and appends their results,
// until a response contains only text.
func Example_functionCalling() {
	client, stop := emulatedClient(ratelimited.Config{})
	defer stop()
	ctx := context.Background()

	response, err := client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{
		Model: "mistral-small-latest", Inputs: ratelimited.Text("How is the weather in Paris?"), Tools: []generated.Tool{weatherTool},
	})
	for err == nil && len(ratelimited.FunctionCalls(response)) > 0 {
		var results []generated.Entry
		for _, call := range ratelimited.FunctionCalls(response) {
			result, err := weather(call.Arguments)
			if err != nil {
				result = "failed: " + err.Error()
			}
			results = append(results, ratelimited.FunctionResult(call.ToolCallID, result))
		}
		response, err = client.Beta.Conversations.Append(ctx, response.ConversationID, generated.AppendConversationRequest{
			Inputs: ratelimited.Entries(results...),
		})
	}
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ratelimited.OutputText(response))
	// Output: The result of get_weather is: sunny in Paris
}
