package ratelimited_test

import (
	"context"
	"errors"
	"io"
	"math"
	"net/http"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// Each method rejects invalid arguments with an error that names the field. It does not send a request.
func TestArgumentsAreValidated(t *testing.T) {
	sent := 0
	runWithHandler(t, fast, func(w http.ResponseWriter, r *http.Request) { sent++; ok(w, r) }, func(t *testing.T, client *ratelimited.Client) {
		conversations, agents := client.Beta.Conversations, client.Beta.Agents
		text := ratelimited.Text("Hello!")
		ctx := t.Context()
		second := func(_ any, err error) error { return err }
		for want, err := range map[string]error{
			`Conversations.Start: model or agent_id is required`:                                         second(conversations.Start(ctx, generated.StartConversationRequest{Inputs: text})),
			`Conversations.Start: agent_id is "a": must not be set together with model ("m")`:            second(conversations.Start(ctx, generated.StartConversationRequest{Model: "m", AgentID: "a", Inputs: text})),
			`Conversations.StartStream: inputs is required: use ratelimited.Text or ratelimited.Entries`: second(conversations.StartStream(ctx, generated.StartConversationRequest{Model: "m"})),
			`Conversations.Start: inputs is "": must not be empty`:                                       second(conversations.Start(ctx, generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Text("")})),
			`Conversations.Start: inputs is []: must have at least one entry`:                            second(conversations.Start(ctx, generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Entries()})),
			`Conversations.Start: inputs[1] is required: use ratelimited.User or generated.NewEntry`:     second(conversations.Start(ctx, generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Entries(ratelimited.User("x"), generated.Entry{})})),
			`Conversations.Append: conversation_id is "": must not be empty`:                             second(conversations.Append(ctx, "", generated.AppendConversationRequest{Inputs: text})),
			`Conversations.Append: inputs is required: use ratelimited.Text or ratelimited.Entries`:      second(conversations.Append(ctx, "c", generated.AppendConversationRequest{})),
			`Conversations.AppendStream: conversation_id is "..": must not be a dot segment of a path`:   second(conversations.AppendStream(ctx, "..", generated.AppendConversationRequest{Inputs: text})),
			`Conversations.Restart: from_entry_id is "": must not be empty`:                              second(conversations.Restart(ctx, "c", generated.RestartConversationRequest{})),
			`Conversations.RestartStream: inputs is []: must have at least one`:                          second(conversations.RestartStream(ctx, "c", generated.RestartConversationRequest{FromEntryID: "e", Inputs: ratelimited.Entries()})),
			`Conversations.Get: conversation_id is ".": must not be a dot segment of a path`:             second(conversations.Get(ctx, ".")),
			`Conversations.GetHistory: conversation_id is "a\nb": must not contain control`:              second(conversations.GetHistory(ctx, "a\nb")),
			`Conversations.GetMessages: conversation_id is "": must not be empty`:                        second(conversations.GetMessages(ctx, "")),
			`Conversations.List: page is -1: must be at least 0`:                                         second(conversations.List(ctx, generated.ListConversationsParams{Page: ratelimited.Ptr(-1)})),
			`Conversations.Delete: conversation_id is "": must not be empty`:                             conversations.Delete(ctx, ""),
			`Agents.Create: model is "": must not be empty`:                                              second(agents.Create(ctx, generated.CreateAgentRequest{Name: "n"})),
			`Agents.Create: name is "": must not be empty`:                                               second(agents.Create(ctx, generated.CreateAgentRequest{Model: "m"})),
			`Agents.Get: agent_id is "": must not be empty`:                                              second(agents.Get(ctx, "", generated.GetAgentParams{})),
			`Agents.List: page_size is 1001: must be 1 to 1000`:                                          second(agents.List(ctx, generated.ListAgentsParams{PageSize: ratelimited.Ptr(1001)})),
			`Agents.ListPages: page_size is 0: must be 1 to 1000`:                                        second(agents.ListPages(ctx, generated.ListAgentPagesParams{PageSize: ratelimited.Ptr(0)})),
			`Agents.Update: agent_id is "": must not be empty`:                                           second(agents.Update(ctx, "", generated.UpdateAgentRequest{})),
			`Agents.Delete: agent_id is "": must not be empty`:                                           agents.Delete(ctx, ""),
			`Agents.UpdateVersion: version is -1: must be at least 0`:                                    second(agents.UpdateVersion(ctx, "a", -1)),
			`Agents.ListVersions: page_size is 101: must be 1 to 100`:                                    second(agents.ListVersions(ctx, "a", generated.ListAgentVersionsParams{PageSize: ratelimited.Ptr(101)})),
			`Agents.GetVersion: version is "": must not be empty`:                                        second(agents.GetVersion(ctx, "a", "")),
			`Agents.CreateVersionAlias: alias is "Prod": must be 1 to 64 of`:                             second(agents.CreateVersionAlias(ctx, "a", "Prod", 1)),
			`Agents.ListVersionAliases: agent_id is "": must not be empty`:                               second(agents.ListVersionAliases(ctx, "")),
			`Agents.DeleteVersionAlias: alias is "": must be 1 to 64 of`:                                 agents.DeleteVersionAlias(ctx, "a", ""),
			`mistral: WithTimeout is 0s: must be at least 1ms`:                                           second(start(ctx, client, ratelimited.WithTimeout(0))),
			`mistral: WithMaxRetries is -2: must be 0 to 100, or NoRetries`:                              second(start(ctx, client, ratelimited.WithMaxRetries(-2))),
			`mistral: WithBaseURL is "nowhere": must be an absolute URL`:                                 second(start(ctx, client, ratelimited.WithBaseURL("nowhere"))),
			`mistral: WithHeader is "a b": must be a header field name`:                                  second(start(ctx, client, ratelimited.WithHeader("a b", "x"))),
			`mistral: WithHeader is "X-A": must have a value without control characters`:                 second(start(ctx, client, ratelimited.WithHeader("X-A", "x\r\nY: z"))),
			`mistral: WithHeader is "authorization": must not be a header field that the client sets`:    second(start(ctx, client, ratelimited.WithHeader("authorization", "x"))),
			`mistral: WithTokenEstimate is -1: must not be negative`:                                     second(start(ctx, client, ratelimited.WithTokenEstimate(-1))),
			`Conversations.Start: tools[1] is required: use generated.NewTool`: second(client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{
				Model: "m", Inputs: ratelimited.Text("x"), Tools: []generated.Tool{generated.NewTool(generated.WebSearchTool{}), {}},
			})),
			`Agents.Create: tools[0] is required: use generated.NewTool`:                                            second(client.Beta.Agents.Create(ctx, generated.CreateAgentRequest{Model: "m", Name: "n", Tools: make([]generated.Tool, 1)})),
			`Agents.Update: tools[0] is required: use generated.NewTool`:                                            second(client.Beta.Agents.Update(ctx, "ag_1", generated.UpdateAgentRequest{Tools: make([]generated.Tool, 1)})),
			`Conversations.Start: tokens of inputs is 506: must be at most 505, the capacity`:                       tooLarge(t, client),
			`mistral: WithHeader is "accept-encoding": must not be a header field that the client sets`:             second(start(ctx, client, ratelimited.WithHeader("accept-encoding", "gzip"))),
			`mistral: options[1] must be a CallOption, got nil`:                                                     second(start(ctx, client, ratelimited.WithMaxRetries(1), nil)),
			`Conversations.Start: ctx must be a context`:                                                            second(start(nil, client)), //nolint:staticcheck // the point
			`Conversations.Start: cannot encode request: completion_args.temperature: json: unsupported value: NaN`: second(conversations.Start(ctx, generated.StartConversationRequest{Model: "m", Inputs: text, CompletionArgs: generated.CompletionArgs{Temperature: ratelimited.Ptr(math.NaN())}})),
			`Agents.Get: agent_id is "pages": must be an agent's id`:                                                second(agents.Get(ctx, "pages", generated.GetAgentParams{})),
			`mistral: WithResponseInto must be a pointer, got nil`:                                                  second(start(ctx, client, ratelimited.WithResponseInto(nil))),
			`Conversations.Start: WithTokenEstimate is 100000001: must be at most 100000000, the capacity`:          second(start(ctx, client, ratelimited.WithTokenEstimate(1e8+1))),
		} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("error is %v, want %s", err, want)
			}
			var request *ratelimited.RequestError
			var config *ratelimited.ConfigError
			if !errors.As(err, &request) && !errors.As(err, &config) {
				t.Errorf("error %v is a %T, want *RequestError or *ConfigError", err, err)
			}
		}
		if s := snapshot(client); sent != 0 || s.Admitted != 0 {
			t.Errorf("%d requests sent and %d admitted, want 0", sent, s.Admitted)
		}
		// Append accepts confirmations without inputs.
		_, err := conversations.Append(ctx, "c", generated.AppendConversationRequest{
			ToolConfirmations: []generated.ToolCallConfirmation{{ToolCallID: "t", Confirmation: generated.ToolConfirmationAllow}},
		})
		if err != nil || sent != 1 {
			t.Errorf("appending only confirmations: %v after %d requests, want 1", err, sent)
		}
	})
}

