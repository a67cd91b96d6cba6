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

// replyOf is a response of the API that used so many tokens.
func replyOf(conversationID string, prompt, completion int) string {
	return fmt.Sprintf(`{"object":"conversation.response","conversation_id":%q,"outputs":[{"type":"message.output",`+
		`"id":"msg_1","model":"m","role":"assistant","content":"fine"}],"usage":{"prompt_tokens":%d,"completion_tokens":%d,"total_tokens":%d}}`,
		conversationID, prompt, completion, prompt+completion)
}

// An observer notes what is in flight when a request comes.
type observer struct {
	client *ratelimited.Client
	byName map[string]int // tokens in flight by limiter, when the last request came
}

// watch is a handler that notes what is held and then answers in turn.
func (o *observer) watch(handlers ...http.HandlerFunc) http.HandlerFunc {
	next := inTurn(handlers...)
	return func(w http.ResponseWriter, r *http.Request) {
		o.byName = map[string]int{}
		for model, s := range o.client.Snapshot() {
			o.byName[model] = s.HeldTokens
		}
		next(w, r)
	}
}

// A prompt of 8 counted tokens that really has 24, and replies of 40: after some
// calls the estimate is what they teach.
func TestEstimatesLearn(t *testing.T) {
	for _, test := range []struct {
		name   string
		config ratelimited.Config
		max    *int
		first  int
		last   int
	}{
		{"by default", ratelimited.Config{}, nil, 8 + unknownReply, 24 + 40},
		{"below max_tokens", ratelimited.Config{}, ratelimited.Ptr(10), 8 + 10, 24 + 10},
		{"unless turned off", ratelimited.Config{FixedEstimates: true}, nil, 8 + 500, 8 + 500},
	} {
		t.Run(test.name, func(t *testing.T) {
			test.config.RequestsPerSecond = 1000
			var o observer
			inBubble(t, test.config, o.watch(status(200, replyOf("c", 24, 40))), func(t *testing.T, client *ratelimited.Client) {
				o.client = client
				request := generated.StartConversationRequest{
					Model: "m", Inputs: ratelimited.Text("Hello!"), CompletionArgs: generated.CompletionArgs{MaxTokens: test.max},
				}
				for i := range 100 {
					if _, err := client.Beta.Conversations.Start(t.Context(), request); err != nil {
						t.Fatal(err)
					}
					if got := o.byName[""]; i == 0 && got != test.first {
						t.Errorf("the first call holds %d tokens, want %d", got, test.first)
					}
				}
				if got := o.byName[""]; got != test.last {
					t.Errorf("after a hundred calls one holds %d tokens, want %d", got, test.last)
				}
			})
		})
	}
}

// Models do not learn from each other, and a reply without figures teaches nothing.
func TestEstimatesLearnByModel(t *testing.T) {
	var o observer
	known, first := status(200, replyOf("c", 8, 40)), 8+unknownReply
	handler := o.watch(known, known, known, status(200, `{"conversation_id":"c","outputs":[],"usage":{}}`))
	inBubble(t, fast, handler, func(t *testing.T, client *ratelimited.Client) {
		o.client = client
		for i, test := range []struct {
			model string
			want  int
		}{{"a", first}, {"a", first}, {"a", first}, {"b", first}, {"b", first}, {"b", first}, {"b", first}, {"a", 48}} {
			request := generated.StartConversationRequest{Model: test.model, Inputs: ratelimited.Text("Hello!")}
			if _, err := client.Beta.Conversations.Start(t.Context(), request); err != nil {
				t.Fatal(err)
			}
			if got := o.byName[""]; got != test.want {
				t.Errorf("call %d, to model %s, holds %d tokens, want %d", i, test.model, got, test.want)
			}
		}
	})
}

const agentJSON = `{"id":"ag_1","name":"n","model":"quick","version":1,"instructions":"Hello! Hello! Hello!","object":"agent","created_at":"2026-01-02T03:04:05Z","updated_at":"2026-01-02T03:04:05Z"}`

