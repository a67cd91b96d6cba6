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

// Options come last, as many as are needed, and are for one call.
func ExampleCallOption() {
	client, stop := emulatedClient(ratelimited.Config{})
	defer stop()

	response, err := client.Beta.Conversations.Start(context.Background(),
		generated.StartConversationRequest{Model: "mistral-small-latest", Inputs: ratelimited.Text("Say hello")},
		ratelimited.WithTimeout(2*time.Minute),  // of one attempt
		ratelimited.WithMaxRetries(0),           // carried out once at most
		ratelimited.WithTokenEstimate(2000),     // to be waited for, in place of the client's own estimate
		ratelimited.WithHeader("X-Team", "sea"), // may be given several times
	)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(ratelimited.OutputText(response))
	fmt.Println(client.Snapshot()[""].TokensRefunded, "of 2000 tokens given back")
	// Output:
	// hello
	// 1992 of 2000 tokens given back
}

// Status and header fields of the reply, of a failure too.
func ExampleWithResponseInto() {
	client, stop := emulatedClient(ratelimited.Config{})
	defer stop()

	var head *http.Response
	_, err := client.Beta.Conversations.Get(context.Background(), "conv_none", ratelimited.WithResponseInto(&head))
	fmt.Println(err != nil, head.StatusCode, head.Header.Get("Content-Type"))
	// Output: true 404 application/json
}

// One failure is tried again; the observer hears of each step.
func ExampleObserver() {
	observer := func(ctx context.Context, operation string) (context.Context, func(ratelimited.CallEvent)) {
		return ctx, func(event ratelimited.CallEvent) {
			switch e := event.(type) {
			case ratelimited.Acquired:
				fmt.Println(operation, "admitted to", e.Model)
			case ratelimited.Attempted:
				fmt.Println("attempt", e.Number, "status", e.Status)
			case ratelimited.Retrying:
				fmt.Println("again, after a while")
			case ratelimited.Settled:
				fmt.Println("used", e.Used, "tokens")
			case ratelimited.Ended:
				fmt.Println("ended,", e.Attempts, "attempts, error", e.Err)
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
	// again, after a while
	// attempt 2 status 200
	// used 9 tokens
	// ended, 2 attempts, error <nil>
}
