package ratelimited_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// The messages of gateways for a 429 do not name a tool, so the 429 pauses all calls.
func TestGatewayMessagesDoNotNameATool(t *testing.T) {
	for _, message := range []string{"API rate limit exceeded", "Your rate limit has been reached", "Global rate limit exceeded"} {
		t.Run(message, func(t *testing.T) {
			limited := status(429, fmt.Sprintf(`{"message":%q}`, message), "Retry-After", "20")
			runWithHandler(t, fast, limited, func(t *testing.T, client *ratelimited.Client) {
				_, err := start(t.Context(), client, ratelimited.WithMaxRetries(0))
				var limited *ratelimited.RateLimitError
				if !errors.As(err, &limited) || limited.LimitType != "" {
					t.Errorf("the limit type of %v is %q, want \"\"", err, limited.LimitType)
				}
				if until := snapshot(client).PausedUntil; !until.Equal(time.Now().Add(20 * time.Second)) {
					t.Errorf("the pause lasts until %v, want 20 s", until)
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
		reply string
		max   *int
		want  int
	}{
		"connectors": {connectors, nil, 8 + 940},
		"truncated":  {responseWithUsage("c", 8, 1), ratelimited.Ptr(1), 8 + defaultResponseEstimate},
	} {
		t.Run(name, func(t *testing.T) {
			var o heldTokens
			runWithHandler(t, fast, o.record(status(200, test.reply)), func(t *testing.T, client *ratelimited.Client) {
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

// Events in an unusual order result in the same response.
func TestStreamResponseOfUnorderedEvents(t *testing.T) {
	delta := func(index int, content string) string {
		return frame("message.output.delta", fmt.Sprintf(`{"type":"message.output.delta","id":"msg_1","content_index":%d,"content":%s}`, index, content))
	}
	thought := `{"type":"thinking","thinking":[{"type":"text","text":"Hm."}]}`
	tool := func(event, rest string) string {
		return frame(event, `{"type":"`+event+`","id":"tool_1","name":"web_search"`+rest+`}`)
	}
	for name, test := range map[string]struct{ events, want string }{
		"empty first chunk":  {delta(0, `""`) + delta(0, thought) + delta(1, `"Yes"`), `[{"thinking":[{"text":"Hm.","type":"text"}],"type":"thinking"},{"text":"Yes","type":"text"}]`},
		"interleaved chunks": {delta(0, `"one "`) + delta(1, `"uno "`) + delta(0, `"two"`) + delta(1, `"dos"`), `[{"text":"one two","type":"text"},{"text":"uno dos","type":"text"}]`},
		"done before started": {tool("tool.execution.done", `,"info":{"result":"r"}`) + tool("tool.execution.started", `,"arguments":""`),
			`"id":"tool_1","info":{"result":"r"},"name":"web_search"`},
	} {
		t.Run(name, func(t *testing.T) {
			runWithHandler(t, fast, streaming(started+test.events+done), func(t *testing.T, client *ratelimited.Client) {
				stream := startStream(t.Context(), t, client)
				if _, err := collect(stream); err != nil {
					t.Fatal(err)
				}
				data, err := json.Marshal(stream.Response())
				if err != nil || !strings.Contains(string(data), test.want) {
					t.Errorf("the response is %s (%v), want it to contain %s", data, err, test.want)
				}
			})
		})
	}
}
