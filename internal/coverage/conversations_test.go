package coverage_test

import (
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// conversations has all operations on conversations with a model.
func conversations(s *stage) {
	ctx := s.Context()
	// The guardrails judge, and find nothing.
	first := s.start(generated.StartConversationRequest{
		Model: model, Inputs: ratelimited.Text("Hello!"), Instructions: "Be brief.", Tools: allTools(configured()), CompletionArgs: allArgs(),
		Guardrails: allGuardrails(), Name: "greeting", Description: "a test", Metadata: metadata, Store: ptr(true),
		HandoffExecution: generated.HandoffExecutionServer,
	})
	id := first.ConversationID
	more := generated.AppendConversationRequest{
		Inputs: ratelimited.Text("More."), Store: ptr(true), HandoffExecution: generated.HandoffExecutionServer, CompletionArgs: allArgs(),
	}
	got(s.Conversations.Append(ctx, id, more)).on(s)
	s.streams(s.Conversations.AppendStream(ctx, id, more))
	history := got(s.Conversations.GetHistory(ctx, id)).on(s)
	same(s, "entries", len(history.Entries), 6)
	same(s, "messages", len(got(s.Conversations.GetMessages(ctx, id)).on(s).Messages), 6)

	answer, ok := history.Entries[1].Value().(generated.MessageOutputEntry)
	same(s, "that the second entry is the answer", ok, true)
	again := generated.RestartConversationRequest{
		FromEntryID: answer.ID, Inputs: ratelimited.Text("Again."), Store: ptr(true), HandoffExecution: generated.HandoffExecutionServer,
		CompletionArgs: allArgs(), Guardrails: allGuardrails(), Metadata: metadata,
	}
	got(s.Conversations.Restart(ctx, id, again)).on(s)
	s.streams(s.Conversations.RestartStream(ctx, id, again))

	same(s, "the name", got(s.Conversations.Get(ctx, id)).on(s).Name, "greeting")
	list := got(s.Conversations.List(ctx, generated.ListConversationsParams{Page: ptr(0), PageSize: ptr(3), Metadata: &metadata})).on(s)
	same(s, "conversations listed", len(list), 3)
	if err := s.Conversations.Delete(ctx, id); err != nil {
		s.Error(err)
	}
}

// conversationsWithAnAgent has those with an agent, whose version is a number or an
// alias.
func conversationsWithAnAgent(s *stage) {
	ctx := s.Context()
	agent := got(s.Agents.Create(ctx, generated.CreateAgentRequest{Model: model, Name: "helper"})).on(s)
	got(s.Agents.CreateVersionAlias(ctx, agent.ID, "prod", 0)).on(s)
	for _, version := range []generated.StringOrInteger{"0", "prod"} {
		started := s.start(generated.StartConversationRequest{
			AgentID: agent.ID, AgentVersion: version, Inputs: ratelimited.Text("Hello!"), Name: "greeting", Description: "a test", Metadata: metadata,
		})
		same(s, "the version", got(s.Conversations.Get(ctx, started.ConversationID)).on(s).AgentVersion, version)
		answer, _ := started.Outputs[0].Value().(generated.MessageOutputEntry)
		again := generated.RestartConversationRequest{FromEntryID: answer.ID, AgentVersion: version, Inputs: ratelimited.Text("Again.")}
		restarted := got(s.Conversations.Restart(ctx, started.ConversationID, again)).on(s)
		same(s, "the version restarted with", got(s.Conversations.Get(ctx, restarted.ConversationID)).on(s).AgentVersion, version)
	}
	list := got(s.Conversations.List(ctx, generated.ListConversationsParams{})).on(s)
	same(s, "conversations", len(list), 6)
}

// entries has all types of entries and of chunks as inputs: a history that was made
// elsewhere.
func entries(s *stage) {
	when := generated.Timestamp{}
	if err := when.UnmarshalJSON([]byte(`"2026-01-02T03:04:05Z"`)); err != nil {
		s.Fatal(err)
	}
	inputs := []generated.EntryVariant{
		generated.MessageInputEntry{
			ID: "msg_1", Role: generated.MessageRoleUser, Content: generated.NewChunkContent(inputChunks()...), CreatedAt: when, CompletedAt: when,
		},
		generated.ToolExecutionEntry{
			ID: "tool_exec_1", Name: "web_search", Arguments: "{}", Info: map[string]any{"result": "{}"}, Model: model, AgentID: "ag_1",
			CreatedAt: when, CompletedAt: when,
		},
		generated.FunctionCallEntry{
			ID: "fc_1", ToolCallID: "call_1", Name: "get_weather", Arguments: `{"city":"Paris"}`, Model: model, AgentID: "ag_1",
			ConfirmationStatus: generated.ConfirmationStatusAllowed, CreatedAt: when, CompletedAt: when,
		},
		generated.FunctionResultEntry{ID: "fr_1", ToolCallID: "call_1", Result: "rain", CreatedAt: when, CompletedAt: when},
		generated.AgentHandoffEntry{
			ID: "handoff_1", PreviousAgentID: "ag_1", PreviousAgentName: "a", NextAgentID: "ag_2", NextAgentName: "b", CreatedAt: when, CompletedAt: when,
		},
		generated.MessageOutputEntry{
			ID: "msg_2", Content: generated.NewChunkContent(outputChunks()...), Role: generated.MessageRoleAssistant, Model: model, AgentID: "ag_2",
			CreatedAt: when, CompletedAt: when,
		},
		generated.MessageInputEntry{
			ID: "msg_3", Role: generated.MessageRoleAssistant, Content: generated.NewTextContent("It will"), Prefix: true, CreatedAt: when, CompletedAt: when,
		},
	}
	list := make([]generated.Entry, len(inputs))
	for i, v := range inputs {
		list[i] = generated.NewEntry(v)
	}
	started := s.start(generated.StartConversationRequest{Model: model, Inputs: ratelimited.Entries(list...)})
	history := got(s.Conversations.GetHistory(s.Context(), started.ConversationID)).on(s)
	same(s, "entries", len(history.Entries), len(list)+1)
	s.moves(started.ConversationID)
	got(s.Conversations.GetMessages(s.Context(), started.ConversationID)).on(s)
}
