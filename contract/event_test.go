package contract_test

import (
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
)

// events holds the data of a valid event of every type.
var events = map[string]string{
	"conversation.response.started": `{"type":"conversation.response.started","created_at":"2025-06-01T10:00:00Z","conversation_id":"c"}`,
	"conversation.response.done":    `{"type":"conversation.response.done","usage":{"prompt_tokens":1,"total_tokens":2,"connectors":null}}`,
	"conversation.response.error":   `{"type":"conversation.response.error","message":"m","code":500}`,
	"message.output.delta":          `{"type":"message.output.delta","id":"m","output_index":0,"content_index":0,"content":"Bon","role":"assistant"}`,
	"tool.execution.started":        `{"type":"tool.execution.started","id":"t","name":"web_search","arguments":""}`,
	"tool.execution.delta":          `{"type":"tool.execution.delta","id":"t","name":"web_search","arguments":"{"}`,
	"tool.execution.done":           `{"type":"tool.execution.done","id":"t","name":"mine","info":{"result":[{"free":1}]}}`,
	"agent.handoff.started":         `{"type":"agent.handoff.started","id":"h","previous_agent_id":"a","previous_agent_name":"A"}`,
	"agent.handoff.done":            `{"type":"agent.handoff.done","id":"h","next_agent_id":"b","next_agent_name":"B"}`,
	"function.call.delta":           `{"type":"function.call.delta","id":"f","name":"n","tool_call_id":"t","arguments":"{}","confirmation_status":null}`,
}

func TestValidEvents(t *testing.T) {
	t.Parallel()
	for name, data := range events {
		for _, c := range []*contract.Contract{contract.Default(), contract.Lenient()} {
			if got := c.CheckEvent(name, []byte(data)); got != nil {
				t.Errorf("%s:\n%s", name, text(got))
			}
		}
	}
}

func TestInvalidEvents(t *testing.T) {
	t.Parallel()
	const delta = "message.output.delta"
	for name, tt := range map[string]struct{ event, data, want string }{
		"without name": {"", events[delta], `event /event: required: property is missing`},
		"name and type differ": {"tool.execution.delta", events[delta],
			`event /data/type: const: must be the event's name, "tool.execution.delta", got "message.output.delta"`},
		"without type":          {delta, `{"id":"m","content":"x"}`, `event /data/type: required: property is missing`},
		"not JSON":              {delta, `[DONE]`, `event /data: json: must be one JSON value (invalid character 'D' looking for beginning of value), got "[DONE]"`},
		"without data":          {delta, ``, `event /data: json: must be one JSON value (unexpected end of JSON input), got ""`},
		"neither name nor JSON": {"", `{`, "event /data: json: must be one JSON value (unexpected end of JSON input), got \"{\"\nevent /event: required: property is missing"},
		"not an object":         {delta, `"x"`, `event /data: type: must be object, got "x"`},
		"missing property": {delta, `{"type":"message.output.delta","content":"x"}`,
			`event /data/id: required: property is missing`},
		"unknown property": {"tool.execution.done", `{"type":"tool.execution.done","id":"t","name":"n","functions":"f"}`,
			`event /data/functions: additionalProperties: property is not allowed, got "f"`},
		"invalid nested chunk": {delta, `{"type":"message.output.delta","id":"m","content":{"type":"thinking","thinking":[{"type":"image_url","image_url":"u"}]}}`,
			`event /data/content/thinking/0/type: enum: must be one of "text", "tool_reference", "reference", got "image_url"`},
		"a list of chunks": {delta, `{"type":"message.output.delta","id":"m","content":[]}`,
			`event /data/content: type: must be string or object, got []`},
		"duplicate key": {delta, `{"type":"message.output.delta","id":"m","id":"n","content":"x"}`,
			`event /data/id: duplicate: must be set only once, got "n"`},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got := text(contract.Default().CheckEvent(tt.event, []byte(tt.data))); got != tt.want {
				t.Errorf("got:\n%s\nwant:\n%s", got, tt.want)
			}
		})
	}
	got := contract.Default().CheckEvent("new.kind", []byte(`{"type":"new.kind"}`))
	if len(got) != 2 || got[0].Pointer != "/data/type" || got[0].Rule != "enum" || got[1].Pointer != "/event" || got[1].Rule != "enum" {
		t.Errorf("unknown type:\n%s", text(got))
	}
}