// A call by agent counts against the limit of its agent's model, from whatever
// the client has learned that, and holds what the agent's instructions take.
func TestAgentsModel(t *testing.T) {
	config := ratelimited.Config{
		RequestsPerSecond: 1000,
		Limits:            map[string]limiter.Limit{"quick": {RequestsPerSecond: 1000, TokensPerMinute: 1e6}},
	}
	agentReply := strings.ReplaceAll(replyOf("c2", 8, 40), `"model":"m"`, `"model":"quick","agent_id":"ag_1"`)
	stream := frame("conversation.response.started", `{"type":"conversation.response.started","conversation_id":"c3"}`) +
		frame("message.output.delta", `{"type":"message.output.delta","id":"msg_1","model":"quick","agent_id":"ag_1","content":"fine"}`) +
		frame("conversation.response.done", `{"type":"conversation.response.done","usage":{"prompt_tokens":8,"completion_tokens":40,"total_tokens":48}}`)
	request := generated.StartConversationRequest{AgentID: "ag_1", Inputs: ratelimited.Text("Hello!")}
	const instructions = 4 + 6 // a message's overhead and three times two tokens

	for name, test := range map[string]struct {
		learn func(t *testing.T, client *ratelimited.Client) error
		reply http.HandlerFunc
		want  int // held by a call to the agent afterwards
	}{
		"create": {func(t *testing.T, client *ratelimited.Client) error {
			_, err := client.Beta.Agents.Create(t.Context(), generated.CreateAgentRequest{Name: "n", Model: "quick"})
			return err
		}, status(200, agentJSON), 8 + unknownReply + instructions},
		"get": {func(t *testing.T, client *ratelimited.Client) error {
			_, err := client.Beta.Agents.Get(t.Context(), "ag_1", generated.GetAgentParams{})
			return err
		}, status(200, agentJSON), 8 + unknownReply + instructions},
		"update": {func(t *testing.T, client *ratelimited.Client) error {
			_, err := client.Beta.Agents.Update(t.Context(), "ag_1", generated.UpdateAgentRequest{Name: ratelimited.Ptr("n")})
			return err
		}, status(200, agentJSON), 8 + unknownReply + instructions},
		"a reply": {func(t *testing.T, client *ratelimited.Client) error {
			_, err := client.Beta.Conversations.Start(t.Context(), request)
			return err
		}, status(200, agentReply), 8 + unknownReply},
		"a stream": {func(t *testing.T, client *ratelimited.Client) error {
			events, err := client.Beta.Conversations.StartStream(t.Context(), request)
			if err == nil {
				_, err = collect(events)
			}
			return err
		}, streaming(stream), 8 + unknownReply},
	} {
		t.Run(name, func(t *testing.T) {
			var o observer
			inBubble(t, config, o.watch(test.reply, status(200, replyOf("c4", 8, 40))), func(t *testing.T, client *ratelimited.Client) {
				o.client = client
				if err := test.learn(t, client); err != nil {
					t.Fatal(err)
				}
				if o.byName["quick"] != 0 {
					t.Fatal("the model is known before it was learned")
				}
				if _, err := client.Beta.Conversations.Start(t.Context(), request); err != nil {
					t.Fatal(err)
				}
				if got := o.byName["quick"]; got != test.want || o.byName[""] != 0 {
					t.Errorf("a call to the agent holds %v, want %d of its model's", o.byName, test.want)
				}
				// So does an append to its conversation, with the history: 48 tokens.
				append48 := generated.AppendConversationRequest{Inputs: ratelimited.Text("Hello!")}
				if _, err := client.Beta.Conversations.Append(t.Context(), "c4", append48); err != nil {
					t.Fatal(err)
				}
				if got, want := o.byName["quick"], 48+8+unknownReply; got != want {
					t.Errorf("an append holds %v, want %d of its agent's model", o.byName, want)
				}
			})
		})
	}
}

// A conversation that another client has started is known from Get and List.
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
			var o observer
			inBubble(t, config, o.watch(status(200, test.reply), status(200, replyOf("c", 8, 40))), func(t *testing.T, client *ratelimited.Client) {
				o.client = client
				if err := test.learn(t, client); err != nil {
					t.Fatal(err)
				}
				request := generated.AppendConversationRequest{Inputs: ratelimited.Text("Hello!")}
				if _, err := client.Beta.Conversations.Append(t.Context(), "c", request); err != nil || o.byName["quick"] != 8+unknownReply {
					t.Errorf("an append holds %v (%v), want %d of its model", o.byName, err, 8+unknownReply)
				}
			})
		})
	}
}
