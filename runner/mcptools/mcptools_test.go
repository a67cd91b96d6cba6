package mcptools_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/modelcontextprotocol/go-sdk/mcp"
	"go.uber.org/goleak"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulatortest"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner/mcptools"
)

// isServer is an environment variable that makes the test binary an MCP server on its standard
// input and output.
const isServer = "MCPTOOLS_TEST_SERVER"

func TestMain(m *testing.M) {
	if os.Getenv(isServer) != "" {
		if err := server().Run(context.Background(), &mcp.StdioTransport{}); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	goleak.VerifyTestMain(m)
}

type place struct {
	City string `json:"city"`
}

// server returns an MCP server with various tools, on pages of three.
func server() *mcp.Server {
	s := mcp.NewServer(&mcp.Implementation{Name: "travel", Version: "1"}, &mcp.ServerOptions{PageSize: 3})
	text := func(texts ...string) []mcp.Content {
		var list []mcp.Content
		for _, t := range texts {
			list = append(list, &mcp.TextContent{Text: t})
		}
		return list
	}
	mcp.AddTool(s, &mcp.Tool{Name: "weather", Description: "Weather in a city."}, func(_ context.Context, _ *mcp.CallToolRequest, in place) (*mcp.CallToolResult, any, error) {
		return &mcp.CallToolResult{Content: text("sunny", "in "+in.City)}, nil, nil
	})
	mcp.AddTool(s, &mcp.Tool{Name: "book.seat", Title: "Books a seat."}, func(context.Context, *mcp.CallToolRequest, place) (*mcp.CallToolResult, any, error) {
		return nil, nil, errors.New("no seats on Mondays")
	})
	mcp.AddTool(s, &mcp.Tool{Name: "picture", Description: "Draws a city."}, func(context.Context, *mcp.CallToolRequest, place) (*mcp.CallToolResult, any, error) {
		return &mcp.CallToolResult{Content: []mcp.Content{
			&mcp.TextContent{Text: "Here:"}, &mcp.ImageContent{MIMEType: "image/png", Data: []byte("12345")}, &mcp.AudioContent{MIMEType: "audio/wav", Data: []byte("1")},
			&mcp.ResourceLink{URI: "file:///a", Name: "a"}, &mcp.EmbeddedResource{Resource: &mcp.ResourceContents{URI: "file:///b", Text: "b"}},
		}}, nil, nil
	})
	s.AddTool(&mcp.Tool{Name: "measure", InputSchema: json.RawMessage(`{"type":"object","properties":{"n":{"type":"integer"}}}`)}, func(_ context.Context, request *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return &mcp.CallToolResult{StructuredContent: map[string]any{"got": string(request.Params.Arguments)}}, nil
	})
	s.AddTool(&mcp.Tool{Name: "wait", Description: "Waits.", InputSchema: json.RawMessage(`{"type":"object"}`)}, func(ctx context.Context, _ *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-time.After(2 * time.Second):
			return &mcp.CallToolResult{}, nil
		}
	})
	s.AddTool(&mcp.Tool{Name: "web_search", Description: "Searches.", InputSchema: json.RawMessage(`{"type":"object"}`)}, func(context.Context, *mcp.CallToolRequest) (*mcp.CallToolResult, error) {
		return nil, errors.New("dial tcp 10.0.0.3: password=hunter2")
	})
	return s
}

// sessions runs a test with two sessions: one over standard input and output, one over HTTP.
func sessions(t *testing.T, test func(t *testing.T, session *mcp.ClientSession)) {
	t.Helper()
	for name, transport := range map[string]func(t *testing.T) mcp.Transport{
		"stdio": func(t *testing.T) mcp.Transport {
			t.Helper()
			command := exec.Command(os.Args[0])
			command.Env = append(os.Environ(), isServer+"=1")
			return &mcp.CommandTransport{Command: command}
		},
		"http": func(t *testing.T) mcp.Transport {
			t.Helper()
			s := server()
			listener := httptest.NewServer(mcp.NewStreamableHTTPHandler(func(*http.Request) *mcp.Server { return s }, nil))
			t.Cleanup(listener.Close)
			client := &http.Client{Transport: &http.Transport{}}
			t.Cleanup(client.CloseIdleConnections)
			return &mcp.StreamableClientTransport{Endpoint: listener.URL, HTTPClient: client}
		},
	} {
		t.Run(name, func(t *testing.T) { test(t, connect(t, transport(t))) })
	}
}

func connect(t *testing.T, transport mcp.Transport) *mcp.ClientSession {
	t.Helper()
	session, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil).Connect(t.Context(), transport, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = session.Close() })
	return session
}

