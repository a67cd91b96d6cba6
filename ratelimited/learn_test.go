package ratelimited_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// responseWithUsage returns a response of the API with the given usage.
func responseWithUsage(conversationID string, prompt, completion int) string {
	return fmt.Sprintf(`{"object":"conversation.response","conversation_id":%q,"outputs":[{"type":"message.output",`+
		`"id":"msg_1","model":"m","role":"assistant","content":"fine"}],"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}}`,
		conversationID, prompt, completion, prompt+completion)
}

// heldTokens records the held tokens of each limiter when a request arrives.
type heldTokens struct {
	client    *ratelimited.Client
	byLimiter map[string]int // at the arrival of the last request
}

// record returns a handler that records the held tokens and then calls the handlers in order.
func (o *heldTokens) record(handlers ...http.HandlerFunc) http.HandlerFunc {
	next := handlersInOrder(handlers...)
	return func(w http.ResponseWriter, r *http.Request) {
		o.byLimiter = map[string]int{}
		for model, s := range o.client.Snapshot() {
			o.byLimiter[model] = s.HeldTokens
		}
		next(w, r)
	}
}

// The client counts 8 tokens for the prompt, but the server reports 24, and 40 for the response. After
// some calls, the client estimates 24 and 40.
func TestEstimatesLearn(t *testing.T) {
	for _, test := range []struct {
		name   string
		config ratelimited.Config
		max    *int
		first  int
		last   int
	}{
		{"by default", ratelimited.Config{}, nil, 8 + defaultResponseEstimate, 24 + 40},
		{"below max_tokens", ratelimited.Config{}, ratelimited.Ptr(10), 8 + 10, 24 + 10},
		{"unless turned off", ratelimited.Config{FixedEstimates: true}, nil, 8 + 500, 8 + 500},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.config.RequestsPerSecond = 1000
			var o heldTokens
			runWithHandler(t, test.config, o.record(status(200, responseWithUsage("c", 24, 40))), func(t *testing.T, client *ratelimited.Client) {
				o.client = client
				request := generated.StartConversationRequest{
					Model: "m", Inputs: ratelimited.Text("Hello!"), CompletionArgs: generated.CompletionArgs{MaxTokens: test.max},
				}
				for i := range 100 {
					if _, err := client.Beta.Conversations.Start(t.Context(), request); err != nil {
						t.Fatal(err)
					}
					if got := o.byLimiter[""]; i == 0 && got != test.first {
						t.Errorf("the first call holds %d tokens, want %d", got, test.first)
					}
				}
				if got := o.byLimiter[""]; got != test.last {
					t.Errorf("after 100 calls, a call holds %d tokens, want %d", got, test.last)
				}
			})
		})
	}
}

// The client learns the estimates of each model separately. It learns nothing from a response without
// usage.
func TestEstimatesLearnByModel(t *testing.T) {
	var o heldTokens
	withUsage, first := status(200, responseWithUsage("c", 8, 40)), 8+defaultResponseEstimate
	handler := o.record(withUsage, withUsage, withUsage, status(200, `{"conversation_id":"c","outputs":[],"usage":{}}`))
	runWithHandler(t, fast, handler, func(t *testing.T, client *ratelimited.Client) {
		o.client = client
		for i, test := range []struct {
			model string
			want  int
		}{{"a", first}, {"a", first}, {"a", first}, {"b", first}, {"b", first}, {"b", first}, {"b", first}, {"a", 48}} {
			request := generated.StartConversationRequest{Model: test.model, Inputs: ratelimited.Text("Hello!")}
			if _, err := client.Beta.Conversations.Start(t.Context(), request); err != nil {
				t.Fatal(err)
			}
			if got := o.byLimiter[""]; got != test.want {
				t.Errorf("call %d, to model %s, holds %d tokens, want %d", i, test.model, got, test.want)
			}
		}
	})
}

const agentJSON = `{"id":"ag_1","name":"n","model":"quick","version":1,"instructions":"Hello! Hello! Hello!","object":"agent","created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z"}`

