package coverage_test

import (
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// conversations exercises all operations on conversations with a model.
func conversations(s *env) {
	ctx := s.Context()
	// The guardrails run and block nothing.
	first := s.startBoth(generated.StartConversationRequest{
		Model: model, Inputs: ratelimited.Text("Hello!"), Instructions: "Be brief.", Tools: allTools(configured()), CompletionArgs: allArgs(),
		Guardrails: allGuardrails(), Name: "greeting", Description: "a test", Metadata: metadata, Store: ptr(true),
		HandoffExecution: generated.HandoffExecutionServer,
	})
	id := first.ConversationID
	more := generated.AppendConversationRequest{
		Inputs: ratelimited.Text("More."), Store: ptr(true), HandoffExecution: generated.HandoffExecutionServer, CompletionArgs: allArgs(),
	}
	got(s.Conversations.Append(ctx, id, more)).check(s)
	s.readWholeStream(s.Conversations.AppendStream(ctx, id, more))
	history := got(s.Conversations.GetHistory(ctx, id)).check(s)
	equal(s, "entries", len(history.Entries), 6)
	equal(s, "messages", len(got(s.Conversations.GetMessages(ctx, id)).check(s).Messages), 6)

	answer, ok := history.Entries[1].Value().(generated.MessageOutputEntry)
	equal(s, "whether the second entry is the answer", ok, true)
	again := generated.RestartConversationRequest{
		FromEntryID: answer.ID, Inputs: ratelimited.Text("Again."), Store: ptr(true), HandoffExecution: generated.HandoffExecutionServer,
		CompletionArgs: allArgs(), Guardrails: allGuardrails(), Metadata: metadata,
	}
	got(s.Conversations.Restart(ctx, id, again)).check(s)
	s.readWholeStream(s.Conversations.RestartStream(ctx, id, again))

	equal(s, "the name", got(s.Conversations.Get(ctx, id)).check(s).Name, "greeting")
	list := got(s.Conversations.List(ctx, generated.ListConversationsParams{Page: ptr(0), PageSize: ptr(3), Metadata: &metadata})).check(s)
	equal(s, "conversations listed", len(list), 3)
	if err := s.Conversations.Delete(ctx, id); err != nil {
		s.Error(err)
	}
}

// conversationsWithAnAgent exercises conversations with an agent. The version of the agent
// is a number or an alias.
func conversationsWithAnAgent(s *env) {
	ctx := s.Context()
	agent := got(s.Agents.Create(ctx, generated.CreateAgentRequest{Model: model, Name: "helper"})).check(s)
	got(s.Agents.CreateVersionAlias(ctx, agent.ID, "prod", 0)).check(s)
	for _, version := range []generated.StringOrInteger{"0", "prod"} {
		started := s.startBoth(generated.StartConversationRequest{
			AgentID: agent.ID, AgentVersion: version, Inputs: ratelimited.Text("Hello!"), Name: "greeting", Description: "a test", Metadata: metadata,
		})
		equal(s, "the version", got(s.Conversations.Get(ctx, started.ConversationID)).check(s).AgentVersion, version)
		answer, _ := started.Outputs[0].Value().(generated.MessageOutputEntry)
		again := generated.RestartConversationRequest{FromEntryID: answer.ID, AgentVersion: version, Inputs: ratelimited.Text("Again.")}
		restarted := got(s.Conversations.Restart(ctx, started.ConversationID, again)).check(s)
		equal(s, "the version restarted with", got(s.Conversations.Get(ctx, restarted.ConversationID)).check(s).AgentVersion, version)
	}
	list := got(s.Conversations.List(ctx, generated.ListConversationsParams{})).check(s)
	equal(s, "conversations", len(list), 6)
}

// entries exercises all types of entries and chunks as inputs. They are the history of a
// conversation on another server.
func entries(s *env) {
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
	started := s.startBoth(generated.StartConversationRequest{Model: model, Inputs: ratelimited.Entries(list...)})
	history := got(s.Conversations.GetHistory(s.Context(), started.ConversationID)).check(s)
	equal(s, "entries", len(history.Entries), len(list)+1)
	s.replay(started.ConversationID)
	got(s.Conversations.GetMessages(s.Context(), started.ConversationID)).check(s)
}
