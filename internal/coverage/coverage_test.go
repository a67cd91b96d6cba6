// Package coverage checks that tests exercise the whole of the OpenAPI document: each
// operation, each status and media type that it may answer, each type of event, each
// parameter; and, of what is sent and of what is received, each member of each union,
// each value of each enumeration and each property. It reads the document itself, sends
// traffic through the client and the emulator, and names what never passed.
package coverage_test

import (
	"slices"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/openapi"
)

var scenarios = []scenario{
	{name: "agents", play: agents, alone: item{operationKind, "UpdateAgentVersion"}},
	{name: "choices", play: choices, alone: item{valueKind, "sent /components/schemas/ReasoningEffort/enum (xhigh)"}},
	{name: "conversations", play: conversations, alone: item{replyKind, "DeleteConversation 204"}},
	{name: "conversations with an agent", play: conversationsWithAnAgent, alone: item{memberKind, "sent /components/schemas/RestartConversationRequest/properties/agent_version/anyOf/1 (integer)"}},
	{name: "entries", play: entries, alone: item{propertyKind, "sent /components/schemas/MessageInputEntry/properties/prefix"}},
	{name: "outputs", play: outputs, config: emulator.Config{Model: everything}, alone: item{eventKind, "conversation.response.error"}},
	{name: "built-in tools", play: builtInTools, alone: item{valueKind, "sent /components/schemas/ToolCallConfirmation/properties/confirmation/enum (deny)"}},
	{name: "handoffs", play: handoffs, alone: item{valueKind, "sent /components/schemas/RestartConversationRequest/properties/handoff_execution/enum (client)"}},
	{name: "other forms", play: otherForms, config: emulator.Config{Intercept: otherServer}, alone: item{memberKind, "received /components/schemas/OutputContentChunks/anyOf/0 (TextChunk)"}},
	{name: "refusals", play: refusals, alone: item{replyKind, "AppendConversationStream 422 application/json"}},
}

func TestDocumentIsExercised(t *testing.T) {
	doc, err := readDocument(openapi.Document())
	if err != nil {
		t.Fatal(err)
	}
	survey, err := doc.survey()
	if err != nil {
		t.Fatal(err)
	}
	exercised := make([]marks, len(scenarios))
	for i, s := range scenarios {
		if !t.Run(s.name, func(t *testing.T) { exercised[i] = s.run(t, doc) }) {
			t.Fatalf("scenario %q failed", s.name)
		}
	}
	for _, i := range missing(survey, exercised...) {
		t.Errorf("never exercised: %s", i)
	}
	// Without any one of the scenarios, what it alone exercises is named.
	for n, s := range scenarios {
		others := slices.Delete(slices.Clone(exercised), n, n+1)
		if without := missing(survey, others...); !slices.Contains(without, s.alone) {
			t.Errorf("without scenario %q, want %q missing, have %q", s.name, s.alone, without)
		}
	}
	for _, k := range kinds {
		of := slices.DeleteFunc(slices.Clone(survey), func(i item) bool { return i.kind != k })
		t.Logf("%s: %d of %d", k, len(of)-len(missing(of, exercised...)), len(of))
	}
}
