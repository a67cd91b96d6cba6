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

// A gateway's words for a 429 do not name a tool: everybody waits.
func TestWordsOfGateways(t *testing.T) {
	for _, message := range []string{"API rate limit exceeded", "Your rate limit has been reached", "Global rate limit exceeded"} {
		t.Run(message, func(t *testing.T) {
			refusal := status(429, fmt.Sprintf(`{"message":%q}`, message), "Retry-After", "20")
			inBubble(t, fast, refusal, func(t *testing.T, client *ratelimited.Client) {
				_, err := start(t.Context(), client, ratelimited.WithMaxRetries(0))
				var limited *ratelimited.RateLimitError
				if !errors.As(err, &limited) || limited.LimitType != "" {
					t.Errorf("%v is about %q, want nothing known", err, limited.LimitType)
				}
				if until := snapshot(client).PausedUntil; !until.Equal(time.Now().Add(20 * time.Second)) {
					t.Errorf("the pause lasts until %v", until)
				}
			})
		})
	}
}

// What tools of the service add is learned, and a reply that max_tokens has cut
// teaches no other call to be short.
func TestEstimatesOfOddReplies(t *testing.T) {
	connectors := `{"conversation_id":"c","outputs":[],"usage":{"prompt_tokens":8,"completion_tokens":40,"connector_tokens":900,"total_tokens":948}}`
	for name, test := range map[string]struct {
		reply string
		max   *int
		want  int
	}{
		"connectors": {connectors, nil, 8 + 940},
		"cut":        {replyOf("c", 8, 1), ratelimited.Ptr(1), 8 + unknownReply},
	} {
		t.Run(name, func(t *testing.T) {
			var o observer
			inBubble(t, fast, o.watch(status(200, test.reply)), func(t *testing.T, client *ratelimited.Client) {
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
				if got := o.byName[""]; got != test.want {
					t.Errorf("the last call holds %d tokens, want %d", got, test.want)
				}
			})
		})
	}
}

// Events in an odd order make the same reply.
func TestStreamResponseOfOddOrders(t *testing.T) {
	delta := func(index int, content string) string {
		return frame("message.output.delta", fmt.Sprintf(`{"type":"message.output.delta","id":"msg_1","content_index":%d,"content":%s}`, index, content))
	}
	thought := `{"type":"thinking","thinking":[{"type":"text","text":"Hm."}]}`
	tool := func(event, rest string) string {
		return frame(event, `{"type":"`+event+`","id":"tool_1","name":"web_search"`+rest+`}`)
	}
	for name, test := range map[string]struct{ events, want string }{
		"an empty beginning": {delta(0, `""`) + delta(0, thought) + delta(1, `"Yes"`), `[{"thinking":[{"text":"Hm.","type":"text"}],"type":"thinking"},{"text":"Yes","type":"text"}]`},
		"taking turns":       {delta(0, `"one "`) + delta(1, `"uno "`) + delta(0, `"two"`) + delta(1, `"dos"`), `[{"text":"one two","type":"text"},{"text":"uno dos","type":"text"}]`},
		"done before started": {tool("tool.execution.done", `,"info":{"result":"r"}`) + tool("tool.execution.started", `,"arguments":""`),
			`"id":"tool_1","info":{"result":"r"},"name":"web_search"`},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, fast, streaming(started+test.events+done), func(t *testing.T, client *ratelimited.Client) {
				stream := startStream(t.Context(), t, client)
				if _, err := collect(stream); err != nil {
					t.Fatal(err)
				}
				data, err := json.Marshal(stream.Response())
				if err != nil || !strings.Contains(string(data), test.want) {
					t.Errorf("the reply is %s (%v), want %s", data, err, test.want)
				}
			})
		})
	}
}
