package sse_test

import (
	"encoding/json"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/sse"
)

func TestDecodeEvents(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		name, event, data string
		want              sse.Event
	}{
		{"started", "conversation.response.started", `{"conversation_id":"c"}`, generated.ResponseStartedEvent{ConversationID: "c"}},
		{"done", "conversation.response.done", `{"usage":{"total_tokens":3}}`, generated.ResponseDoneEvent{Usage: generated.ConversationUsageInfo{TotalTokens: 3}}},
		{"error", "conversation.response.error", `{"code":7,"message":"m"}`, generated.ResponseErrorEvent{Code: 7, Message: "m"}},
		{"delta", "message.output.delta", `{"content":"x","content_index":1}`, generated.MessageOutputEvent{Content: generated.NewTextContent("x"), ContentIndex: 1}},
		{"tool started", "tool.execution.started", `{"name":"n"}`, generated.ToolExecutionStartedEvent{Name: "n"}},
		{"tool delta", "tool.execution.delta", `{"arguments":"a"}`, generated.ToolExecutionDeltaEvent{Arguments: "a"}},
		{"tool done", "tool.execution.done", `{"info":{}}`, generated.ToolExecutionDoneEvent{Info: json.RawMessage(`{}`)}},
		{"handoff started", "agent.handoff.started", `{"previous_agent_id":"p"}`, generated.AgentHandoffStartedEvent{PreviousAgentID: "p"}},
		{"handoff done", "agent.handoff.done", `{"next_agent_id":"n"}`, generated.AgentHandoffDoneEvent{NextAgentID: "n"}},
		{"function", "function.call.delta", `{"arguments":""}`, generated.FunctionCallEvent{}},
		{"no event line", "", `{"type":"message.output.delta","content":"x"}`, generated.MessageOutputEvent{Type: "message.output.delta", Content: generated.NewTextContent("x")}},
		{"the standard's default", "message", `{"type":"conversation.response.started"}`, generated.ResponseStartedEvent{Type: "conversation.response.started"}},
		{"named response", "response", `{"type":"conversation.response.started","conversation_id":"c"}`, generated.ResponseStartedEvent{Type: "conversation.response.started", ConversationID: "c"}},
		{"type and name differ", "message.output.delta", `{"type":"tool.execution.delta","name":"n"}`, generated.ToolExecutionDeltaEvent{Type: "tool.execution.delta", Name: "n"}},
		{"of an unknown type", "message.output.delta", `{"type":"chunk","content":"x"}`, generated.UnknownStreamEvent{Type: "chunk", Raw: []byte(`{"type":"chunk","content":"x"}`)}},
		{"arguments as an object", "function.call.delta", `{"arguments":{"a":1}}`, generated.FunctionCallEvent{Arguments: `{"a":1}`}},
		{"unknown", "hologram", `{"type":"hologram"}`, generated.UnknownStreamEvent{Type: "hologram", Raw: []byte(`{"type":"hologram"}`)}},
		{"unknown and not an object", "ping", `17`, generated.UnknownStreamEvent{Type: "ping", Raw: []byte(`17`)}},
		{"neither type nor name", "", `{"a":1}`, generated.UnknownStreamEvent{Raw: []byte(`{"a":1}`)}},
	} {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			data := []byte(test.data)
			got, err := sse.Decode(sse.Frame{Event: test.event, Data: data})
			clear(data) // the decoder overwrites it with the next frame
			if err != nil || reflect.TypeOf(got) != reflect.TypeOf(test.want) || encode(t, got) != encode(t, test.want) {
				t.Errorf("got %T %v, error %v, want %T %v", got, got, err, test.want, test.want)
			}
		})
	}
}

func encode(t *testing.T, event sse.Event) string {
	t.Helper()
	text, err := json.Marshal(event)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func TestDecodeUnexpectedData(t *testing.T) {
	t.Parallel()
	event, err := sse.Decode(sse.Frame{Event: "message.output.delta", Data: []byte(`{"id":"m","content":5}`)})
	delta, ok := event.(generated.MessageOutputEvent)
	if err != nil || !ok || delta.ID != "m" || !delta.Content.IsZero() || string(delta.Raw()) != `{"id":"m","content":5}` ||
		!slices.Equal(delta.Mismatches(), []generated.Mismatch{{Pointer: "/content", Text: "5"}}) {
		t.Errorf("a value of a wrong type: event %#v, error %v", event, err)
	}
	for _, name := range []string{"message.output.delta", "hologram", ""} {
		data := []byte(`{"content":` + strings.Repeat("x", 500))
		event, err := sse.Decode(sse.Frame{Event: name, Data: data})
		clear(data)
		var wrong *sse.DecodeError
		if event != nil || !errors.As(err, &wrong) || wrong.Frame.Event != name || len(wrong.Frame.Data) != 511 || wrong.Frame.Data[0] != '{' {
			t.Errorf("data that is not JSON: event %#v, error %v", event, err)
		}
		if len(err.Error()) > 300 || errors.Unwrap(err) == nil {
			t.Errorf("error text is %q", err)
		}
	}
}
