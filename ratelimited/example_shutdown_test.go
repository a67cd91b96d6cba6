package ratelimited_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// Shutdown waits for calls in flight and fails the calls that wait for the limiter. Programs
// usually call it after a signal: see [os/signal.NotifyContext]. The API calls must not use the
// context of the signal.
func ExampleClient_Shutdown() {
	client, stop := emulatedClient(ratelimited.Config{})
	defer stop()

	ask := func() (*generated.ConversationResponse, error) {
		return client.Beta.Conversations.Start(context.Background(), generated.StartConversationRequest{
			Model: "mistral-small-latest", Inputs: ratelimited.Text("Say hello"),
		})
	}
	response, err := ask()
	fmt.Println(ratelimited.OutputText(response), err)

	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	fmt.Println(client.Shutdown(ctx))

	_, err = ask()
	fmt.Println(errors.Is(err, ratelimited.ErrShuttingDown))
	// Output:
	// hello <nil>
	// <nil>
	// true
}
