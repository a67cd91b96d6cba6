package main

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// question is a question about the API that the documentation does not answer. Its name begins with
// its number in the list of open questions.
type question struct {
	name, text string
	ask        func(context.Context, *session) (string, error)
}

var questions = []question{
	{"9 response", "properties of a response that max_tokens cut", properties},
	{"4 one by one", "can results be appended one by one?", oneByOne},
	{"10 twice", "the same results appended again", appendTwice},
	{"13 restart", "restart without inputs from a function.result", restart},
	{"6 unknown ids", "function.call and function.result as inputs, not stored", unknownIDs},
	{"7 format and tools", "does the model call functions with a response_format?", formatAndTools},
	{"8 strict", "strict mode with an optional property and a recursive reference", strict},
	{"5 arguments", "completion_args of an append: replaced, merged, for one call?", arguments},
	{"2 agent overrides", "tools and instructions with agent_id", agentOverrides},
	{"1 handoff", "how to continue after a handoff with client execution", handoff},
	{"3 confirmations", "one call with and one without a required confirmation", confirmations},
	{"13 closed stream", "the history after a stream that was closed early", closedStream},
	{"charging", "tokens remaining before, during and after a stream", charging},
}

func properties(ctx context.Context, l *session) (string, error) {
	response, err := l.start(ctx, "Count from 1 to 50.", func(r *generated.StartConversationRequest) { r.CompletionArgs.MaxTokens = ptr(5) })
	if err != nil {
		return "", err
	}
	var members map[string]json.RawMessage
	if err := json.Unmarshal(response.Raw(), &members); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s; %d completion tokens of 5", strings.Join(slices.Sorted(maps.Keys(members)), ", "), response.Usage.CompletionTokens), nil
}

func oneByOne(ctx context.Context, l *session) (string, error) {
	response, err := l.start(ctx, "What are the weather and the time in Paris? Call both functions at once.", func(r *generated.StartConversationRequest) {
		r.Tools, r.CompletionArgs.ToolChoice = []generated.Tool{function("weather"), function("time")}, generated.ToolChoiceEnumAny
	})
	if err != nil {
		return "", err
	}
	for _, call := range response.FunctionCalls() {
		l.results = append(l.results, ratelimited.FunctionResult(call.ToolCallID, "fine"))
	}
	l.called = response
	if len(l.results) < 2 {
		return "not observed: the response has " + kinds(response.Outputs), nil
	}
	return outcome(l.append(ctx, response.ConversationID, generated.AppendConversationRequest{Inputs: ratelimited.Entries(l.results[0])})), nil
}

func appendTwice(ctx context.Context, l *session) (string, error) {
	if len(l.results) == 0 {
		return "not observed: the model called no function", nil
	}
	request := generated.AppendConversationRequest{Inputs: ratelimited.Entries(l.results...)}
	first := outcome(l.append(ctx, l.called.ConversationID, request))
	return "once " + first + "; twice " + outcome(l.append(ctx, l.called.ConversationID, request)), nil
}

func restart(ctx context.Context, l *session) (string, error) {
	if l.called == nil {
		return "not observed: no conversation has results", nil
	}
	history, err := l.client.Beta.Conversations.GetHistory(ctx, l.called.ConversationID)
	if err != nil {
		return "", err
	}
	from := ""
	for _, entry := range history.Entries {
		if result, ok := entry.Value().(generated.FunctionResultEntry); ok {
			from = result.ID
		}
	}
	if from == "" {
		return "not observed: the history has " + kinds(history.Entries), nil
	}
	request := generated.RestartConversationRequest{FromEntryID: from, CompletionArgs: generated.CompletionArgs{MaxTokens: ptr(50)}}
	return outcome(l.recordConversation(l.client.Beta.Conversations.Restart(ctx, l.called.ConversationID, request, ratelimited.AtMostOnce()))), nil
}

func unknownIDs(ctx context.Context, l *session) (string, error) {
	return outcome(l.start(ctx, "", func(r *generated.StartConversationRequest) {
		r.Store, r.Tools = ptr(false), []generated.Tool{function("weather")}
		r.Inputs = ratelimited.Entries(
			ratelimited.User("How is the weather in Paris?"), generated.NewEntry(generated.MessageOutputEntry{Role: generated.MessageRoleAssistant, Content: generated.NewTextContent("One moment.")}),
			generated.NewEntry(generated.FunctionCallEntry{Name: "weather", ToolCallID: "abcdefghi", Arguments: `{"city":"Paris"}`}),
			ratelimited.FunctionResult("abcdefghi", "sunny"),
		)
	})), nil
}

func format(schema string) generated.ResponseFormat {
	return generated.ResponseFormat{Type: generated.ResponseFormatsJSONSchema, JSONSchema: generated.JSONSchema{Name: "answer", Schema: generated.JSONText(schema), Strict: true}}
}

