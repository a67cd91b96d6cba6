package contract_test

import (
	"fmt"
	"log"
	"net/http"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
)

// In a test it is contract.Client(t, nil), and each violation fails the test.
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
	// StartConversation: body /completion_args/temperature: type: want number or null, have "hot"
	// StartConversation: body /stor: additionalProperties: want no such property, have false
	// 422 Unprocessable Entity
}
