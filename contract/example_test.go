package contract_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// Check a recorded event.
func ExampleContract_CheckEvent() {
	for _, v := range contract.Default().CheckEvent("message.output.delta", []byte(`{"type":"message.output.delta","id":"msg_1","content":5}`)) {
		fmt.Println(v)
	}
	// Output: event /data/content: type: must be string or object, got 5
}

// Check a recorded response, without a server.
func ExampleOperation_CheckResponse() {
	operation, found := contract.Default().Route(http.MethodGet, "/v1/conversations/conv_1/history")
	fmt.Println(operation.ID, found)
	header := http.Header{"Content-Type": {"application/json"}}
	for _, v := range operation.CheckResponse(http.StatusOK, header, []byte(`{"object":"conversation.history","entries":[]}`)) {
		fmt.Println(v)
	}
	// Output:
	// GetConversationHistory true
	// GetConversationHistory: response /conversation_id: required: property is missing
}

// A program that is not a test can check its traffic, too. Violations do not stop the
// program. Here the server omits a required property.
func ExampleTransport() {
	server, err := emulator.Start(emulator.Config{Faults: []emulator.Fault{{Kind: emulator.FaultMissingFields, Fields: []string{"usage"}}}})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	client, err := ratelimited.New(ratelimited.Config{
		APIKey: "any", BaseURL: server.URL(),
		HTTPClient: &http.Client{Transport: &contract.Transport{
			Contract: contract.Lenient(), Report: func(v contract.Violation) { fmt.Println(v) },
		}},
	})
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()
	response, err := client.Beta.Conversations.Start(context.Background(), generated.StartConversationRequest{
		Model: "mistral-small-latest", Inputs: ratelimited.Text("Say hello"),
	})
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ratelimited.OutputText(response))
	// Output:
	// StartConversation: response /usage: required: property is missing
	// hello
}

// In a test, use contract.Client(t, nil) instead: each violation then fails the test.
func Example() {
	server, err := emulator.Start(emulator.Config{})
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = server.Close() }()
	client := &http.Client{Transport: &contract.Transport{
		Report: func(v contract.Violation) { fmt.Println(v) },
	}}
	body := `{"model":"mistral-small-latest","inputs":"Hello!","stor":false,"completion_args":{"temperature":"hot"}}`
	request, err := http.NewRequest(http.MethodPost, server.URL()+"/v1/conversations", strings.NewReader(body))
	if err != nil {
		log.Fatal(err)
	}
	request.Header.Set("Content-Type", "application/json")
	request.Header.Set("Authorization", "Bearer any")
	response, err := client.Do(request)
	if err != nil {
		log.Fatal(err)
	}
	defer func() { _ = response.Body.Close() }()
	fmt.Println(response.Status)
	// Output:
	// StartConversation: body /completion_args/temperature: type: must be number or null, got "hot"
	// StartConversation: body /stor: additionalProperties: property is not allowed, got false
	// 422 Unprocessable Entity
}
