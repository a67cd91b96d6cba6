package ratelimited_test

import (
	"encoding/base64"
	"errors"
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

// agentJSON is an agent of the API.
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
		learn   func(t *testing.T, client *ratelimited.Client) error
		handler http.HandlerFunc
		want    int // tokens that the next call of the agent holds
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
			runWithHandler(t, config, o.record(test.handler, status(200, responseWithUsage("c4", 8, 40))), func(t *testing.T, client *ratelimited.Client) {
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
		response string
		learn    func(t *testing.T, client *ratelimited.Client) error
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
			runWithHandler(t, config, o.record(status(200, test.response), status(200, responseWithUsage("c", 8, 40))), func(t *testing.T, client *ratelimited.Client) {
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

// The client learns the tokens of connectors. It does not learn a short response from a response that
// max_tokens has truncated.
func TestEstimatesOfUnusualResponses(t *testing.T) {
	connectors := `{"conversation_id":"c","outputs":[],"usage":{"prompt_tokens":8,"completion_tokens":40,"connector_tokens":900,"total_tokens":948}}`
	for name, test := range map[string]struct {
		response string
		max      *int
		want     int
	}{
		"connectors": {connectors, nil, 8 + 940},
		"truncated":  {responseWithUsage("c", 8, 1), ratelimited.Ptr(1), 8 + defaultResponseEstimate},
	} {
		t.Run(name, func(t *testing.T) {
			var o heldTokens
			runWithHandler(t, fast, o.record(status(200, test.response)), func(t *testing.T, client *ratelimited.Client) {
				o.client = client
				for i := range 70 {
					request := generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Text("Hello!")}
					if i < 69 {
						request.CompletionArgs.MaxTokens = test.max
					}
					if _, err := client.Beta.Conversations.Start(t.Context(), request); err != nil {
						t.Fatal(err)
					}
				}
				if got := o.byLimiter[""]; got != test.want {
					t.Errorf("the last call holds %d tokens, want %d", got, test.want)
				}
			})
		})
	}
}

// withChunks returns a request with one message of the given chunks.
func withChunks(chunks ...generated.ContentChunkVariant) generated.StartConversationRequest {
	list := make([]generated.ContentChunk, len(chunks))
	for i, c := range chunks {
		list[i] = generated.NewContentChunk(c)
	}
	return generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Entries(ratelimited.UserChunks(list...))}
}

// words returns a text of about n tokens.
func words(n int) string { return strings.Repeat(" hello", n) }

// The client learns the tokens of documents separately from the tokens of text. So documents do not change
// the estimates for text.
func TestDocumentsDoNotChangeTextEstimates(t *testing.T) {
	config := ratelimited.Config{RequestsPerSecond: 1000, TokensPerMinute: 100_000}
	document := withChunks(generated.DocumentURLChunk{DocumentURL: "https://example.com/a.pdf"}, generated.TextChunk{Text: "Summarize."})
	var o heldTokens
	handler := func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, 200, responseWithUsage("c", 6010, 10)) }
	runWithHandler(t, config, o.record(handler), func(t *testing.T, client *ratelimited.Client) {
		o.client = client
		call := func(request generated.StartConversationRequest) int {
			if _, err := client.Beta.Conversations.Start(t.Context(), request); err != nil {
				t.Fatal(err)
			}
			return o.byLimiter[""]
		}
		for range 12 {
			call(document)
		}
		if held := call(document); held < 5500 || held > 6100 {
			t.Errorf("the estimate for a document is %d tokens, want about 6,010", held)
		}
		if held := call(generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Text(words(30_000))}); held < 29_000 || held > 31_000 {
			t.Errorf("the estimate for a text is %d tokens, want about 30,000", held)
		}
	})
}