// run makes the emulator's model call tools, and returns the results that the model received.
func run(t *testing.T, tools []*runner.Tool, calls ...emulator.Call) ([]string, *runner.Result, error) {
	t.Helper()
	client, server := emulatortest.New(t, emulatortest.WithScript(emulator.Calls(calls...), emulator.Say("done")))
	r, err := runner.New(client, runner.Config{Tools: tools})
	if err != nil {
		t.Fatal(err)
	}
	result, err := r.Start(t.Context(), generated.StartConversationRequest{Model: "mistral-small-latest", Inputs: ratelimited.Text("Go!")})
	if err != nil {
		return nil, nil, err
	}
	var received []string
	for _, request := range emulatortest.Requests[generated.AppendConversationRequest](t, server) {
		for _, entry := range request.Inputs.Entries() {
			if result, ok := entry.Value().(generated.FunctionResultEntry); ok {
				received = append(received, result.Result)
			}
		}
	}
	return received, result, nil
}

// The tools of all pages become tools of a run. The model receives their results.
func TestTools(t *testing.T) {
	sessions(t, func(t *testing.T, session *mcp.ClientSession) {
		tools, err := mcptools.Tools(t.Context(), session, mcptools.Prefix("travel_"), mcptools.Exclude("wait"))
		if err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, tool := range tools {
			names = append(names, tool.Name())
		}
		if got := strings.Join(names, " "); got != "travel_book_seat travel_measure travel_picture travel_weather travel_web_search" {
			t.Fatalf("the tools are %s", got)
		}
		received, result, err := run(t, tools,
			emulator.Call{Name: "travel_weather", Arguments: map[string]any{"city": "Rome"}},
			emulator.Call{Name: "travel_book_seat", Arguments: map[string]any{"city": "Rome"}},
			emulator.Call{Name: "travel_picture", Arguments: map[string]any{"city": "Rome"}},
			emulator.Call{Name: "travel_measure", Arguments: `{"n": 9007199254740993}`},
			emulator.Call{Name: "travel_web_search"},
			emulator.Call{Name: "travel_weather", Arguments: map[string]any{"town": "Rome"}},
		)
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []string{
			"sunny\nin Rome", "no seats on Mondays", "Here:\n[image, image/png, 5 bytes]\n[audio, audio/wav, 1 bytes]\n[link to resource file:///a]\n[resource file:///b]",
			`{"got":"{\"n\":9007199254740993}"}`, "The function failed.", "/city: is required, but missing",
		} {
			if !strings.Contains(strings.ReplaceAll(received[i], `: 9`, `:9`), want) || strings.Contains(received[i], "hunter2") {
				t.Errorf("result %d is %q, want %q", i, received[i], want)
			}
		}
		if result.OutputText() != "done" || result.Calls != 6 || result.FailedCalls != 3 {
			t.Errorf("%q, %d calls, %d failed", result.OutputText(), result.Calls, result.FailedCalls)
		}
	})
}

// The definition of a tool is sent unchanged, in strict mode if possible.
func TestDefinitions(t *testing.T) {
	sessions(t, func(t *testing.T, session *mcp.ClientSession) {
		tools, err := mcptools.Tools(t.Context(), session, mcptools.Include("weather", "measure", "book.seat"))
		if err != nil {
			t.Fatal(err)
		}
		for i, want := range []struct {
			name, description, schema string
			strict                    bool
		}{
			{"book_seat", "Books a seat.", `{"additionalProperties":false,"properties":{"city":{"type":"string"}},"required":["city"],"type":"object"}`, true},
			{"measure", "measure", `{"properties":{"n":{"type":"integer"}},"type":"object"}`, false},
			{"weather", "Weather in a city.", `{"additionalProperties":false,"properties":{"city":{"type":"string"}},"required":["city"],"type":"object"}`, true},
		} {
			f := tools[i].Definition().Value().(generated.FunctionTool).Function
			text, err := generated.EncodeJSON(f.Parameters)
			if f.Name != want.name || f.Description != want.description || string(text) != want.schema || f.Strict != want.strict {
				t.Errorf("%+v, %s, %v, want %+v", f, text, err, want)
			}
		}
	})
}