// WithHeader and WithBaseURL change the request. WithResponseInto stores the response.
func TestOptionsChangeTheRequest(t *testing.T) {
	var got *http.Request
	look := func(w http.ResponseWriter, r *http.Request) {
		got = r
		w.Header().Set("X-Seen", "yes")
		ok(w, r)
	}
	runWithHandler(t, fast, look, func(t *testing.T, client *ratelimited.Client) {
		var response *http.Response
		_, err := start(t.Context(), client,
			ratelimited.WithHeader("X-Tag", "a"), ratelimited.WithHeader("x-tag", "b"), ratelimited.WithHeader("User-Agent", "mine"),
			ratelimited.WithBaseURL("http://127.0.0.1:81/proxy"), ratelimited.WithResponseInto(&response))
		if err != nil {
			t.Fatal(err)
		}
		if got.Host != "127.0.0.1:81" || got.URL.Path != "/proxy/v1/conversations" {
			t.Errorf("the request went to %s%s", got.Host, got.URL.Path)
		}
		if tags := got.Header.Values("X-Tag"); len(tags) != 2 || got.UserAgent() != "mine" {
			t.Errorf("header is %v", got.Header)
		}
		if got.Header.Get("Authorization") != "Bearer "+secretKey || got.Header.Get("Content-Type") != "application/json" || got.Header.Get("Accept") != "application/json" {
			t.Errorf("header is %v", got.Header)
		}
		if response == nil || response.Header.Get("X-Seen") != "yes" {
			t.Errorf("response is %v", response)
		}
	})
}

