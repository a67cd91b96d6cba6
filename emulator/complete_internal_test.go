package emulator

import (
	"net/http"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/openapi"
)

// The emulator sends properties that a newer document has and the generated types do not.
func TestNewPropertiesAreSent(t *testing.T) {
	t.Parallel()
	document := string(openapi.Document())
	for schema, property := range map[string]string{
		"ModelConversation": "priority: {type: integer, minimum: 3}", "ConversationUsageInfo": "cost: {type: number}", "AgentConversation": "rank: {type: integer}", "Agent": "tags: {type: array, items: {type: string}}",
		"MessageOutputEntry": "tone: {enum: [calm]}", "MessageOutputEvent": "tone: {enum: [calm]}", "TextChunk": "language: {type: string}",
	} {
		before, after, ok := strings.Cut(document, "\n    "+schema+":\n")
		head, rest, found := strings.Cut(after, "\n      properties:\n")
		if !ok || !found {
			t.Fatalf("the document does not have the schema %s", schema)
		}
		document = before + "\n    " + schema + ":\n" + head + "\n      properties:\n        " + property + "\n" + rest
	}
	e := New(Config{Model: ok})
	e.completer = newCompleter([]byte(document), knownProperties)
	started := e.send(t.Context(), http.MethodPost, "/v1/conversations", `{"model":"m","inputs":"x"}`).Body.String()
	id := e.mustSend(t, http.MethodPost, "/v1/conversations", `{"model":"m","inputs":"x"}`, http.StatusOK)
	agent := e.mustSend(t, http.MethodPost, "/v1/agents", `{"model":"m","name":"n"}`, http.StatusOK)
	withAgent := e.mustSend(t, http.MethodPost, "/v1/conversations", `{"agent_id":"`+agent+`","inputs":"x"}`, http.StatusOK)
	for name, test := range map[string]struct{ body, want string }{
		"response":      {started, `"tone":"calm"`},
		"usage":         {started, `"cost":`},
		"events":        {e.send(t.Context(), http.MethodPost, "/v1/conversations", `{"model":"m","inputs":"x","stream":true}`).Body.String(), `"tone":"calm"`},
		"get":           {e.send(t.Context(), http.MethodGet, "/v1/conversations/"+id, "").Body.String(), `"priority":3`},
		"with an agent": {e.send(t.Context(), http.MethodGet, "/v1/conversations/"+withAgent, "").Body.String(), `"rank":`},
		"list":          {e.send(t.Context(), http.MethodGet, "/v1/conversations", "").Body.String(), `"priority":3`},
		"history":       {e.send(t.Context(), http.MethodGet, "/v1/conversations/"+id+"/history", "").Body.String(), `"tone":"calm"`},
		"agent":         {e.send(t.Context(), http.MethodPost, "/v1/agents", `{"model":"m","name":"n"}`).Body.String(), `"tags":["tags"]`},
	} {
		if !strings.Contains(test.body, test.want) {
			t.Errorf("%s: %s, want %s in it", name, test.body, test.want)
		}
	}
	if unknown := defaultCompleter().unknown; len(unknown) > 0 {
		t.Logf("properties that the generated types do not have: %v", unknown)
	}
}
