// Command mcp gives a model the tools of a Model Context Protocol server. By default, it starts
// itself as the server in a child process. An argument list selects another server:
//
//	go -C examples/mcp run .
//	go -C examples/mcp run . npx -y @modelcontextprotocol/server-everything
//
// If MISTRAL_API_KEY is set, it uses the real API. Otherwise it starts the
// emulator and does not need a key or a network.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/examples/internal/setup"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner/mcptools"
)

func main() {
	serve := flag.Bool("serve", false, "run as the MCP server on standard input and output")
	setup.Main("mcp", func(ctx context.Context) error {
		if *serve {
			return newLibrary().Run(ctx, &mcp.StdioTransport{})
		}
		return run(ctx, flag.Args())
	})
}

// newLibrary returns an MCP server that finds and lends books.
func newLibrary() *mcp.Server {
	type query struct {
		Topic string `json:"topic" jsonschema:"topic of the book"`
	}
	type title struct {
		Title string `json:"title" jsonschema:"title of a book from the result of find"`
	}
	server := mcp.NewServer(&mcp.Implementation{Name: "library", Version: "1"}, nil)
	text := func(text string) *mcp.CallToolResult {
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}
	}
	mcp.AddTool(server, &mcp.Tool{Name: "find", Description: "Finds a book about a topic."}, func(_ context.Context, _ *mcp.CallToolRequest, in query) (*mcp.CallToolResult, any, error) {
		if in.Topic != "ships" {
			return nil, nil, errors.New("the library only has books about ships")
		}
		return text("Moby-Dick"), nil, nil
	})
	mcp.AddTool(server, &mcp.Tool{Name: "lend", Description: "Lends a book."}, func(_ context.Context, _ *mcp.CallToolRequest, in title) (*mcp.CallToolResult, any, error) {
		return text("lent: " + in.Title), nil, nil
	})
	return server
}

func run(ctx context.Context, command []string) (err error) {
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
	if len(command) == 0 {
		program, err := os.Executable()
		if err != nil {
			return err
		}
		command = []string{program, "-serve"}
	}
	transport := &mcp.CommandTransport{Command: exec.CommandContext(ctx, command[0], command[1:]...)} //nolint:gosec // the user's command, or this program
	session, err := mcp.NewClient(&mcp.Implementation{Name: "example", Version: "1"}, nil).Connect(ctx, transport, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, session.Close()) }()
	tools, err := mcptools.Tools(ctx, session, mcptools.Prefix("library_"), mcptools.Options(approval))
	if err != nil {
		return err
	}
	return lend(ctx, client, tools)
}

// approval requires approval for all tools except find, which only reads. It decides by the
// name, because the annotations of a server's tools are only hints.
func approval(tool *mcp.Tool) []runner.ToolOption {
	if tool.Name == "find" {
		return nil
	}
	return []runner.ToolOption{runner.NeedsApproval(nil)}
}

func lend(ctx context.Context, client *ratelimited.Client, tools []*runner.Tool) error {
	r, err := runner.New(client, runner.Config{
		Tools:  tools,
		Limits: runner.Limits{Turns: 8, Tokens: 20_000},
		Decide: func(_ context.Context, pending []runner.Pending) (answers []runner.Answer, err error) {
			for _, p := range pending { // a real program asks a person here
				fmt.Println("approved:", p.Entry.Value().(generated.FunctionCallEntry).Name)
				answers = append(answers, runner.Allow(p.ID))
			}
			return answers, nil
		},
	})
	if err != nil {
		return err
	}
	result, err := r.Start(ctx, generated.StartConversationRequest{
		Model: "mistral-small-latest", Inputs: ratelimited.Text("Lend me a book about ships."),
	})
	if err != nil {
		return err
	}
	for _, turn := range result.Turns {
		for _, call := range turn.Calls {
			fmt.Printf("turn %d: %s: %s\n", turn.Number, call.Name, call.Result)
		}
	}
	fmt.Println("model:", result.OutputText())
	return client.Beta.Conversations.Delete(ctx, result.ConversationID)
}

// script holds the responses of the emulator's model.
var script = emulator.NewScript(
	emulator.Calls(emulator.Call{Name: "library_find", Arguments: `{"topic":"whales"}`}),
	emulator.Calls(emulator.Call{Name: "library_find", Arguments: `{"topic":"ships"}`}),
	emulator.Calls(emulator.Call{Name: "library_lend", Arguments: `{"title":"Moby-Dick"}`}),
	emulator.Say("Here is Moby-Dick."),
)
