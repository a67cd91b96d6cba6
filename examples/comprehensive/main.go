// Command comprehensive tries what the Conversations API can do, checks what comes back,
// and prints a report: PASS or FAIL, and the tokens of each. It exits with status 1 if
// one fails.
//
//	go run ./examples/comprehensive
//
// With MISTRAL_API_KEY set it talks to the real API. Without, it starts the
// emulator and needs no key and no network.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log"
	"os"
	"os/signal"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

const model = "mistral-medium-latest" // one that can search the web

func main() {
	log.SetFlags(0)
	flag.Parse() // there are none: -help says so, and asks nobody anything
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	err := run(ctx)
	stop()
	if err != nil {
		log.Fatalln("comprehensive:", err)
	}
}

func run(ctx context.Context) error {
	config := ratelimited.Config{RequestsPerSecond: 1.2, TokensPerMinute: 100_000}
	if os.Getenv("MISTRAL_API_KEY") != "" {
		fmt.Println("Talking to the real API: MISTRAL_API_KEY is set.")
	} else {
		server, err := emulator.Start(emulator.Config{
			RequestsPerSecond: config.RequestsPerSecond, TokensPerMinute: config.TokensPerMinute, Model: obedient,
		})
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
	return report(ctx, client.Beta.Conversations, os.Stdout)
}

// A trial is a conversation of one call, or two, and what its last reply must be.
type trial struct {
	name  string
	start generated.StartConversationRequest
	next  string // the second message of the user; none if empty
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
			return fmt.Errorf("the reply has %d tokens, want 1 to 12", n)
		}
		return nil
	},
}, {
	name:  "multi-turn",
	start: generated.StartConversationRequest{Inputs: ratelimited.Text("My name is Ada.")},
	next:  "What is my name?",
	check: func(response *generated.ConversationResponse) error {
		if text := ratelimited.OutputText(response); !strings.Contains(text, "Ada") {
			return fmt.Errorf("the reply is %q, without the name Ada", text)
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
		return errors.New("the web was not searched")
	},
}}

func exactly(want string) func(*generated.ConversationResponse) error {
	return func(response *generated.ConversationResponse) error {
		if text := strings.TrimSpace(ratelimited.OutputText(response)); text != want {
			return fmt.Errorf("the reply is %q, want %q", text, want)
		}
		return nil
	}
}

// report runs the trials and prints what came of each. The error is that some failed.
func report(ctx context.Context, conversations *ratelimited.Conversations, out io.Writer) error {
	const row = "%-16s %-7s %7v %11v %7v\n"
	fmt.Fprintf(out, "\n"+row, "", "", "prompt", "completion", "total")
	var sum generated.ConversationUsageInfo
	var failures []error
	for _, t := range trials {
		used, err := t.run(ctx, conversations)
		verdict := "PASS"
		if err != nil {
			verdict = "FAIL"
			failures = append(failures, fmt.Errorf("%s: %w", t.name, err))
		}
		fmt.Fprintf(out, row, t.name, verdict, used.PromptTokens, used.CompletionTokens, used.TotalTokens)
		add(&sum, used)
	}
	fmt.Fprintf(out, row, "all", fmt.Sprintf("%d of %d", len(trials)-len(failures), len(trials)), sum.PromptTokens, sum.CompletionTokens, sum.TotalTokens)
	return errors.Join(failures...)
}

// add adds up what calls used. The total has the tokens of connectors, such as what a web
// search found, too.
func add(sum *generated.ConversationUsageInfo, used generated.ConversationUsageInfo) {
	sum.PromptTokens += used.PromptTokens
	sum.CompletionTokens += used.CompletionTokens
	sum.TotalTokens += used.TotalTokens
}

// run carries out a trial, and leaves nothing on the server.
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

// obedient is the emulator's model in this example: its usual one, which cares for no
// instructions, but that those which there are take the place of the question.
func obedient(ctx context.Context, p emulator.Prompt) emulator.Reply {
	if p.Instructions != "" {
		p.Inputs = []generated.Entry{ratelimited.User(p.Instructions)}
	}
	return emulator.DefaultModel(ctx, p)
}
