// Package coverage checks that tests exercise the whole OpenAPI document. That includes
// every operation, every response status and media type, every event type and every
// parameter. It includes every property, union member and enum value, in requests and in
// responses. The package parses the document without the code under test, sends traffic
// through the client and the emulator, and reports each item that the traffic did not
// exercise.
package coverage_test

import (
	"slices"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/openapi"
)

var scenarios = []scenario{
	{name: "agents", exercise: agents, unique: item{operationKind, "UpdateAgentVersion"}},
	{name: "enum values", exercise: enumValues, unique: item{valueKind, "sent /components/schemas/ReasoningEffort/enum (xhigh)"}},
	{name: "conversations", exercise: conversations, unique: item{responseKind, "DeleteConversation 204"}},
	{name: "conversations with an agent", exercise: conversationsWithAnAgent, unique: item{memberKind, "sent /components/schemas/RestartConversationRequest/properties/agent_version/anyOf/1 (integer)"}},
	{name: "entries", exercise: entries, unique: item{propertyKind, "sent /components/schemas/MessageInputEntry/properties/prefix"}},
	{name: "outputs", exercise: outputs, config: emulator.Config{Model: allOutputs}, unique: item{eventKind, "conversation.response.error"}},
	{name: "built-in tools", exercise: builtInTools, unique: item{valueKind, "sent /components/schemas/ToolCallConfirmation/properties/confirmation/enum (deny)"}},
	{name: "handoffs", exercise: handoffs, unique: item{valueKind, "sent /components/schemas/RestartConversationRequest/properties/handoff_execution/enum (client)"}},
	{name: "alternative forms", exercise: alternativeForms, config: emulator.Config{Intercept: alternativeServer}, unique: item{memberKind, "received /components/schemas/OutputContentChunks/anyOf/0 (TextChunk)"}},
	{name: "validation errors", exercise: validationErrors, unique: item{responseKind, "AppendConversationStream 422 application/json"}},
}

func TestDocumentIsExercised(t *testing.T) {
	doc, err := readDocument(openapi.Document())
	if err != nil {
		t.Fatal(err)
	}
	items, err := doc.items()
	if err != nil {
		t.Fatal(err)
	}
	exercised := make([]marks, len(scenarios))
	for i, s := range scenarios {
		if !t.Run(s.name, func(t *testing.T) { exercised[i] = s.run(t, doc) }) {
			t.Fatalf("scenario %q failed", s.name)
		}
	}
	for _, i := range missing(items, exercised...) {
		t.Errorf("not exercised: %s", i)
	}
	// Without a scenario, its unique item must be missing.
	for n, s := range scenarios {
		others := slices.Delete(slices.Clone(exercised), n, n+1)
		if without := missing(items, others...); !slices.Contains(without, s.unique) {
			t.Errorf("without scenario %q, %q are missing, want %q among them", s.name, without, s.unique)
		}
	}
	for _, k := range kinds {
		ofKind := slices.DeleteFunc(slices.Clone(items), func(i item) bool { return i.kind != k })
		t.Logf("%s: %d of %d", k, len(ofKind)-len(missing(ofKind, exercised...)), len(ofKind))
	}
}