func formatAndTools(ctx context.Context, l *session) (string, error) {
	return outcome(l.start(ctx, "How is the weather in Paris? Call the function.", func(r *generated.StartConversationRequest) {
		r.Tools = []generated.Tool{function("weather")}
		r.CompletionArgs.ResponseFormat = format(`{"type":"object","properties":{"sky":{"type":"string"}},"required":["sky"],"additionalProperties":false}`)
	})), nil
}

func strict(ctx context.Context, l *session) (string, error) {
	ask := func(schema string) string {
		return outcome(l.start(ctx, "Name a parent and a child.", func(r *generated.StartConversationRequest) { r.CompletionArgs.ResponseFormat = format(schema) }))
	}
	return "optional " + ask(`{"type":"object","properties":{"name":{"type":"string"},"age":{"type":"integer","minimum":0}},"required":["name"],"additionalProperties":false}`) +
		"; recursive " + ask(`{"$defs":{"node":{"type":"object","properties":{"name":{"type":"string"},"kids":{"type":"array","items":{"$ref":"#/$defs/node"}}},"required":["name","kids"],"additionalProperties":false}},"$ref":"#/$defs/node"}`), nil
}

func arguments(ctx context.Context, l *session) (string, error) {
	response, err := l.start(ctx, "Say hi.", func(r *generated.StartConversationRequest) {
		r.CompletionArgs = generated.CompletionArgs{MaxTokens: ptr(5)}
	})
	if err != nil {
		return "", err
	}
	var tokens []string
	for _, args := range []generated.CompletionArgs{{Temperature: ptr(0.0)}, {MaxTokens: ptr(20)}, {}} {
		response, err := l.append(ctx, response.ConversationID, generated.AppendConversationRequest{Inputs: ratelimited.Text("Count from 1 to 15, with spaces."), CompletionArgs: args})
		if err != nil {
			return "", err
		}
		tokens = append(tokens, strconv.Itoa(response.Usage.CompletionTokens))
	}
	return fmt.Sprintf("after a start with max_tokens 5: %s completion tokens with only temperature, %s with max_tokens 20, %s without completion_args", tokens[0], tokens[1], tokens[2]), nil
}

func (l *session) agent(ctx context.Context, request generated.CreateAgentRequest) (string, error) {
	request.Model, request.CompletionArgs = l.model, generated.CompletionArgs{MaxTokens: ptr(60), Temperature: ptr(0.0)}
	agent, err := l.client.Beta.Agents.Create(ctx, request)
	if err != nil {
		return "", err
	}
	l.agents = append(l.agents, agent.ID)
	return agent.ID, nil
}

func agentOverrides(ctx context.Context, l *session) (string, error) {
	id, err := l.agent(ctx, generated.CreateAgentRequest{Name: "live-beside", Instructions: "End each answer with the word red.", Tools: []generated.Tool{function("weather")}})
	if err != nil {
		return "", err
	}
	return outcome(l.recordConversation(l.client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{
		AgentID: id, Inputs: ratelimited.Text("What time is it in Paris? Call a function if there is one."),
		Tools: []generated.Tool{function("time")}, Instructions: "End each answer with the word blue.",
	}, ratelimited.AtMostOnce()))), nil
}

func handoff(ctx context.Context, l *session) (string, error) {
	next, err := l.agent(ctx, generated.CreateAgentRequest{Name: "live-maths", Description: "Knows maths.", Instructions: "Answer with a number."})
	if err != nil {
		return "", err
	}
	front, err := l.agent(ctx, generated.CreateAgentRequest{Name: "live-front", Instructions: "Hand over each question about maths.", Handoffs: []string{next}})
	if err != nil {
		return "", err
	}
	response, err := l.recordConversation(l.client.Beta.Conversations.Start(ctx, generated.StartConversationRequest{
		AgentID: front, Inputs: ratelimited.Text("hand over: what is 6 times 7?"), HandoffExecution: generated.HandoffExecutionClient,
	}, ratelimited.AtMostOnce()))
	if err != nil || len(response.Outputs) == 0 {
		return "", err
	}
	last := response.Outputs[len(response.Outputs)-1]
	if _, ok := last.Value().(generated.AgentHandoffEntry); !ok {
		return "not observed: the response has " + kinds(response.Outputs), nil
	}
	empty := generated.AppendConversationRequest{Inputs: ratelimited.Entries(), HandoffExecution: generated.HandoffExecutionClient}
	answer := "empty append " + outcome(l.append(ctx, response.ConversationID, empty))
	if strings.HasPrefix(answer, "empty append rejected") {
		empty.Inputs = ratelimited.Entries(last)
		answer += "; append of the entry " + outcome(l.append(ctx, response.ConversationID, empty))
	}
	return answer, nil
}

