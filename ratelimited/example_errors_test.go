package ratelimited_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// The server requests a wait of 60 s. The client does not retry, because retries are off.
func ExampleRateLimitError() {
	client, stop := emulatedClient(ratelimited.Config{MaxRetries: ratelimited.NoRetries}, emulator.Fault{
		Kind: emulator.FaultTokenLimit, Header: map[string]string{"Retry-After": "60"},
	})
	defer stop()

	_, err := client.Beta.Conversations.Start(context.Background(), generated.StartConversationRequest{
		Model: "mistral-small-latest", Inputs: ratelimited.Text("Hello!"),
	})
	var limited *ratelimited.RateLimitError
	if errors.As(err, &limited) {
		fmt.Println(limited.StatusCode, limited.Message)
		fmt.Println(limited.LimitType, limited.RetryAfter, limited.Attempts)
	}
	// Output:
	// 429 Token rate limit reached.
	// tokens 1m0s 1
}

// errors.Is reports the kind of failure. The error's type has the details.
func ExampleAPIError() {
	client, stop := emulatedClient(ratelimited.Config{})
	defer stop()

	_, err := client.Beta.Conversations.Get(context.Background(), "conv_none")
	fmt.Println(errors.Is(err, ratelimited.ErrNotFound), errors.Is(err, ratelimited.ErrRetryable))
	var failure *ratelimited.APIError
	if errors.As(err, &failure) {
		fmt.Println(failure.Method, failure.Path, failure.StatusCode)
	}
	// Output:
	// true false
	// GET /v1/conversations/conv_none 404
}

// The client does not send invalid input.
func ExampleRequestError() {
	client, stop := emulatedClient(ratelimited.Config{})
	defer stop()

	_, err := client.Beta.Conversations.Append(context.Background(), "", generated.AppendConversationRequest{Inputs: ratelimited.Text("Go on")})
	fmt.Println(err)
	var invalid *ratelimited.RequestError
	if errors.As(err, &invalid) {
		fmt.Println(invalid.Operation, invalid.Field)
	}
	// Output:
	// mistral: Conversations.Append: conversation_id is "": must not be empty
	// Conversations.Append conversation_id
}

// A context bounds the whole call, including its wait for the limiter.
func ExampleWaitError() {
	client, stop := emulatedClient(ratelimited.Config{RequestsPerSecond: 0.01})
	defer stop()
	request := generated.StartConversationRequest{Model: "mistral-small-latest", Inputs: ratelimited.Text("Hello!")}
	if _, err := client.Beta.Conversations.Start(context.Background(), request); err != nil {
		fmt.Println(err)
		return
	}

	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Millisecond)
	defer cancel()
	_, err := client.Beta.Conversations.Start(ctx, request) // the limiter would admit it in 100 s
	var waited *ratelimited.WaitError
	fmt.Println(errors.As(err, &waited), errors.Is(err, context.DeadlineExceeded))
	// Output: true true
}