// IDs that contain path separators stay in one path segment.
func TestIDsAreEscaped(t *testing.T) {
	var path string
	runWithHandler(t, fast, func(w http.ResponseWriter, r *http.Request) {
		path = r.URL.EscapedPath()
		writeJSON(w, 200, `{"id":"x"}`)
	}, func(t *testing.T, client *ratelimited.Client) {
		if _, err := client.Beta.Agents.Get(t.Context(), "a/../b?c#d%2Fe", generated.GetAgentParams{}); err != nil {
			t.Fatal(err)
		}
		if want := "/v1/agents/a%2F..%2Fb%3Fc%23d%252Fe"; path != want {
			t.Errorf("path is %s, want %s", path, want)
		}
	})
}

// The client does not follow redirects. They could send the key to another host.
func TestRedirectsAreNotFollowed(t *testing.T) {
	requests := 0
	runWithHandler(t, fast, func(w http.ResponseWriter, r *http.Request) {
		requests++
		http.Redirect(w, r, "http://127.0.0.2/v1/conversations", http.StatusTemporaryRedirect)
	}, func(t *testing.T, client *ratelimited.Client) {
		_, err := start(t.Context(), client)
		var api *ratelimited.APIError
		if !errors.As(err, &api) || api.StatusCode != 307 || requests != 1 {
			t.Errorf("after %d requests: %v, want an APIError with status 307 after one request", requests, err)
		}
	})
}

