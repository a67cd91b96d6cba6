package runner_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner"
)

// connect returns a client of an emulator whose model returns these replies in order.
func connect(replies ...emulator.Reply) (client *ratelimited.Client, disconnect func()) {
	server, err := emulator.Start(emulator.Config{Model: replySequence(replies...)})
	if err != nil {
		log.Fatal(err)
	}
	client, err = ratelimited.New(ratelimited.Config{APIKey: "any", BaseURL: server.URL(), RequestsPerSecond: 1000, BareBuckets: true})
	if err != nil {
		log.Fatal(err)
	}
	return client, func() {
		client.Close()
		_ = server.Close()
	}
}

// A run with three functions, and a loop over its events.
func Example() {
	client, disconnect := connect(calls("now", "{}", "add", `{"a":2,"b":3}`), calls("greet", `{"name":"Ada"}`), say("It is noon, 2+3 is 5. Hello, Ada!"))
	defer disconnect()

	now, err1 := runner.NewTool("now", "Returns the time.", func(context.Context, struct{}) (string, error) {
		return "12:00", nil
	})
	add, err2 := runner.NewTool("add", "Adds two numbers.", func(_ context.Context, in struct {
		A float64 `json:"a"`
		B float64 `json:"b"`
	}) (float64, error) {
		return in.A + in.B, nil
	}, runner.Sequential())
	greet, err3 := runner.NewTool("greet", "Greets a person.", func(_ context.Context, in struct {
		Name string `json:"name" jsonschema:"first name"`
	}) (string, error) {
		return "Hello, " + in.Name + "!", nil
	})
	r, err4 := runner.New(client, runner.Config{Tools: []*runner.Tool{now, add, greet}})
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		log.Fatal(err)
	}
	request := generated.StartConversationRequest{Model: "mistral-small-latest", Inputs: ratelimited.Text("What time is it, what is 2+3, and greet Ada.")}
	for event, err := range r.StartStream(context.Background(), request).Events() {
		if err != nil {
			log.Fatal(err)
		}
		switch e := event.Value.(type) {
		case runner.ToolFinished:
			fmt.Println(e.Name, "returns", e.Result)
		case runner.Finished:
			fmt.Println(e.Result.OutputText())
		}
	}
	// Output:
	// now returns 12:00
	// add returns 5
	// greet returns Hello, Ada!
	// It is noon, 2+3 is 5. Hello, Ada!
}

// A model fills a struct, which is validated.
func ExampleStartAs() {
	client, disconnect := connect(say(`{"name":"pen","price":-1}`), say(`{"name":"pen","price":1.5}`))
	defer disconnect()
	r, err := runner.New(client, runner.Config{})
	if err != nil {
		log.Fatal(err)
	}

	type Item struct {
		Name  string  `json:"name" minLength:"1"`
		Price float64 `json:"price" minimum:"0" jsonschema:"in euros"`
	}
	request := generated.StartConversationRequest{Model: "mistral-small-latest", Inputs: ratelimited.Text("A pen is 1.50.")}
	item, result, err := runner.StartAs[Item](context.Background(), r, request)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(item.Name, item.Price, "after", len(result.Turns), "answers")
	// Output: pen 1.5 after 2 answers
}

// A function with undecoded arguments and an explicit schema.
func ExampleRawTool() {
	echo, err := runner.RawTool(generated.Function{
		Name: "echo", Description: "Returns its arguments.", Parameters: `{"type":"object","properties":{"n":{"type":"integer","minimum":1}},"required":["n"]}`,
	}, func(_ context.Context, arguments json.RawMessage) (string, error) {
		return string(arguments), nil
	})
	if err != nil {
		log.Fatal(err)
	}
	client, disconnect := connect(calls("echo", `{"n":0}`), calls("echo", `{"n":1}`), say("done"))
	defer disconnect()
	r, err := runner.New(client, runner.Config{Tools: []*runner.Tool{echo}})
	if err != nil {
		log.Fatal(err)
	}
	result, err := r.Start(context.Background(), generated.StartConversationRequest{Model: "mistral-small-latest", Inputs: ratelimited.Text("Echo.")})
	if err != nil {
		log.Fatal(err)
	}
	for _, turn := range result.Turns {
		for _, call := range turn.Calls {
			fmt.Println(call.Status, call.Result)
		}
	}
	// Output:
	// failed The arguments are not valid:
	// - /n: must be at least 1, got 0
	// done {"n":1}
}

// The model receives the text of an error, and the run reaches a limit.
func ExampleExplain() {
	book, err := runner.NewTool("book", "Books a seat.", func(_ context.Context, in struct {
		Seat int `json:"seat"`
	}) (string, error) {
		if in.Seat > 40 {
			return "", runner.Explain("There are seats 1 to 40.", errors.New("no row in table seats"))
		}
		return "booked", nil
	})
	if err != nil {
		log.Fatal(err)
	}
	client, disconnect := connect(calls("book", `{"seat":41}`))
	defer disconnect()
	r, err := runner.New(client, runner.Config{Tools: []*runner.Tool{book}, Limits: runner.Limits{Turns: 2}})
	if err != nil {
		log.Fatal(err)
	}
	_, err = r.Start(context.Background(), generated.StartConversationRequest{Model: "mistral-small-latest", Inputs: ratelimited.Text("Seat 41, please.")})
	fmt.Println(err, errors.Is(err, runner.ErrLimit))
	fmt.Println(runner.ResultOf(err).Turns[0].Calls[0].Result)
	// Output:
	// runner: limit reached: turns: 2 of 2 true
	// There are seats 1 to 40.
}

// A call that needs a person's approval ends the run. Any process can resume it from its state.
func ExampleRunner_Resume() {
	client, disconnect := connect(calls("pay#p1", `{"euros":45}`), say("Paid."))
	defer disconnect()

	pay, err := runner.NewTool("pay", "Pays an amount.", func(_ context.Context, in struct {
		Euros int `json:"euros" minimum:"1"`
	}) (string, error) {
		return fmt.Sprintf("%d euros are paid", in.Euros), nil
	}, runner.NeedsApproval(nil))
	if err != nil {
		log.Fatal(err)
	}
	r, err := runner.New(client, runner.Config{Tools: []*runner.Tool{pay}})
	if err != nil {
		log.Fatal(err)
	}
	ctx := context.Background()
	_, err = r.Start(ctx, generated.StartConversationRequest{Model: "mistral-small-latest", Inputs: ratelimited.Text("Pay the bill.")})
	text, failed := json.Marshal(runner.StateOf(err)) // store this until somebody decides
	if failed != nil {
		log.Fatal(failed)
	}
	fmt.Println(err)

	state := new(runner.State)
	if err := json.Unmarshal(text, state); err != nil {
		log.Fatal(err)
	}
	for _, p := range state.Pending() {
		fmt.Println(p.ID, p.Reason)
	}
	result, err := r.Resume(ctx, state, runner.AllowWith("p1", json.RawMessage(`{"euros":40}`)))
	if err != nil {
		log.Fatal(err)
	}
	fmt.Println(result.Turns[0].Calls[0].Result)
	fmt.Println(result.OutputText())
	// Output:
	// runner: pending: approval of "pay"
	// p1 approval
	// 40 euros are paid
	// Paid.
}
