// Command comprehensive tests the features of the Conversations API and prints a report with
// PASS or FAIL and the token usage of each test. It exits with status 1 if a test fails.
//
//	go run ./examples/comprehensive
//
// If MISTRAL_API_KEY is set, it uses the real API. Otherwise it starts the
// emulator and does not need a key or a network.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/examples/internal/setup"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

const model = "mistral-medium-latest" // must support web search

func main() { setup.Main("comprehensive", run) }

func run(ctx context.Context) error {
	config := ratelimited.Config{RequestsPerSecond: 1.2, TokensPerMinute: 100_000}
	stop, err := setup.Connect(&config, emulator.Config{
		RequestsPerSecond: config.RequestsPerSecond, TokensPerMinute: config.TokensPerMinute, Model: emulatedModel,
	})
	if err != nil {
		return err
	}
	defer stop()
	client, err := ratelimited.New(config)
	if err != nil {
		return err
	}
	defer client.Close()
	return report(ctx, client.Beta.Conversations, os.Stdout)
}

// A trial is a conversation of one or two calls, and the check of its last response.
type trial struct {
	name  string
	start generated.StartConversationRequest
	next  string // the second message of the user; optional
	check func(*generated.ConversationResponse) error
}

var trials = []trial{{
	name:  "basic",
	start: generated.StartConversationRequest{Inputs: ratelimited.Text("What is 2+2? Reply with the number alone.")},
	check: exactly("4"),
}, {
	name: "instructions",
	start: generated.StartConversationRequest{
		Inputs: ratelimited.Text("Are we ready to sail?"), Instructions: "Reply with exactly: Aye, captain!",
	},
	check: exactly("Aye, captain!"),
}, {
	name: "completion_args",
	start: generated.StartConversationRequest{
		Inputs: ratelimited.Text("Count to 100."),
		CompletionArgs: generated.CompletionArgs{
			Temperature: ratelimited.Ptr(0.0), RandomSeed: ratelimited.Ptr(7), MaxTokens: ratelimited.Ptr(12),
		},
	},
	check: func(response *generated.ConversationResponse) error {
		if n := response.Usage.CompletionTokens; n < 1 || n > 12 {
			return fmt.Errorf("the response has %d tokens, want 1 to 12", n)
		}
		return nil
	},
}, {
	name:  "multi-turn",
	start: generated.StartConversationRequest{Inputs: ratelimited.Text("My name is Ada.")},
	next:  "What is my name?",
	check: func(response *generated.ConversationResponse) error {
		if text := ratelimited.OutputText(response); !strings.Contains(text, "Ada") {
			return fmt.Errorf("the response is %q, want the name Ada in it", text)
		}
		return nil
	},
}, {
	name: "web_search",
	start: generated.StartConversationRequest{
		Inputs: ratelimited.Text("Search the web for the latest release of Go."),
		Tools:  []generated.Tool{generated.NewTool(generated.WebSearchTool{})},
	},
	check: func(response *generated.ConversationResponse) error {
		for _, output := range response.Outputs {
			if run, ok := output.Value().(generated.ToolExecutionEntry); ok && run.Name == string(generated.ToolTypeWebSearch) {
				return nil
			}
		}
		return errors.New("the model did not search the web")
	},
}}

func exactly(want string) func(*generated.ConversationResponse) error {
	return func(response *generated.ConversationResponse) error {
		if text := strings.TrimSpace(ratelimited.OutputText(response)); text != want {
			return fmt.Errorf("the response is %q, want %q", text, want)
		}
		return nil
	}
}

// report runs the trials and prints their results. Its error joins the errors of the trials.
func report(ctx context.Context, conversations *ratelimited.Conversations, out io.Writer) error {
	const row = "%-16s %-7s %7v %11v %7v\n"
	fmt.Fprintf(out, "\n"+row, "", "", "prompt", "completion", "total")
	var sum generated.ConversationUsageInfo
	var failures []error
	for _, t := range trials {
		used, err := t.run(ctx, conversations)
		status := "PASS"
		if err != nil {
			status = "FAIL"
			failures = append(failures, fmt.Errorf("%s: %w", t.name, err))
		}
		fmt.Fprintf(out, row, t.name, status, used.PromptTokens, used.CompletionTokens, used.TotalTokens)
		add(&sum, used)
	}
	fmt.Fprintf(out, row, "all", fmt.Sprintf("%d of %d", len(trials)-len(failures), len(trials)), sum.PromptTokens, sum.CompletionTokens, sum.TotalTokens)
	return errors.Join(failures...)
}

// add adds the token usage of a call to a sum. The total includes tokens of connectors, such as
// the results of a web search.
func add(sum *generated.ConversationUsageInfo, used generated.ConversationUsageInfo) {
	sum.PromptTokens += used.PromptTokens
	sum.CompletionTokens += used.CompletionTokens
	sum.TotalTokens += used.TotalTokens
}

// run runs a trial and deletes its conversation.
func (t trial) run(ctx context.Context, conversations *ratelimited.Conversations) (used generated.ConversationUsageInfo, err error) {
	t.start.Model = model
	t.start.Store = ratelimited.Ptr(t.next != "")
	response, err := conversations.Start(ctx, t.start)
	if err != nil {
		return used, err
	}
	add(&used, response.Usage)
	if t.next != "" {
		id := response.ConversationID
		defer func() { err = errors.Join(err, conversations.Delete(context.WithoutCancel(ctx), id)) }()
		response, err = conversations.Append(ctx, id, generated.AppendConversationRequest{Inputs: ratelimited.Text(t.next)})
		if err != nil {
			return used, err
		}
		add(&used, response.Usage)
	}
	return used, t.check(response)
}

// emulatedModel is the emulator's default model, which ignores instructions. Here the
// instructions, if set, replace the question.
func emulatedModel(ctx context.Context, p emulator.Prompt) emulator.Reply {
	if p.Instructions != "" {
		p.Inputs = []generated.Entry{ratelimited.User(p.Instructions)}
	}
	return emulator.DefaultModel(ctx, p)
}
