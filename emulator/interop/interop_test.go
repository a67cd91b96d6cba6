// Package interop_test tests the emulator with Mistral's TypeScript client.
package interop_test

import (
	"context"
	_ "embed"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/nodetest"
)

// The versions of the client, and the script that uses it.
var (
	//go:embed package.json
	manifest []byte
	//go:embed package-lock.json
	lock []byte
	//go:embed client.mjs
	script []byte
)

// steps lists the steps that the script must print, in order.
var steps = []string{
	"start",
	"start with entries and settings",
	"start without storing",
	"structured output",
	"start stream",
	"append",
	"append stream",
	"restart",
	"restart stream",
	"history",
	"messages",
	"list conversations",
	"delete conversation",
	"agent",
	"agent versions",
	"agent aliases",
	"list agents",
	"delete agent",
	"function calling",
	"function calling stream",
	"tool choice",
	"web search",
	"web search stream",
	"other tools of the service",
	"confirmation",
	"handoff between agents",
	"guardrail",
	"handoff",
	"thinking",
	"429 of requests",
	"429 of tokens",
	"429 and the client's own retries",
	"401",
	"404",
	"422",
	"an error within a stream",
	"a stream that is closed early",
}

// operations lists all operations of the API. The client must use each.
var operations = []string{
	"StartConversation", "StartConversationStream", "AppendConversation", "AppendConversationStream",
	"RestartConversation", "RestartConversationStream", "ListConversations", "GetConversation",
	"DeleteConversation", "GetConversationHistory", "GetConversationMessages",
	"CreateAgent", "GetAgent", "UpdateAgent", "DeleteAgent", "ListAgents", "ListAgentPages",
	"UpdateAgentVersion", "ListAgentVersions", "GetAgentVersion",
	"CreateAgentVersionAlias", "ListAgentVersionAliases", "DeleteAgentVersionAlias",
}

// TestOfficialClient checks that the client works with the emulator when only its URL is
// changed.
func TestOfficialClient(t *testing.T) {
	node := nodetest.Node(t, 18)
	dir := nodetest.Install(t, "interop", manifest, lock)

	server, err := emulator.Start(emulator.Config{
		APIKey: "interop-key",
		Limits: map[string]emulator.Limit{
			"one-request":  {RequestsPerSecond: 0.001},
			"few-requests": {RequestsPerSecond: 1},
			"few-tokens":   {TokensPerMinute: 1},
		},
		Model:       model,
		OnViolation: func(err error) { t.Errorf("the emulator violated the document: %v", err) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = server.Close() })

	out, err := nodetest.Run(t, dir, time.Minute, script, node, "--input-type=module", "-", server.URL())
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	for i, name := range steps {
		t.Run(name, func(t *testing.T) {
			if i >= len(lines) {
				t.Fatal("the script ended before this step")
			}
			if got, want := lines[i], name+": ok"; got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
	for _, line := range lines[min(len(steps), len(lines)):] {
		t.Errorf("unexpected step: %s", line)
	}
	if err != nil {
		t.Error(err)
	}

	stats := server.Stats()
	for _, name := range operations {
		if stats.Operations[name] == 0 {
			t.Errorf("the client did not use %s", name)
		}
	}
	if refused := stats.Total().Refused(); refused < 3 || refused != stats.Statuses[http.StatusTooManyRequests] {
		t.Errorf("%d requests were refused and %d received 429; want the same number, and at least 3",
			refused, stats.Statuses[http.StatusTooManyRequests])
	}
}

// model adds prompts to the default model that return a handoff, a thought or an error.
func model(ctx context.Context, p emulator.Prompt) emulator.Reply {
	switch p.Text() {
	case "hand off":
		return emulator.Reply{Text: "The workshop is here.", Entries: []generated.Entry{
			generated.NewEntry(generated.AgentHandoffEntry{
				PreviousAgentID: "ag_1", PreviousAgentName: "front desk", NextAgentID: "ag_2", NextAgentName: "workshop",
			}),
		}}
	case "think":
		return emulator.Reply{Entries: []generated.Entry{
			generated.NewEntry(generated.MessageOutputEntry{Content: generated.NewChunkContent(
				generated.NewContentChunk(generated.ThinkChunk{
					Thinking: []generated.ContentChunk{generated.NewContentChunk(generated.TextChunk{Text: "A thought."})},
				}),
				generated.NewContentChunk(generated.TextChunk{Text: "An answer."}),
			)}),
		}}
	case "fail midway":
		return emulator.Reply{Text: "So far", Err: &emulator.Error{
			Status: http.StatusServiceUnavailable, Message: "the model is unavailable",
		}}
	default:
		return emulator.DefaultModel(ctx, p)
	}
}
