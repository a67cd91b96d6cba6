package ratelimited_test

import (
	"context"
	"fmt"
	"log"
	"net/http"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// Options are the last arguments of a call and apply to that call only.
func ExampleCallOption() {
	client, stop := emulatedClient(ratelimited.Config{})
	defer stop()

	response, err := client.Beta.Conversations.Start(context.Background(),
		generated.StartConversationRequest{Model: "mistral-small-latest", Inputs: ratelimited.Text("Say hello")},
		ratelimited.WithTimeout(2*time.Minute),  // the timeout of one attempt
		ratelimited.WithMaxRetries(0),           // at most one attempt
		ratelimited.WithTokenEstimate(2000),     // replaces the client's estimate
		ratelimited.WithHeader("X-Team", "sea"), // can be repeated
	)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ratelimited.OutputText(response))
	fmt.Println(client.Snapshot()[""].TokensRefunded, "of 2000 tokens returned")
	// Output:
	// hello
	// 1992 of 2000 tokens returned
}

// WithResponseInto stores the response, for its status code and header fields. It does so for
// failed calls too.
func ExampleWithResponseInto() {
	client, stop := emulatedClient(ratelimited.Config{})
	defer stop()

	var httpResponse *http.Response
	_, err := client.Beta.Conversations.Get(context.Background(), "conv_none", ratelimited.WithResponseInto(&httpResponse))
	fmt.Println(err != nil, httpResponse.StatusCode, httpResponse.Header.Get("Content-Type"))
	// Output: true 404 application/json
}

// The client retries one failed attempt. The observer receives an event for each step.
func ExampleObserver() {
	observer := func(ctx context.Context, operation string) (context.Context, func(ratelimited.CallEvent)) {
		return ctx, func(event ratelimited.CallEvent) {
			switch e := event.(type) {
			case ratelimited.Acquired:
				fmt.Println(operation, "admitted to", e.Model)
			case ratelimited.Attempted:
				fmt.Println("attempt", e.Number, "status", e.Status)
			case ratelimited.Retrying:
				fmt.Println("retrying after a delay")
			case ratelimited.Settled:
				fmt.Println("used", e.Used, "tokens")
			case ratelimited.Ended:
				fmt.Println("ended after", e.Attempts, "attempts, error", e.Err)
			}
		}
	}
	client, stop := emulatedClient(ratelimited.Config{Observer: observer, BaseDelay: time.Millisecond, MaxDelay: time.Millisecond},
		emulator.Fault{Kind: emulator.FaultUnavailable, Times: 1})
	defer stop()

	_, err := client.Beta.Conversations.Start(context.Background(), generated.StartConversationRequest{
		Model: "mistral-small-latest", Inputs: ratelimited.Text("What is 2+2?"),
	})
	if err != nil {
		log.Fatal(err)
	}
	// Output:
	// Conversations.Start admitted to mistral-small-latest
	// attempt 1 status 503
	// retrying after a delay
	// attempt 2 status 200
	// used 9 tokens
	// ended after 2 attempts, error <nil>
}
