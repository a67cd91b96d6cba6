package coverage_test

import (
	"context"
	"errors"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// everything is a model that returns outputs of all types, with chunks of all types, or
// breaks off.
func everything(_ context.Context, p emulator.Prompt) emulator.Reply {
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

// outputs has all that a model can return.
func outputs(s *stage) {
	agent := got(s.Agents.Create(s.Context(), generated.CreateAgentRequest{Model: model, Name: "helper"})).on(s)
	response := s.start(generated.StartConversationRequest{
		AgentID: agent.ID, Inputs: ratelimited.Text("Say everything"), HandoffExecution: generated.HandoffExecutionClient,
	})
	same(s, "outputs", len(response.Outputs), 9)
	s.moves(response.ConversationID)

	_, err := s.stream(s.Conversations.StartStream(s.Context(), generated.StartConversationRequest{Model: model, Inputs: ratelimited.Text("Break off")}))
	var failed *ratelimited.StreamError
	if !errors.As(err, &failed) {
		s.Errorf("the stream ended with %v", err)
	}
}

// builtInTools has the service run all of its tools, and those that are confirmed.
func builtInTools(s *stage) {
	for name, prompt := range map[string]string{
		"web_search": "Search for gophers", "web_search_premium": "Search for gophers", "code_interpreter": "Compute 6 x 7 with code",
		"image_generation": "Draw a gopher", "document_library": "Read the document", connector: "Ask " + connector,
	} {
		only := generated.ToolConfiguration{Include: []string{name}}
		response := s.start(generated.StartConversationRequest{Model: model, Inputs: ratelimited.Text(prompt), Tools: allTools(only)})
		run, _ := response.Outputs[0].Value().(generated.ToolExecutionEntry)
		same(s, "the tool", run.Name, name)
		s.moves(response.ConversationID)
	}
	for _, word := range []generated.ToolConfirmation{generated.ToolConfirmationAllow, generated.ToolConfirmationDeny} {
		asking := generated.ToolConfiguration{RequiresConfirmation: []string{"web_search"}}
		response := got(s.Conversations.Start(s.Context(), generated.StartConversationRequest{
			Model: model, Inputs: ratelimited.Text("Search for gophers"), Tools: allTools(asking),
		})).on(s)
		calls := ratelimited.FunctionCalls(response)
		same(s, "calls", len(calls), 1)
		got(s.Conversations.Append(s.Context(), response.ConversationID, generated.AppendConversationRequest{
			ToolConfirmations: []generated.ToolCallConfirmation{{ToolCallID: calls[0].ToolCallID, Confirmation: word}},
		})).on(s)
		s.moves(response.ConversationID)
	}
}

// handoffs has an agent hand over, carried out by the service and by the caller, in
// each operation that runs an agent.
func handoffs(s *stage) {
	ctx := s.Context()
	expert := got(s.Agents.Create(ctx, generated.CreateAgentRequest{Model: model, Name: "numbers"})).on(s)
	desk := got(s.Agents.Create(ctx, generated.CreateAgentRequest{Model: model, Name: "desk", Handoffs: []string{expert.ID}})).on(s)
	for _, by := range []generated.HandoffExecution{generated.HandoffExecutionServer, generated.HandoffExecutionClient} {
		hello := got(s.Conversations.Start(ctx, generated.StartConversationRequest{
			AgentID: desk.ID, Inputs: ratelimited.Text("Say hello"), HandoffExecution: by,
		})).on(s)
		answer, _ := hello.Outputs[0].Value().(generated.MessageOutputEntry)
		restart := generated.RestartConversationRequest{
			FromEntryID: answer.ID, Inputs: ratelimited.Text("Numbers: what is 2+2?"), HandoffExecution: by,
		}
		ask := generated.AppendConversationRequest{Inputs: restart.Inputs, HandoffExecution: by}
		for _, response := range []*generated.ConversationResponse{
			got(s.Conversations.Restart(ctx, hello.ConversationID, restart)).on(s),
			s.streams(s.Conversations.RestartStream(ctx, hello.ConversationID, restart)),
			got(s.Conversations.Append(ctx, hello.ConversationID, ask)).on(s),
		} {
			over, _ := response.Outputs[0].Value().(generated.AgentHandoffEntry)
			same(s, "the next agent", over.NextAgentID, expert.ID)
			same(s, "whether it has answered", len(response.Outputs) == 2, by == generated.HandoffExecutionServer)
		}
	}
}