// Requests omit unset fields.
func TestUnsetFieldsAreOmitted(t *testing.T) {
	var got string
	runWithHandler(t, fast, func(w http.ResponseWriter, r *http.Request) {
		body := make([]byte, r.ContentLength)
		_, _ = r.Body.Read(body)
		got = r.URL.RawQuery + string(body)
		if r.Method == http.MethodGet {
			writeJSON(w, 200, `[]`)
			return
		}
		ok(w, r)
	}, func(t *testing.T, client *ratelimited.Client) {
		conversations, agents := client.Beta.Conversations, client.Beta.Agents
		tool := generated.NewTool(generated.FunctionTool{Function: generated.Function{Name: "f", Parameters: map[string]any{}}})
		for want, call := range map[string]func(context.Context) error{
			`{"inputs":"Hello!","model":"m"}`: func(ctx context.Context) error { _, err := start(ctx, client); return err },
			`{"inputs":[{"content":"x","role":"user","type":"message.input"}],"model":"m","tools":[{"function":{"name":"f","parameters":{}},"type":"function"}]}`: func(ctx context.Context) error {
				_, err := conversations.Start(ctx, generated.StartConversationRequest{
					Model: "m", Inputs: ratelimited.Entries(ratelimited.User("x")), Tools: []generated.Tool{tool},
				})
				return err
			},
			`{"from_entry_id":"e"}`: func(ctx context.Context) error {
				_, err := conversations.Restart(ctx, "c", generated.RestartConversationRequest{FromEntryID: "e"})
				return err
			},
			`{}`: func(ctx context.Context) error {
				_, err := agents.Update(ctx, "a", generated.UpdateAgentRequest{})
				return err
			},
			`{"model":"m","name":"n"}`: func(ctx context.Context) error {
				_, err := agents.Create(ctx, generated.CreateAgentRequest{Model: "m", Name: "n"})
				return err
			},
			``: func(ctx context.Context) error {
				_, err := agents.List(ctx, generated.ListAgentsParams{})
				return err
			},
			`sources=api&sources=playground&metadata=%7B%22a%22%3A1%7D`: func(ctx context.Context) error {
				_, err := agents.List(ctx, generated.ListAgentsParams{
					Sources:  &[]generated.RequestSource{generated.RequestSourceAPI, generated.RequestSourcePlayground},
					Metadata: &map[string]any{"a": 1},
				})
				return err
			},
			`page=0&page_size=7`: func(ctx context.Context) error {
				_, err := conversations.List(ctx, generated.ListConversationsParams{Page: ratelimited.Ptr(0), PageSize: ratelimited.Ptr(7)})
				return err
			},
		} {
			if err := call(t.Context()); err != nil || got != want {
				t.Errorf("sent %s (%v), want %s", got, err, want)
			}
		}
	})
}

// tooLarge makes a call whose prompt exceeds the capacity of the token bucket by one token.
func tooLarge(t *testing.T, client *ratelimited.Client) error {
	t.Helper()
	if err := client.SetLimit("narrow", limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 505}); err != nil {
		t.Fatal(err)
	}
	// The prompt has 506 tokens: 500 for the text, and 6 for the overhead of a message and its response.
	_, err := client.Beta.Conversations.Start(t.Context(), generated.StartConversationRequest{Model: "narrow", Inputs: ratelimited.Text(strings.Repeat(" a", 500))})
	return err
}

// An update sends empty lists, which clear the stored values. It omits unset lists.
func TestUpdateSendsEmptyLists(t *testing.T) {
	var body string
	look := func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		body = string(b)
		writeJSON(w, 200, agentJSON)
	}
	runWithHandler(t, fast, look, func(t *testing.T, client *ratelimited.Client) {
		for want, request := range map[string]generated.UpdateAgentRequest{
			`{"tools":[]}`:       {Tools: []generated.Tool{}},
			`{"metadata":{}}`:    {Metadata: generated.MetadataDict{}},
			`{"guardrails":[]}`:  {Guardrails: []generated.GuardrailConfig{}},
			`{"description":""}`: {Description: ratelimited.Ptr("")},
			`{}`:                 {},
		} {
			if _, err := client.Beta.Agents.Update(t.Context(), "ag_1", request); err != nil || body != want {
				t.Errorf("sent %s (%v), want %s", body, err, want)
			}
		}
	})
}