// A call of an agent uses the limit of the agent's model, once any response has contained that model. It
// also holds the tokens of the agent's instructions.
func TestAgentsModel(t *testing.T) {
	config := ratelimited.Config{
		RequestsPerSecond: 1000,
		Limits:            map[string]limiter.Limit{"quick": {RequestsPerSecond: 1000, TokensPerMinute: 1e6}},
	}
	agentReply := strings.ReplaceAll(responseWithUsage("c2", 8, 40), `"model":"m"`, `"model":"quick","agent_id":"ag_1"`)
	stream := frame("conversation.response.started", `{"type":"conversation.response.started","conversation_id":"c3"}`) +
		frame("message.output.delta", `{"type":"message.output.delta","id":"msg_1","model":"quick","agent_id":"ag_1","content":"fine"}`) +
		frame("conversation.response.done", `{"type":"conversation.response.done","usage":{"prompt_tokens":8,"completion_tokens":40,"total_tokens":48}}`)
	request := generated.StartConversationRequest{AgentID: "ag_1", Inputs: ratelimited.Text("Hello!")}
	const instructions = 4 + 6 // the overhead of a message, and three times two tokens

	for name, test := range map[string]struct {
		learn func(t *testing.T, client *ratelimited.Client) error
		reply http.HandlerFunc
		want  int // tokens that the next call of the agent holds
	}{
		"create": {func(t *testing.T, client *ratelimited.Client) error {
			_, err := client.Beta.Agents.Create(t.Context(), generated.CreateAgentRequest{Name: "n", Model: "quick"})
			return err
		}, status(200, agentJSON), 8 + defaultResponseEstimate + instructions},
		"get": {func(t *testing.T, client *ratelimited.Client) error {
			_, err := client.Beta.Agents.Get(t.Context(), "ag_1", generated.GetAgentParams{})
			return err
		}, status(200, agentJSON), 8 + defaultResponseEstimate + instructions},
		"update": {func(t *testing.T, client *ratelimited.Client) error {
			_, err := client.Beta.Agents.Update(t.Context(), "ag_1", generated.UpdateAgentRequest{Name: ratelimited.Ptr("n")})
			return err
		}, status(200, agentJSON), 8 + defaultResponseEstimate + instructions},
		"a response": {func(t *testing.T, client *ratelimited.Client) error {
			_, err := client.Beta.Conversations.Start(t.Context(), request)
			return err
		}, status(200, agentReply), 8 + defaultResponseEstimate},
		"a stream": {func(t *testing.T, client *ratelimited.Client) error {
			events, err := client.Beta.Conversations.StartStream(t.Context(), request)
			if err == nil {
				_, err = collect(events)
			}
			return err
		}, streaming(stream), 8 + defaultResponseEstimate},
	} {
		t.Run(name, func(t *testing.T) {
			var o heldTokens
			runWithHandler(t, config, o.record(test.reply, status(200, responseWithUsage("c4", 8, 40))), func(t *testing.T, client *ratelimited.Client) {
				o.client = client
				if err := test.learn(t, client); err != nil {
					t.Fatal(err)
				}
				if o.byLimiter["quick"] != 0 {
					t.Fatal("the client uses the model's limit before it has learned the model")
				}
				if _, err := client.Beta.Conversations.Start(t.Context(), request); err != nil {
					t.Fatal(err)
				}
				if got := o.byLimiter["quick"]; got != test.want || o.byLimiter[""] != 0 {
					t.Errorf("a call of the agent holds %v, want %d tokens of its model's limit", o.byLimiter, test.want)
				}
				// An append to the agent's conversation also holds the 48 tokens of the history.
				appendRequest := generated.AppendConversationRequest{Inputs: ratelimited.Text("Hello!")}
				if _, err := client.Beta.Conversations.Append(t.Context(), "c4", appendRequest); err != nil {
					t.Fatal(err)
				}
				if got, want := o.byLimiter["quick"], 48+8+defaultResponseEstimate; got != want {
					t.Errorf("an append holds %v, want %d tokens of the limit of the agent's model", o.byLimiter, want)
				}
			})
		})
	}
}

// The client learns the model of a conversation from Get and List.
func TestConversationsModel(t *testing.T) {
	config := ratelimited.Config{
		RequestsPerSecond: 1000,
		Limits:            map[string]limiter.Limit{"quick": {RequestsPerSecond: 1000, TokensPerMinute: 1e6}},
	}
	const conversation = `{"id":"c","model":"quick","object":"conversation","created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z"}`
	for name, test := range map[string]struct {
		reply string
		learn func(t *testing.T, client *ratelimited.Client) error
	}{
		"get": {conversation, func(t *testing.T, client *ratelimited.Client) error {
			_, err := client.Beta.Conversations.Get(t.Context(), "c")
			return err
		}},
		"list": {"[" + conversation + "]", func(t *testing.T, client *ratelimited.Client) error {
			_, err := client.Beta.Conversations.List(t.Context(), generated.ListConversationsParams{})
			return err
		}},
	} {
		t.Run(name, func(t *testing.T) {
			var o heldTokens
			runWithHandler(t, config, o.record(status(200, test.reply), status(200, responseWithUsage("c", 8, 40))), func(t *testing.T, client *ratelimited.Client) {
				o.client = client
				if err := test.learn(t, client); err != nil {
					t.Fatal(err)
				}
				request := generated.AppendConversationRequest{Inputs: ratelimited.Text("Hello!")}
				if _, err := client.Beta.Conversations.Append(t.Context(), "c", request); err != nil || o.byLimiter["quick"] != 8+defaultResponseEstimate {
					t.Errorf("an append holds %v (%v), want %d tokens of its model's limit", o.byLimiter, err, 8+defaultResponseEstimate)
				}
			})
		})
	}
}
