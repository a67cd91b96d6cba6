package emulator_test

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
)

// ask starts a conversation and prints the status, the Retry-After header field and the text
// of the response.
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
	_, content, _ := strings.Cut(string(body), `"content":`)
	content, _, _ = strings.Cut(content, `,"`)
	fmt.Println(strings.TrimSpace(fmt.Sprintf("%d %s %s", response.StatusCode, response.Header.Get("Retry-After"), content)))
}

// With a limit of one request in 1,000 s, the emulator rejects the second request, like the
// real API.
func Example() {
	server, err := emulator.Start(emulator.Config{RequestsPerSecond: 0.001})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = server.Close() }()
	ask(server.URL(), "Say hello")
	ask(server.URL(), "Say hello again")

	total := server.Stats().Total()
	fmt.Println(total.Admitted, "admitted,", total.Refused(), "refused,", total.Tokens, "tokens")
	// Output:
	// 200  "hello"
	// 429
	// 1 admitted, 1 refused, 8 tokens
}

// A custom model receives all parts of the prompt.
func ExampleReply() {
	shout := func(_ context.Context, p emulator.Prompt) emulator.Reply {
		if strings.Contains(p.Text(), "quiet") {
			return emulator.Reply{Err: &emulator.Error{Status: http.StatusServiceUnavailable, Message: "asleep"}}
		}
		return emulator.Reply{Text: strings.ToUpper(p.Text())}
	}
	server, err := emulator.Start(emulator.Config{Model: shout})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = server.Close() }()
	ask(server.URL(), "Hear, hear")
	ask(server.URL(), "Be quiet")
	// Output:
	// 200  "HEAR, HEAR"
	// 503
}

// A test can inspect the recorded requests.
func ExampleEmulator_Requests() {
	server, err := emulator.Start(emulator.Config{Control: true}) // Control records request bodies.
	if err != nil {
		fmt.Println(err)
		return
	}
	defer func() { _ = server.Close() }()
	ask(server.URL(), "Say hello")
	for _, r := range server.Requests() {
		fmt.Println(r.Operation, r.Model, r.Status, r.Tokens, r.Body)
	}
	// Output:
	// 200  "hello"
	// StartConversation m 200 8 {"model":"m","inputs":"Say hello"}
}

// An emulator is an http.Handler and does not need a port.
func ExampleNew() {
	handler := emulator.New(emulator.Config{})
	request := httptest.NewRequest(http.MethodGet, "/v1/conversations", nil)
	request.Header.Set("Authorization", "Bearer any")
	recorder := httptest.NewRecorder()
	handler.ServeHTTP(recorder, request)
	fmt.Println(recorder.Code, strings.TrimSpace(recorder.Body.String()))
	// Output: 200 []
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

// The default model handles prompts that the script does not match.
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
