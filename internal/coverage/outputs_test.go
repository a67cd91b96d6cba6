package coverage_test

import (
	"context"
	"errors"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// allOutputs is a model that returns outputs of all types, with chunks of all types. It
// fails in the middle of its text if the prompt is "Break off".
func allOutputs(_ context.Context, p emulator.Prompt) emulator.Reply {
	if p.Text() == "Break off" {
		return emulator.Reply{Text: "It is", Err: &emulator.Error{Status: 503, Message: "busy"}}
	}
	outputs := []generated.Entry{message(generated.NewTextContent("Let me see. ")), message(generated.NewChunkContent(outputChunks()...))}
	for _, tool := range []string{"web_search", connector} {
		outputs = append(outputs, generated.NewEntry(generated.ToolExecutionEntry{
			Name: tool, Arguments: `{"q":1}`, Info: map[string]any{"result": []any{"found"}},
		}))
	}
	for _, status := range []generated.ConfirmationStatus{
		"", generated.ConfirmationStatusPending, generated.ConfirmationStatusAllowed, generated.ConfirmationStatusDenied,
	} {
		outputs = append(outputs, generated.NewEntry(generated.FunctionCallEntry{
			Name: "get_weather", Arguments: `{"city":"Paris"}`, ConfirmationStatus: status,
		}))
	}
	return emulator.Reply{Entries: append(outputs, generated.NewEntry(generated.AgentHandoffEntry{NextAgentID: "ag_2", NextAgentName: "b"}))}
}

// outputs exercises all outputs of a model.
func outputs(s *env) {
	agent := got(s.Agents.Create(s.Context(), generated.CreateAgentRequest{Model: model, Name: "helper"})).check(s)
	response := s.startBoth(generated.StartConversationRequest{
		AgentID: agent.ID, Inputs: ratelimited.Text("Say everything"), HandoffExecution: generated.HandoffExecutionClient,
	})
	equal(s, "outputs", len(response.Outputs), 9)
	s.replay(response.ConversationID)

	_, err := s.readStream(s.Conversations.StartStream(s.Context(), generated.StartConversationRequest{Model: model, Inputs: ratelimited.Text("Break off")}))
	var streamErr *ratelimited.StreamError
	if !errors.As(err, &streamErr) {
		s.Errorf("the stream ended with %v, want a StreamError", err)
	}
}

// builtInTools exercises all built-in tools, and those that need a confirmation.
func builtInTools(s *env) {
	for name, prompt := range map[string]string{
		"web_search": "Search for gophers", "web_search_premium": "Search for gophers", "code_interpreter": "Compute 6 x 7 with code",
		"image_generation": "Draw a gopher", "document_library": "Read the document", connector: "Ask " + connector,
	} {
		only := generated.ToolConfiguration{Include: []string{name}}
		response := s.startBoth(generated.StartConversationRequest{Model: model, Inputs: ratelimited.Text(prompt), Tools: allTools(only)})
		run, _ := response.Outputs[0].Value().(generated.ToolExecutionEntry)
		equal(s, "the tool", run.Name, name)
		s.replay(response.ConversationID)
	}
	for _, confirmation := range []generated.ToolConfirmation{generated.ToolConfirmationAllow, generated.ToolConfirmationDeny} {
		confirmed := generated.ToolConfiguration{RequiresConfirmation: []string{"web_search"}}
		response := got(s.Conversations.Start(s.Context(), generated.StartConversationRequest{
			Model: model, Inputs: ratelimited.Text("Search for gophers"), Tools: allTools(confirmed),
		})).check(s)
		calls := ratelimited.FunctionCalls(response)
		equal(s, "calls", len(calls), 1)
		got(s.Conversations.Append(s.Context(), response.ConversationID, generated.AppendConversationRequest{
			ToolConfirmations: []generated.ToolCallConfirmation{{ToolCallID: calls[0].ToolCallID, Confirmation: confirmation}},
		})).check(s)
		s.replay(response.ConversationID)
	}
}

// handoffs exercises handoffs between agents in each operation that runs an agent. The
// server or the client executes them.
func handoffs(s *env) {
	ctx := s.Context()
	expert := got(s.Agents.Create(ctx, generated.CreateAgentRequest{Model: model, Name: "numbers"})).check(s)
	desk := got(s.Agents.Create(ctx, generated.CreateAgentRequest{Model: model, Name: "desk", Handoffs: []string{expert.ID}})).check(s)
	for _, by := range []generated.HandoffExecution{generated.HandoffExecutionServer, generated.HandoffExecutionClient} {
		hello := got(s.Conversations.Start(ctx, generated.StartConversationRequest{
			AgentID: desk.ID, Inputs: ratelimited.Text("Say hello"), HandoffExecution: by,
		})).check(s)
		answer, _ := hello.Outputs[0].Value().(generated.MessageOutputEntry)
		restart := generated.RestartConversationRequest{
			FromEntryID: answer.ID, Inputs: ratelimited.Text("Numbers: what is 2+2?"), HandoffExecution: by,
		}
		ask := generated.AppendConversationRequest{Inputs: restart.Inputs, HandoffExecution: by}
		for _, response := range []*generated.ConversationResponse{
			got(s.Conversations.Restart(ctx, hello.ConversationID, restart)).check(s),
			s.readWholeStream(s.Conversations.RestartStream(ctx, hello.ConversationID, restart)),
			got(s.Conversations.Append(ctx, hello.ConversationID, ask)).check(s),
		} {
			handoff, _ := response.Outputs[0].Value().(generated.AgentHandoffEntry)
			equal(s, "the next agent", handoff.NextAgentID, expert.ID)
			equal(s, "whether the next agent has answered", len(response.Outputs) == 2, by == generated.HandoffExecutionServer)
		}
	}
}