// Invalid names, duplicate names and unknown names in options are errors.
func TestInvalidTools(t *testing.T) {
	two := mcp.NewServer(&mcp.Implementation{Name: "two", Version: "1"}, nil)
	for _, name := range []string{"a.b", "a_b"} {
		two.AddTool(&mcp.Tool{Name: name, InputSchema: json.RawMessage(`{"type":"object"}`)}, nil)
	}
	mine, theirs := mcp.NewInMemoryTransports()
	if _, err := two.Connect(t.Context(), theirs, nil); err != nil {
		t.Fatal(err)
	}
	clash := connect(t, mine)
	sessions(t, func(t *testing.T, session *mcp.ClientSession) {
		for _, c := range []struct {
			session *mcp.ClientSession
			options []mcptools.Option
			words   []string
		}{
			{session, nil, []string{"web_search", "name of a built-in tool of the service"}},
			{session, []mcptools.Option{mcptools.Include("wether")}, []string{`"wether"`, "weather"}},
			{session, []mcptools.Option{mcptools.Prefix("p_"), mcptools.Exclude("sleep")}, []string{`"sleep"`, "wait"}},
			{session, []mcptools.Option{mcptools.Prefix(strings.Repeat("x", 60))}, []string{"1 to 64"}},
			{session, []mcptools.Option{mcptools.Prefix("ü")}, []string{"1 to 64"}},
			{session, []mcptools.Option{nil}, []string{"options[0]"}},
			{session, []mcptools.Option{mcptools.Options(nil)}, []string{"Options", "must be a function"}},
			{clash, nil, []string{`"a.b"`, `"a_b"`, "unique"}},
			{nil, nil, []string{"session"}},
		} {
			_, err := mcptools.Tools(t.Context(), c.session, c.options...)
			var config *runner.ConfigError
			if !errors.As(err, &config) {
				t.Errorf("%v", err)
				continue
			}
			for _, word := range c.words {
				if !strings.Contains(err.Error(), word) {
					t.Errorf("%v, want %q in it", err, word)
				}
			}
		}
		tools, err := mcptools.Tools(t.Context(), session, mcptools.Include("weather"))
		if err != nil {
			t.Fatal(err)
		}
		client, _ := emulatortest.New(t)
		if _, err := runner.New(client, runner.Config{Tools: append(tools, tools...)}); !errors.As(err, new(*runner.ConfigError)) {
			t.Errorf("%v", err)
		}
	})
}

// The caller sets the options of a tool, such as approval and timeouts.
func TestOptions(t *testing.T) {
	sessions(t, func(t *testing.T, session *mcp.ClientSession) {
		tools, err := mcptools.Tools(t.Context(), session, mcptools.Include("weather", "wait"), mcptools.Options(func(tool *mcp.Tool) []runner.ToolOption {
			if tool.Name == "wait" {
				return []runner.ToolOption{runner.WithTimeout(50 * time.Millisecond)}
			}
			return []runner.ToolOption{runner.NeedsApproval(nil)}
		}))
		if err != nil {
			t.Fatal(err)
		}
		client, _ := emulatortest.New(t, emulatortest.WithScript(
			emulator.Calls(emulator.Call{Name: "wait"}, emulator.Call{Name: "weather", Arguments: map[string]any{"city": "Rome"}}), emulator.Say("done"),
		))
		r, err := runner.New(client, runner.Config{Tools: tools})
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.Start(t.Context(), generated.StartConversationRequest{Model: "mistral-small-latest", Inputs: ratelimited.Text("Go!")})
		var pending *runner.PendingError
		if !errors.As(err, &pending) || len(pending.Pending) != 1 || pending.Result.Turns[0].Calls[0].Failure.Stage != runner.StageTimeout {
			t.Fatalf("%v", err)
		}
		if result, err := r.Resume(t.Context(), pending.State, runner.Allow(pending.Pending[0].ID)); err != nil || result.Turns[0].Calls[1].Result != "sunny\nin Rome" {
			t.Errorf("%v", err)
		}
	})
}

// If the connection is closed, each call fails, and the run continues.
func TestClosedConnection(t *testing.T) {
	sessions(t, func(t *testing.T, session *mcp.ClientSession) {
		tools, err := mcptools.Tools(t.Context(), session, mcptools.Include("weather"))
		if err != nil {
			t.Fatal(err)
		}
		if err := session.Close(); err != nil {
			t.Fatal(err)
		}
		received, result, err := run(t, tools, emulator.Call{Name: "weather", Arguments: map[string]any{"city": "Rome"}}, emulator.Call{Name: "weather", Arguments: map[string]any{"city": "Oslo"}})
		if err != nil || result.OutputText() != "done" || strings.Join(received, "|") != "The function failed.|The function failed." {
			t.Errorf("%q, %v", received, err)
		}
		if failure := result.Turns[0].Calls[0].Failure; failure.Err == nil {
			t.Errorf("%+v", failure)
		}
		if _, err := mcptools.Tools(t.Context(), session); err == nil || !strings.Contains(err.Error(), "cannot list the tools") {
			t.Errorf("%v", err)
		}
	})
}