func confirmations(ctx context.Context, l *session) (string, error) {
	response, err := l.start(ctx, "Search the web for the time in Paris, and call the function for the weather there, at once.", func(r *generated.StartConversationRequest) {
		search := generated.WebSearchTool{ToolConfiguration: generated.ToolConfiguration{RequiresConfirmation: []string{"web_search"}}}
		r.Tools = []generated.Tool{generated.NewTool(search), function("weather")}
	})
	if err != nil {
		return "", err
	}
	next, results := generated.AppendConversationRequest{}, []generated.Entry(nil)
	for _, call := range response.FunctionCalls() {
		if call.ConfirmationStatus == generated.ConfirmationStatusPending {
			next.ToolConfirmations = append(next.ToolConfirmations, generated.ToolCallConfirmation{ToolCallID: call.ToolCallID, Confirmation: generated.ToolConfirmationDeny})
			continue
		}
		results = append(results, ratelimited.FunctionResult(call.ToolCallID, "sunny"))
	}
	answer := kinds(response.Outputs)
	if len(next.ToolConfirmations) == 0 {
		return "not observed: the response has " + answer, nil
	}
	if len(results) > 0 {
		next.Inputs = ratelimited.Entries(results...)
	}
	return answer + "; then, in one append, " + outcome(l.append(ctx, response.ConversationID, next)), nil
}

func closedStream(ctx context.Context, l *session) (string, error) {
	stream, err := l.client.Beta.Conversations.StartStream(ctx, generated.StartConversationRequest{
		Model: l.model, Inputs: ratelimited.Text("Count from 1 to 40, with spaces."), CompletionArgs: generated.CompletionArgs{MaxTokens: ptr(100)},
	})
	if err != nil {
		return "", err
	}
	seen := 0
	for event, err := range stream.Events() {
		if err != nil {
			return "", err
		}
		if _, ok := event.(generated.MessageOutputEvent); ok {
			if seen++; seen == 2 {
				break
			}
		}
	}
	id := stream.ConversationID()
	if id == "" {
		return "not observed: the stream lacks a conversation id", nil
	}
	l.conversations = append(l.conversations, id)
	history, err := l.client.Beta.Conversations.GetHistory(ctx, id)
	for i := 0; i < 20 && err == nil && len(history.Entries) == 0; i++ { // the service may not have stored the entries yet
		select {
		case <-ctx.Done():
			return "", ctx.Err()
		case <-time.After(250 * time.Millisecond):
		}
		history, err = l.client.Beta.Conversations.GetHistory(ctx, id)
	}
	if err != nil {
		return "", err
	}
	var texts []string
	for _, entry := range history.Entries {
		if m, ok := entry.Value().(generated.MessageOutputEntry); ok {
			texts = append(texts, fmt.Sprintf("%d bytes, completed %v", len(m.Content.Text()), !m.CompletedAt.IsZero()))
		}
	}
	return fmt.Sprintf("closed after %d deltas: %s (%s)", seen, kinds(history.Entries), strings.Join(texts, "; ")), nil
}

func charging(ctx context.Context, l *session) (string, error) {
	probe := func() (string, error) {
		_, err := l.start(ctx, "Say hi.", func(r *generated.StartConversationRequest) { r.CompletionArgs.MaxTokens = ptr(1) })
		return l.recorder.latestLimits(), err
	}
	before, err := probe()
	if err != nil {
		return "", err
	}
	stream, err := l.client.Beta.Conversations.StartStream(ctx, generated.StartConversationRequest{
		Model: l.model, Inputs: ratelimited.Text("Repeat this text: " + strings.Repeat("all the ships of the world ", 100)),
		CompletionArgs: generated.CompletionArgs{MaxTokens: ptr(400)},
	})
	if err != nil {
		return "", err
	}
	defer func() { _ = stream.Close() }()
	during := ""
	for event, err := range stream.Events() {
		if err != nil {
			return "", err
		}
		if _, ok := event.(generated.MessageOutputEvent); ok && during == "" {
			if during, err = probe(); err != nil {
				return "", err
			}
		}
	}
	if id := stream.ConversationID(); id != "" {
		l.conversations = append(l.conversations, id)
	}
	after, err := probe()
	if err != nil {
		return "", err
	}
	used := 0
	if usage := stream.Usage(); usage != nil {
		used = usage.TotalTokens
	}
	if before == "" {
		return "not observed: no header with the remaining tokens", nil
	}
	return fmt.Sprintf("%s before, %s during, %s after a stream of %d tokens: charged on arrival if the count drops during the stream, at the end if it drops after", before, during, after, used), nil
}
