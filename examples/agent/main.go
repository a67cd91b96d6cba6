// Command agent lets a model plan a trip with three Go functions, and prints what it does as it
// happens.
//
//	go run ./examples/agent
//
// With MISTRAL_API_KEY set it talks to the real API. Without, it starts the
// emulator and needs no key and no network.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner"
)

// What the functions are given: the model reads names, descriptions and bounds.
type (
	place struct {
		City string `json:"city" jsonschema:"name of the city"`
	}
	route struct {
		From string `json:"from" jsonschema:"city of departure"`
		To   string `json:"to" jsonschema:"city of arrival"`
	}
	seat struct {
		Train string `json:"train" jsonschema:"number of a train that trains has returned"`
		Class int    `json:"class" enum:"1,2"`
	}
)

func weather(_ context.Context, in place) (string, error) { return "sunny, 24 °C in " + in.City, nil }

func trains(_ context.Context, in route) ([]string, error) {
	if in.From != "Paris" {
		return nil, runner.Explain("There are trains from Paris alone.", nil) // the model reads this, and may try again
	}
	return []string{"TGV 6607", "TGV 6611"}, nil
}

func price(_ context.Context, in seat) (map[string]any, error) {
	return map[string]any{"train": in.Train, "euros": 45 + 30*(2-in.Class)}, nil
}

func main() {
	log.SetFlags(0)
	flag.Parse() // there are none: -help says so, and asks nobody anything
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		log.Fatalln("agent:", err)
	}
}

func run(ctx context.Context) error {
	config := ratelimited.Config{RequestsPerSecond: 1.2, TokensPerMinute: 100_000}
	if os.Getenv("MISTRAL_API_KEY") != "" {
		fmt.Println("Talking to the real API: MISTRAL_API_KEY is set.")
	} else {
		server, err := emulator.Start(emulator.Config{Model: model})
		if err != nil {
			return err
		}
		defer server.Close()
		config.BaseURL, config.APIKey = server.URL(), "no-key-needed"
		fmt.Println("Talking to the embedded emulator: MISTRAL_API_KEY is not set.")
	}
	client, err := ratelimited.New(config)
	if err != nil {
		return err
	}
	defer client.Close()
	return plan(ctx, client, "A day in Lyon tomorrow, from Paris: how is the weather, and what is the cheapest seat?")
}

func plan(ctx context.Context, client *ratelimited.Client, question string) (err error) {
	weather, err1 := runner.NewTool("weather", "Returns tomorrow's weather in a city.", weather)
	trains, err2 := runner.NewTool("trains", "Returns the trains of a day between two cities.", trains)
	price, err3 := runner.NewTool("price", "Returns the price of a seat in a train.", price)
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	agent, err := runner.New(client, runner.Config{
		Tools:  []*runner.Tool{weather, trains, price},
		Limits: runner.Limits{Turns: 8, Tokens: 20_000}, // one that never stops must not use up the quota
	})
	if err != nil {
		return err
	}
	fmt.Println("user:  ", question)
	run := agent.StartStream(ctx, generated.StartConversationRequest{Model: "mistral-small-latest", Inputs: ratelimited.Text(question)})
	defer func() { err = errors.Join(err, forget(ctx, client, run.Result())) }()
	for event, err := range run.Events() {
		if err != nil {
			return err
		}
		switch e := event.Value.(type) {
		case generated.MessageOutputEvent:
			fmt.Print(e.Content.Text())
		case runner.ToolStarted:
			fmt.Printf("turn %d: %s …\n", event.Turn, e.Name)
		case runner.ToolFinished:
			fmt.Printf("turn %d: %s: %s\n", event.Turn, e.Name, e.Result)
		case runner.Finished:
			fmt.Printf("\n%d turns, %d calls of functions, %d tokens\n", len(e.Result.Turns), e.Result.Calls, e.Result.Usage.TotalTokens)
		}
	}
	return nil
}

// forget leaves nothing on the server.
func forget(ctx context.Context, client *ratelimited.Client, result *runner.Result) error {
	if result.ConversationID == "" {
		return nil
	}
	return client.Beta.Conversations.Delete(context.WithoutCancel(ctx), result.ConversationID)
}

// model is what the emulator's model does: two calls at once, one with the wrong class, the right
// one, and an answer.
func model(_ context.Context, p emulator.Prompt) emulator.Reply {
	call := func(name, arguments string) generated.Entry {
		return generated.NewEntry(generated.FunctionCallEntry{Name: name, Arguments: generated.FunctionCallEntryArguments(arguments)})
	}
	if len(p.History) == 0 {
		return emulator.Reply{Entries: []generated.Entry{call("weather", `{"city":"Lyon"}`), call("trains", `{"from":"Paris","to":"Lyon"}`)}}
	}
	result, _ := p.Inputs[len(p.Inputs)-1].Value().(generated.FunctionResultEntry)
	switch result.Result {
	case `["TGV 6607","TGV 6611"]`:
		return emulator.Reply{Entries: []generated.Entry{call("price", `{"train":"TGV 6607","class":3}`)}}
	case `{"euros":45,"train":"TGV 6607"}`:
		return emulator.Reply{Text: "It will be sunny, 24 °C. TGV 6607 has seats for 45 euros."}
	}
	return emulator.Reply{Entries: []generated.Entry{call("price", `{"train":"TGV 6607","class":2}`)}}
}
