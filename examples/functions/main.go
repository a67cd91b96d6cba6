// Command functions lets the model call two Go functions, as often as it needs to, and
// prints each call and what came of it.
//
//	go run ./examples/functions
//
// With MISTRAL_API_KEY set it talks to the real API. Without, it starts the
// emulator and needs no key and no network.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/signal"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// What the model may call: it reads names, descriptions and schemas, and calls by them.
var tools = []generated.Tool{
	generated.NewTool(generated.FunctionTool{Function: generated.Function{
		Name:        "exchange_rate",
		Description: "Returns how much one unit of a currency is worth in another.",
		Parameters: map[string]any{
			"type": "object",
			"properties": map[string]any{
				"from": map[string]any{"type": "string", "description": "a currency's code, such as EUR"},
				"to":   map[string]any{"type": "string", "description": "a currency's code, such as CHF"},
			},
			"required": []string{"from", "to"},
		},
	}}),
	generated.NewTool(generated.FunctionTool{Function: generated.Function{
		Name:        "multiply",
		Description: "Returns the product of two numbers, exactly.",
		Parameters: map[string]any{
			"type": "object",
			"properties": map[string]any{
				"a": map[string]any{"type": "number"},
				"b": map[string]any{"type": "number"},
			},
			"required": []string{"a", "b"},
		},
	}}),
}

func exchangeRate(arguments struct{ From, To string }) (float64, error) {
	rate, ok := map[string]float64{"EUR/CHF": 0.94, "EUR/USD": 1.16, "USD/EUR": 0.86}[arguments.From+"/"+arguments.To]
	if !ok {
		return 0, fmt.Errorf("there is no rate of %s in %s", arguments.From, arguments.To)
	}
	return rate, nil
}

func multiply(arguments struct{ A, B float64 }) (float64, error) {
	return arguments.A * arguments.B, nil
}

// call carries out a call of the model's. An error is a result too: the model reads it,
// and tries something else.
func call(f generated.FunctionCallEntry) string {
	var result float64
	var err error
	switch f.Name {
	case "exchange_rate":
		result, err = decoded(f, exchangeRate)
	case "multiply":
		result, err = decoded(f, multiply)
	default:
		err = errors.New("there is no such function")
	}
	if err != nil {
		return "error: " + err.Error()
	}
	return fmt.Sprint(result)
}

// decoded calls a function with its arguments, which come as JSON.
func decoded[In any](f generated.FunctionCallEntry, function func(In) (float64, error)) (float64, error) {
	var arguments In
	if err := json.Unmarshal([]byte(f.Arguments), &arguments); err != nil {
		return 0, err
	}
	return function(arguments)
}

func main() {
	log.SetFlags(0)
	flag.Parse() // there are none: -help says so, and asks nobody anything
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		log.Fatalln("functions:", err)
	}
}

func run(ctx context.Context) (err error) {
	config := ratelimited.Config{RequestsPerSecond: 1.2, TokensPerMinute: 100_000}
	if os.Getenv("MISTRAL_API_KEY") != "" {
		fmt.Println("Talking to the real API: MISTRAL_API_KEY is set.")
	} else {
		model, err := emulator.ParseScript([]byte(script))
		if err != nil {
			return err
		}
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
	conversations := client.Beta.Conversations

	const question = "How many Swiss francs are 250 euros?"
	fmt.Println("user: ", question)
	response, err := conversations.Start(ctx, generated.StartConversationRequest{
		Model: "mistral-small-latest", Inputs: ratelimited.Text(question), Tools: tools,
		Instructions: "Look up exchange rates and multiply with the functions only.",
	})
	if err != nil {
		return err
	}
	id := response.ConversationID
	defer func() { err = errors.Join(err, conversations.Delete(context.WithoutCancel(ctx), id)) }() // leave nothing on the server

	// The loop: as long as the model calls functions, it gets their results. A bound keeps
	// one that never stops from using up the quota.
	const mostRounds = 5
	for range mostRounds {
		calls := ratelimited.FunctionCalls(response)
		if len(calls) == 0 {
			fmt.Println("model:", ratelimited.OutputText(response))
			return nil
		}
		var results []generated.Entry
		for _, f := range calls {
			result := call(f)
			fmt.Printf("call:  %s(%s) = %s\n", f.Name, f.Arguments, result)
			results = append(results, ratelimited.FunctionResult(f.ToolCallID, result))
		}
		response, err = conversations.Append(ctx, id, generated.AppendConversationRequest{Inputs: ratelimited.Entries(results...)})
		if err != nil {
			return err
		}
	}
	return fmt.Errorf("the model still calls functions after %d rounds", mostRounds)
}

// script is what the emulator's model does: it asks for the rate, multiplies by it, and
// says what came of that. It goes on only if the functions return what they should.
const script = `
rules:
  - match: Swiss francs
    call: {name: exchange_rate, arguments: {from: EUR, to: CHF}}
  - result: ^0\.94$
    call: {name: multiply, arguments: {a: 250, b: 0.94}}
  - result: ^235$
    reply: 250 euros are 235 Swiss francs.
`
