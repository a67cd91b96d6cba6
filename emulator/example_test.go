package emulator_test

import (
	"fmt"
	"io"
	"net/http"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
)

// ask starts a conversation and prints the status and the Retry-After of the reply.
func ask(url, text string) {
	request, err := http.NewRequest(http.MethodPost, url+"/v1/conversations", strings.NewReader(`{"model":"m","inputs":"`+text+`"}`))
	if err != nil {
		fmt.Println(err)
		return
	}
	request.Header.Set("Authorization", "Bearer any")
	request.Header.Set("Content-Type", "application/json")
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		fmt.Println(err)
		return
	}
	_, said, _ := strings.Cut(string(body), `"content":`)
	said, _, _ = strings.Cut(said, `,"`)
	fmt.Println(strings.TrimSpace(fmt.Sprintf("%d %s %s", response.StatusCode, response.Header.Get("Retry-After"), said)))
}

// Two calls fail before one succeeds.
func ExampleFault() {
	server, err := emulator.Start(emulator.Config{Faults: []emulator.Fault{
		{Kind: emulator.FaultRequestLimit, Operation: "StartConversation", Nth: 1, Header: map[string]string{"Retry-After": "2"}},
		{Kind: emulator.FaultBadGateway, Times: 1},
	}})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = server.Close() }()
	for range 3 {
		ask(server.URL(), "Say hello")
	}
	fmt.Println(server.Stats().Faults)
	// Output:
	// 429 2
	// 502
	// 200  "hello"
	// map[429-requests:1 502-html:1]
}

// What is not in the script, the default model answers.
func ExampleParseScript() {
	model, err := emulator.ParseScript([]byte(`
rules:
  - match: (?i)capital of france
    reply: Paris
`))
	if err != nil {
		fmt.Println(err)
		return
	}
	server, err := emulator.Start(emulator.Config{Model: model})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = server.Close() }()
	ask(server.URL(), "What is the capital of France?")
	ask(server.URL(), "What is 2+2?")
	// Output:
	// 200  "Paris"
	// 200  "4"
}
