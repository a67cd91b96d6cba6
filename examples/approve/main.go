// Command approve lets a model book a train after a person has approved the booking. The first
// process writes the pending calls to a file and ends. Another process continues from the file
// at any later time.
//
//	go run ./examples/approve                 # runs -ask and then -allow
//	go run ./examples/approve -ask trip.json  # starts the conversation and writes the file
//	go run ./examples/approve -allow trip.json
//	go run ./examples/approve -deny "too expensive" trip.json
//
// If MISTRAL_API_KEY is set, it uses the real API. Otherwise it starts the
// emulator and does not need a key or a network. The single steps need
// the real API, because the emulator does not store conversations after it ends.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/examples/internal/setup"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner"
)

// emulatorVariable holds the URL of the emulator for the child processes.
const emulatorVariable = "APPROVE_EMULATOR_URL"

func main() {
	ask := flag.Bool("ask", false, "start the conversation and write the pending calls to the file")
	allow := flag.Bool("allow", false, "allow the pending calls in the file and continue")
	deny := flag.String("deny", "", "deny the pending calls in the file for this `reason` and continue")
	setup.Main("approve", func(ctx context.Context) error {
		switch file := flag.Arg(0); {
		case !*ask && !*allow && *deny == "":
			return demonstrate(ctx)
		case file == "":
			return errors.New("no file: name the file that -ask writes and that -allow and -deny read")
		case *ask:
			return start(ctx, file)
		default:
			return resume(ctx, file, *allow, *deny)
		}
	})
}

// demonstrate runs the program twice, first with -ask and then with -allow.
func demonstrate(ctx context.Context) (err error) {
	var config ratelimited.Config
	stop, err := setup.Connect(&config, emulator.Config{Model: script.Reply})
	if err != nil {
		return err
	}
	defer stop()
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
		command := exec.CommandContext(ctx, program, step, file) //nolint:gosec // starts this program
		command.Env = append(os.Environ(), emulatorVariable+"="+config.BaseURL)
		command.Stdout, command.Stderr = os.Stdout, os.Stderr
		if err := command.Run(); err != nil {
			return err
		}
	}
	return nil
}

// start starts the conversation and writes the calls that need approval to a file.
func start(ctx context.Context, file string) error {
	agent, client, err := newAgent()
	if err != nil {
		return err
	}
	defer client.Close()
	_, err = agent.Start(ctx, generated.StartConversationRequest{
		Model: "mistral-small-latest", Inputs: ratelimited.Text("Book me the cheapest train from Paris to Lyon tomorrow."),
	})
	var pending *runner.PendingError
	if !errors.As(err, &pending) {
		return err // nil if the model did not call book
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
	// Anyone who can write this file can approve calls, so only the owner may access it.
	return os.WriteFile(file, state, 0o600)
}

// resume continues the conversation from the file.
func resume(ctx context.Context, file string, allow bool, reason string) error {
	text, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	state := new(runner.State)
	if err := json.Unmarshal(text, state); err != nil {
		return err
	}
	agent, client, err := newAgent()
	if err != nil {
		return err
	}
	defer client.Close()
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
	fmt.Printf("%d turns, %d function calls, %d tokens in both processes\n", len(result.Turns), result.Calls, result.Usage.TotalTokens)
	return client.Beta.Conversations.Delete(ctx, result.ConversationID)
}

// newAgent returns a runner with the tools, which are the same in each process, and its client.
func newAgent() (*runner.Runner, *ratelimited.Client, error) {
	type trip struct {
		From string `json:"from" jsonschema:"city of departure"`
		To   string `json:"to" jsonschema:"city of arrival"`
	}
	type ticket struct {
		Train string `json:"train" jsonschema:"train number from the result of trains"`
	}
	trains, err1 := runner.NewTool("trains", "Returns tomorrow's trains between two cities, with prices.", func(context.Context, trip) (string, error) {
		return "TGV 6607: 45 euros; TGV 6611: 75 euros", nil
	})
	book, err2 := runner.NewTool("book", "Books a seat and charges the card.", func(_ context.Context, in ticket) (string, error) {
		fmt.Println("booked:", in.Train)
		return "seat 12 in " + in.Train, nil
	}, runner.NeedsApproval(nil))
	config := ratelimited.Config{RequestsPerSecond: 1.2, TokensPerMinute: 100_000}
	if url := os.Getenv(emulatorVariable); url != "" {
		config.BaseURL, config.APIKey = url, "no-key-needed"
	}
	client, err3 := ratelimited.New(config)
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, nil, err
	}
	agent, err := runner.New(client, runner.Config{Tools: []*runner.Tool{trains, book}, Limits: runner.Limits{Turns: 8}})
	return agent, client, err
}

// script holds the responses of the emulator's model, by the results that it receives.
var script = emulator.NewScript(
	emulator.Calls(emulator.Call{Name: "trains", Arguments: `{"from":"Paris","to":"Lyon"}`}),
	emulator.Rule{Function: "trains", Result: regexp.MustCompile("TGV 6607"), Step: emulator.Calls(emulator.Call{Name: "book", Arguments: `{"train":"TGV 6607"}`})},
	emulator.Rule{Function: "book", Result: regexp.MustCompile("^seat 12 in TGV 6607$"), Step: emulator.Say("Done: seat 12 in TGV 6607.")},
	emulator.Rule{Function: "book", Step: emulator.Say("I have not booked a seat.")},
)
