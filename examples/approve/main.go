// Command approve lets a model book a train, which a person has to approve. The first run of the
// program writes what is pending to a file and ends; another one, at any later time, goes on
// from there.
//
//	go run ./examples/approve                 # both, one after the other
//	go run ./examples/approve -ask trip.json  # asks, and writes the file
//	go run ./examples/approve -allow trip.json
//	go run ./examples/approve -deny "too dear" trip.json
//
// With MISTRAL_API_KEY set it talks to the real API. Without, it starts the
// emulator and needs no key and no network. The emulator forgets conversations when it ends, so
// that the single steps need the real API.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner"
)

// emulatorURL has the address of the emulator, for the processes that the program starts.
const emulatorURL = "APPROVE_EMULATOR_URL"

func main() {
	log.SetFlags(0)
	ask := flag.Bool("ask", false, "ask the model, and write what is pending to the file")
	allow := flag.Bool("allow", false, "allow what is pending in the file, and go on")
	deny := flag.String("deny", "", "deny what is pending in the file for this `reason`, and go on")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	var err error
	switch file := flag.Arg(0); {
	case !*ask && !*allow && *deny == "":
		err = demonstrate(ctx)
	case file == "":
		err = errors.New("which file? -ask writes it, -allow and -deny read it")
	case *ask:
		err = question(ctx, file)
	default:
		err = answer(ctx, file, *allow, *deny)
	}
	stop()
	if err != nil {
		log.Fatalln("approve:", err)
	}
}

// demonstrate runs the program twice, as two people would at different times.
func demonstrate(ctx context.Context) (err error) {
	environment := os.Environ()
	if os.Getenv("MISTRAL_API_KEY") != "" {
		fmt.Println("Talking to the real API: MISTRAL_API_KEY is set.")
	} else {
		server, err := emulator.Start(emulator.Config{Model: model})
		if err != nil {
			return err
		}
		defer server.Close()
		environment = append(environment, emulatorURL+"="+server.URL())
		fmt.Println("Talking to the embedded emulator: MISTRAL_API_KEY is not set.")
	}
	folder, err := os.MkdirTemp("", "approve-")
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, os.RemoveAll(folder)) }()
	program, err := os.Executable()
	if err != nil {
		return err
	}
	file := filepath.Join(folder, "trip.json")
	for _, step := range []string{"-ask", "-allow"} {
		fmt.Println("$ approve", step, "trip.json")
		command := exec.CommandContext(ctx, program, step, file) //nolint:gosec // This program itself.
		command.Env, command.Stdout, command.Stderr = environment, os.Stdout, os.Stderr
		if err := command.Run(); err != nil {
			return err
		}
	}
	return nil
}

// question asks the model, and ends where a person is needed.
func question(ctx context.Context, file string) error {
	agent, _, done, err := connect()
	if err != nil {
		return err
	}
	defer done()
	_, err = agent.Start(ctx, generated.StartConversationRequest{
		Model: "mistral-small-latest", Inputs: ratelimited.Text("Book me the cheapest train from Paris to Lyon tomorrow."),
	})
	var pending *runner.PendingError
	if !errors.As(err, &pending) {
		return err // nil if the model has not booked anything
	}
	for _, p := range pending.Pending {
		if call, ok := p.Entry.Value().(generated.FunctionCallEntry); ok {
			fmt.Printf("to approve: %s(%s)\n", call.Name, call.Arguments)
		}
	}
	state, err := json.MarshalIndent(pending.State, "", "\t")
	if err != nil {
		return err
	}
	// Whoever can write to this file can approve: keep it where nobody else can.
	return os.WriteFile(file, state, 0o600)
}

// answer goes on from the file.
func answer(ctx context.Context, file string, allow bool, reason string) (err error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	state := new(runner.State)
	if err := json.Unmarshal(text, state); err != nil {
		return err
	}
	agent, client, done, err := connect()
	if err != nil {
		return err
	}
	defer done()
	var answers []runner.Answer
	for _, p := range state.Pending() {
		if allow {
			answers = append(answers, runner.Allow(p.ID))
			continue
		}
		answers = append(answers, runner.Deny(p.ID, reason))
	}
	result, err := agent.Resume(ctx, state, answers...)
	if err != nil {
		return err
	}
	fmt.Println("model:", result.OutputText())
	fmt.Printf("%d turns, %d calls of functions, %d tokens, in both runs of the program\n", len(result.Turns), result.Calls, result.Usage.TotalTokens)
	return client.Beta.Conversations.Delete(ctx, result.ConversationID)
}

// connect returns the runner: each process makes it of the same tools.
func connect() (agent *runner.Runner, client *ratelimited.Client, done func(), err error) {
	type trip struct {
		From string `json:"from" jsonschema:"city of departure"`
		To   string `json:"to" jsonschema:"city of arrival"`
	}
	type ticket struct {
		Train string `json:"train" jsonschema:"number of a train that trains has returned"`
	}
	trains, err1 := runner.NewTool("trains", "Returns tomorrow's trains between two cities, with prices.", func(context.Context, trip) (string, error) {
		return "TGV 6607: 45 euros; TGV 6611: 75 euros", nil
	})
	book, err2 := runner.NewTool("book", "Books a seat, and charges the card.", func(_ context.Context, in ticket) (string, error) {
		fmt.Println("booked:", in.Train)
		return "seat 12 in " + in.Train, nil
	}, runner.NeedsApproval(nil))
	config := ratelimited.Config{RequestsPerSecond: 1.2, TokensPerMinute: 100_000}
	if url := os.Getenv(emulatorURL); url != "" {
		config.BaseURL, config.APIKey = url, "no-key-needed"
	}
	client, err3 := ratelimited.New(config)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, nil, nil, err
	}
	agent, err = runner.New(client, runner.Config{Tools: []*runner.Tool{trains, book}, Limits: runner.Limits{Turns: 8}})
	return agent, client, client.Close, err
}

// model is what the emulator's model does: it looks for trains, books one, and says so.
func model(_ context.Context, p emulator.Prompt) emulator.Reply {
	call := func(name, arguments string) emulator.Reply {
		return emulator.Reply{Entries: []generated.Entry{
			generated.NewEntry(generated.FunctionCallEntry{Name: name, Arguments: generated.FunctionCallEntryArguments(arguments)}),
		}}
	}
	switch p.Turn {
	case 1:
		return call("trains", `{"from":"Paris","to":"Lyon"}`)
	case 2:
		return call("book", `{"train":"TGV 6607"}`)
	}
	result, _ := p.Inputs[len(p.Inputs)-1].Value().(generated.FunctionResultEntry)
	return emulator.Reply{Text: "Done: " + result.Result + "."}
}
