package ratelimited_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// Shutdown lets the call in flight finish and refuses those that wait. In a program, a signal
// is the reason: see [os/signal.NotifyContext]. The calls must not use its context.
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
