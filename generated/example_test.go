package generated_test

import (
	"encoding/json"
	"fmt"
	"log"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// A type switch reads a union. An UnknownEntry holds the JSON of a type that this version does not
// support.
func ExampleEntry() {
	var entries []generated.Entry
	err := json.Unmarshal([]byte(`[
		{"type":"message.input","role":"user","content":"Draw a cat"},
		{"type":"function.call","tool_call_id":"call_1","name":"draw","arguments":"{\"subject\":\"cat\"}"},
		{"type":"sculpture","height":3}
	]`), &entries)
	if err != nil {
		log.Fatal(err)
	}
	for _, entry := range entries {
		switch e := entry.Value().(type) {
		case generated.MessageInputEntry:
			fmt.Printf("%s: %s\n", e.Role, e.Content.Text())
		case generated.FunctionCallEntry:
			fmt.Println("call:", e.Name, e.Arguments)
		case generated.UnknownEntry:
			fmt.Printf("%s: %s\n", e.Type, e.Raw)
		}
	}
	// Output:
	// user: Draw a cat
	// call: draw {"subject":"cat"}
	// sculpture: {"type":"sculpture","height":3}
}

// NewTool sets the "type". Unset fields are not sent.
func ExampleNewTool() {
	tool := generated.NewTool(generated.FunctionTool{Function: generated.Function{
		Name: "get_time", Parameters: map[string]any{"type": "object"},
	}})
	text, err := json.Marshal(generated.StartConversationRequest{
		Model: "mistral-small-latest", Inputs: generated.NewTextInputs("What time is it?"), Tools: []generated.Tool{tool},
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(string(text))
	// Output: {"inputs":"What time is it?","model":"mistral-small-latest","tools":[{"function":{"name":"get_time","parameters":{"type":"object"}},"type":"function"}]}
}

// Decoding skips a value whose type is not the declared one. Mismatches returns the skipped values.
func ExampleMismatch() {
	var agent *generated.Agent
	err := generated.DecodeResponse([]byte(`{"id": "ag_1", "name": "Clerk", "completion_args": {"max_tokens": 100.0, "reasoning_effort": 3}}`), &agent)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(agent.Name, *agent.CompletionArgs.MaxTokens)
	fmt.Println(agent.Mismatches())
	// Output:
	// Clerk 100
	// ["/completion_args/reasoning_effort": 3]
}
