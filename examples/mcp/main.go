// Command mcp gives a model the tools of a server of the Model Context Protocol. The server is
// this program, too, started as a process of its own; any other does:
//
//	go -C examples/mcp run .
//	go -C examples/mcp run . npx -y @modelcontextprotocol/server-everything
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
	"os/exec"
	"os/signal"

	"github.com/modelcontextprotocol/go-sdk/mcp"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner/mcptools"
)

func main() {
	log.SetFlags(0)
	serve := flag.Bool("serve", false, "be the server, over standard input and output")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	var err error
	if *serve {
		err = library().Run(ctx, &mcp.StdioTransport{})
	} else {
		err = run(ctx, flag.Args())
	}
	stop()
	if err != nil {
		log.Fatalln("mcp:", err)
	}
}

// library is the server: it knows books, and lends them.
func library() *mcp.Server {
	type query struct {
		Topic string `json:"topic" jsonschema:"what the book is about"`
	}
	type title struct {
		Title string `json:"title" jsonschema:"title of a book that find has returned"`
	}
	server := mcp.NewServer(&mcp.Implementation{Name: "library", Version: "1"}, nil)
	text := func(text string) *mcp.CallToolResult {
		return &mcp.CallToolResult{Content: []mcp.Content{&mcp.TextContent{Text: text}}}
	}
	mcp.AddTool(server, &mcp.Tool{Name: "find", Description: "Finds a book about a topic."}, func(_ context.Context, _ *mcp.CallToolRequest, in query) (*mcp.CallToolResult, any, error) {
		if in.Topic != "ships" {
			return nil, nil, errors.New("there are books about ships alone")
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
	if len(command) == 0 {
		program, err := os.Executable()
		if err != nil {
			return err
		}
		command = []string{program, "-serve"}
	}
	transport := &mcp.CommandTransport{Command: exec.CommandContext(ctx, command[0], command[1:]...)} //nolint:gosec // What the user names, or this program.
	session, err := mcp.NewClient(&mcp.Implementation{Name: "example", Version: "1"}, nil).Connect(ctx, transport, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, session.Close()) }()
	tools, err := mcptools.Tools(ctx, session, mcptools.Prefix("library_"), mcptools.Options(approval))
	if err != nil {
		return err
	}
	return ask(ctx, client, tools)
}

// approval lets the tool that only reads run by itself. What a server says of its tools is a
// hint, so that the names are the program's own.
func approval(tool *mcp.Tool) []runner.ToolOption {
	if tool.Name == "find" {
		return nil
	}
	return []runner.ToolOption{runner.NeedsApproval(nil)}
}

func ask(ctx context.Context, client *ratelimited.Client, tools []*runner.Tool) error {
	r, err := runner.New(client, runner.Config{
		Tools:  tools,
		Limits: runner.Limits{Turns: 8, Tokens: 20_000},
		Decide: func(_ context.Context, pending []runner.Pending) (answers []runner.Answer, err error) {
			for _, p := range pending { // a person would be asked here
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

// model is what the emulator's model does with the tools that it is given.
func model(_ context.Context, p emulator.Prompt) emulator.Reply {
	call := func(name, arguments string) emulator.Reply {
		return emulator.Reply{Entries: []generated.Entry{
			generated.NewEntry(generated.FunctionCallEntry{Name: name, Arguments: generated.FunctionCallEntryArguments(arguments)}),
		}}
	}
	switch p.Turn {
	case 1:
		return call("library_find", `{"topic":"whales"}`)
	case 2:
		return call("library_find", `{"topic":"ships"}`)
	case 3:
		return call("library_lend", `{"title":"Moby-Dick"}`)
	}
	return emulator.Reply{Text: "Here is Moby-Dick."}
}