// A learned estimate never makes a call too large for the bucket. The client sends the call and learns from it.
func TestLearnedEstimatesDoNotRejectCalls(t *testing.T) {
	config := ratelimited.Config{RequestsPerSecond: 1000, TokensPerMinute: 100_000}
	costs := make(chan int, 100)
	handler := func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, 200, responseWithUsage("c", <-costs, 10)) }
	document := withChunks(generated.DocumentURLChunk{DocumentURL: "https://example.com/a.pdf"})
	for name, request := range map[string]generated.StartConversationRequest{
		"ratio": {Model: "m", Inputs: ratelimited.Text(words(30_000))}, "price": document, "many parts": withChunks(manyImages(150)...),
	} {
		t.Run(name, func(t *testing.T) {
			runWithHandler(t, config, handler, func(t *testing.T, client *ratelimited.Client) {
				for i := range 40 {
					cost := 90_000
					if i >= 20 {
						cost = 1000
					}
					costs <- cost
					if _, err := client.Beta.Conversations.Start(t.Context(), request); err != nil {
						t.Fatalf("call %d: %v", i, err)
					}
				}
			})
		})
	}
	runWithHandler(t, config, handler, func(t *testing.T, client *ratelimited.Client) {
		_, err := client.Beta.Conversations.Start(t.Context(), generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Text(words(101_000))})
		if !errors.Is(err, ratelimited.ErrInvalid) {
			t.Errorf("a text of 101,000 counted tokens returns %v, want ErrInvalid", err)
		}
	})
}

// manyImages returns n image chunks.
func manyImages(n int) []generated.ContentChunkVariant {
	list := make([]generated.ContentChunkVariant, n)
	for i := range list {
		list[i] = generated.ImageURLChunk{ImageURL: generated.ImageURL{URL: "https://example.com/a.png"}}
	}
	return list
}

// The client estimates a chunk of an unknown type as a file. It does not count the chunk's data as text.
func TestUnknownChunksAreNotCountedAsText(t *testing.T) {
	audio := base64.StdEncoding.EncodeToString(make([]byte, 9<<18)) // 3 MiB
	raw := `{"type":"input_audio","input_audio":"` + audio + `"}`
	config := ratelimited.Config{RequestsPerSecond: 1000, TokensPerMinute: 100_000}
	var observed *ratelimited.Client
	held := 0
	transport := roundTripperFunc(func(*http.Request) (*http.Response, error) { // not a handler: the OpenAPI document does not define the type
		held = snapshot(observed).HeldTokens
		return newResponse(200, "application/json", responseJSON("fine", 30)), nil
	})
	runWithTransport(t, config, transport, func(t *testing.T, client *ratelimited.Client) {
		observed = client
		request := withChunks(generated.UnknownContentChunk{Type: "input_audio", Raw: []byte(raw)})
		if _, err := client.Beta.Conversations.Start(t.Context(), request); err != nil {
			t.Fatal(err)
		}
		if held < 1024+defaultResponseEstimate || held > 1024+defaultResponseEstimate+100 {
			t.Errorf("the estimate is %d tokens, want about %d", held, 1024+defaultResponseEstimate)
		}
	})
}

// The client counts the tokens of a JSON Schema in the response format.
func TestSchemaIsCounted(t *testing.T) {
	var o heldTokens
	config := ratelimited.Config{RequestsPerSecond: 1000, TokensPerMinute: 100_000}
	runWithHandler(t, config, o.record(ok), func(t *testing.T, client *ratelimited.Client) {
		o.client = client
		request := generated.StartConversationRequest{
			Model: "m", Inputs: ratelimited.Text("Hello!"),
			CompletionArgs: generated.CompletionArgs{ResponseFormat: generated.ResponseFormat{
				Type:       generated.ResponseFormatsJSONSchema,
				JSONSchema: generated.JSONSchema{Name: "answer", Schema: map[string]any{"type": "object", "description": words(5000)}},
			}},
		}
		if _, err := client.Beta.Conversations.Start(t.Context(), request); err != nil {
			t.Fatal(err)
		}
		if held := o.byLimiter[""]; held < 5000+defaultResponseEstimate || held > 5100+defaultResponseEstimate {
			t.Errorf("the estimate is %d tokens, want about %d", held, 5000+defaultResponseEstimate)
		}
	})
}
