// Command agent lets a model plan a trip with three Go functions, and prints each step when it
// happens.
//
//	go run ./examples/agent
//
// If MISTRAL_API_KEY is set, it uses the real API. Otherwise it starts the
// emulator and does not need a key or a network.
package main

import (
	"context"
	"errors"
	"fmt"
	"regexp"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/examples/internal/setup"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner"
)

// The inputs of the functions. The model reads the names, descriptions and bounds.
type (
	place struct {
		City string `json:"city" jsonschema:"name of the city"`
	}
	route struct {
		From string `json:"from" jsonschema:"city of departure"`
		To   string `json:"to" jsonschema:"city of arrival"`
	}
	seat struct {
		Train string `json:"train" jsonschema:"train number from the result of trains"`
		Class int    `json:"class" enum:"1,2"`
	}
)

func weather(_ context.Context, in place) (string, error) { return "sunny, 24 °C in " + in.City, nil }

func trains(_ context.Context, in route) ([]string, error) {
	if in.From != "Paris" {
		return nil, runner.Explain("Trains depart only from Paris.", nil) // the model reads this text and may call again
	}
	return []string{"TGV 6607", "TGV 6611"}, nil
}

func price(_ context.Context, in seat) (map[string]any, error) {
	return map[string]any{"train": in.Train, "euros": 45 + 30*(2-in.Class)}, nil
}

func main() { setup.Main("agent", run) }

func run(ctx context.Context) error {
	config := ratelimited.Config{RequestsPerSecond: 1.2, TokensPerMinute: 100_000}
	stop, err := setup.Connect(&config, emulator.Config{Model: script.Reply})
	if err != nil {
		return err
	}
	defer stop()
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
		Limits: runner.Limits{Turns: 8, Tokens: 20_000}, // bounds the cost of a model that never stops
	})
	if err != nil {
		return err
	}
	fmt.Println("user:  ", question)
	run := agent.StartStream(ctx, generated.StartConversationRequest{Model: "mistral-small-latest", Inputs: ratelimited.Text(question)})
	defer func() { err = errors.Join(err, deleteConversation(ctx, client, run.Result())) }()
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
			fmt.Printf("\n%d turns, %d function calls, %d tokens\n", len(e.Result.Turns), e.Result.Calls, e.Result.Usage.TotalTokens)
		}
	}
	return nil
}

// deleteConversation deletes the conversation of a run.
func deleteConversation(ctx context.Context, client *ratelimited.Client, result *runner.Result) error {
	if result.ConversationID == "" {
		return nil
	}
	return client.Beta.Conversations.Delete(context.WithoutCancel(ctx), result.ConversationID)
}

// script holds the responses of the emulator's model, by the results that it receives. The first call
// of price has an invalid class.
var script = emulator.NewScript(
	emulator.Calls(
		emulator.Call{Name: "weather", Arguments: `{"city":"Lyon"}`},
		emulator.Call{Name: "trains", Arguments: `{"from":"Paris","to":"Lyon"}`},
	),
	emulator.Rule{Function: "trains", Result: regexp.MustCompile("TGV 6607"), Step: emulator.Calls(emulator.Call{Name: "price", Arguments: `{"train":"TGV 6607","class":3}`})},
	emulator.Rule{Function: "price", Result: regexp.MustCompile(`"euros":45`), Step: emulator.Say("It will be sunny, 24 °C. TGV 6607 has seats for 45 euros.")},
	emulator.Rule{Function: "price", Step: emulator.Calls(emulator.Call{Name: "price", Arguments: `{"train":"TGV 6607","class":2}`})},
)
