package contract_test

import (
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
)

// TestViolationsReadWell is about unions above all: a person wants to hear of the
// branch that was meant, and of nothing else.
func TestViolationsReadWell(t *testing.T) {
	t.Parallel()
	const p = "StartConversation: body "
	for name, tt := range map[string]struct {
		body string
		want []string
	}{
		"entry by type": {`{"inputs":[{"type":"message.input","role":"system","content":"x"}]}`,
			[]string{p + `/inputs/0/role: enum: want one of "assistant", "user", have "system"`}},
		"entry without type": {`{"inputs":[{"role":"system","content":"x","prefix":true}]}`,
			[]string{p + `/inputs/0/role: enum: want one of "assistant", "user" (as MessageInputEntry, the nearest of 6 alternatives), have "system"`}},
		"entry of unknown type": {`{"inputs":[{"type":"message","role":"user","content":"x"}]}`,
			[]string{p + `/inputs/0/type: enum: want one of "message.input", "message.output", "function.result", "function.call", "tool.execution", "agent.handoff", have "message"`}},
		"entry of no type at all": {`{"inputs":[{"type":5,"role":"user","content":"x"}]}`,
			[]string{p + `/inputs/0/type: type: want string, have 5`}},
		"entry is not an object": {`{"inputs":["hi"]}`, []string{p + `/inputs/0: type: want object, have "hi"`}},
		"inputs neither string nor list": {`{"inputs":{"a":1}}`,
			[]string{p + `/inputs: type: want string or array, have {"a":1}`}},
		"chunk two unions down": {`{"inputs":[{"type":"message.input","role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"u","detail":"huge"}}]}]}`,
			[]string{p + `/inputs/0/content/1/image_url/detail: enum: want one of "low", "auto", "high", have "huge"`}},
		"chunk that input must not have": {`{"inputs":[{"type":"message.input","role":"user","content":[{"type":"tool_reference","tool":"t","title":"t"}]}]}`,
			[]string{p + `/inputs/0/content/0/type: enum: want one of "text", "image_url", "tool_file", "document_url", "thinking", have "tool_reference"`}},
		"tool by type": {`{"inputs":"x","tools":[{"type":"function","function":{"name":"f"}}]}`,
			[]string{p + `/tools/0/function/parameters: required: property is missing`}},
		"tool that could be any": {`{"inputs":"x","tools":[{}]}`,
			[]string{p + `/tools/0: oneOf: want a value that fits one alternative only ("type" tells them apart), have {}`}},
		"nested unions of an unknown type": {`{"inputs":"x","tools":[{"type":"connector","connector_id":"c","authorization":{"type":"basic","value":"v"}}]}`,
			[]string{p + `/tools/0/authorization/type: enum: want one of "oauth2-token", "api-key", have "basic"`}},
		"nullable number out of range": {`{"inputs":"x","completion_args":{"temperature":1.5,"max_tokens":-1,"frequency_penalty":-3}}`,
			[]string{
				p + `/completion_args/frequency_penalty: minimum: want at least -2, have -3`,
				p + `/completion_args/max_tokens: minimum: want at least 0, have -1`,
				p + `/completion_args/temperature: maximum: want at most 1, have 1.5`,
			}},
		"nullable number of another type": {`{"inputs":"x","completion_args":{"temperature":"hot"}}`,
			[]string{p + `/completion_args/temperature: type: want number or null, have "hot"`}},
		"nullable enum": {`{"inputs":"x","handoff_execution":"both"}`,
			[]string{p + `/handoff_execution: enum: want one of "client", "server", have "both"`}},
		"several at once, sorted": {`{"zeta":1,"alpha":{"a":"<b>"}}`,
			[]string{
				p + `/alpha: additionalProperties: want no such property, have {"a":"<b>"}`,
				p + `/inputs: required: property is missing`,
				p + `/zeta: additionalProperties: want no such property, have 1`,
			}},
		"names that need escaping": {`{"inputs":"x","a/b~c":1}`,
			[]string{p + `/a~1b~0c: additionalProperties: want no such property, have 1`}},
		"long values are cut": {`{"inputs":"x","name":["` + strings.Repeat("é", 200) + `"]}`,
			[]string{p + `/name: type: want string or null, have ["` + strings.Repeat("é", 49) + "…"}},
		"time without a zone": {`{"inputs":[{"type":"message.input","role":"user","content":"x","created_at":"2025-06-01T10:00:00"}]}`,
			[]string{p + `/inputs/0/created_at: format: want a date-time, have "2025-06-01T10:00:00"`}},
		"too few items": {`{"inputs":"x","tools":[{"type":"document_library","library_ids":[]}]}`,
			[]string{p + `/tools/0/library_ids: minItems: want at least 1 of them, have []`}},
		"const": {`{"inputs":[{"type":"message.input","object":"thing","role":"user","content":"x"}]}`,
			[]string{p + `/inputs/0/object: const: want "entry", have "thing"`}},
		"duplicate key": {`{"inputs":"x","metadata":{"l":[{"a":1,"a":2}]}}`,
			[]string{p + `/metadata/l/0/a: duplicate: want the property once, have 2`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, got := contract.Default().CheckRequest(newRequest(t, "POST", "/v1/conversations", "application/json"), []byte(tt.body))
			if want := strings.Join(tt.want, "\n"); text(got) != want {
				t.Errorf("have:\n%s\nwant:\n%s", text(got), want)
			}
		})
	}
}

// A conversation has no type to go by; it is a model's or an agent's.
func TestUnionWithoutTag(t *testing.T) {
	t.Parallel()
	op, _ := contract.Default().Route("GET", "/v1/conversations/c")
	body := strings.Replace(agentConversation, `"agent_version":2`, `"agent_version":{}`, 1)
	const want = `GetConversation: response /agent_version: type: want string or integer or null (as AgentConversation, the nearest of 2 alternatives), have {}`
	if got := text(op.CheckResponse(200, jsonHeader, []byte(body))); got != want {
		t.Errorf("have:\n%s\nwant:\n%s", got, want)
	}
}

func TestViolationIsAnError(t *testing.T) {
	t.Parallel()
	var err error = contract.Violation{In: "body", Rule: "json", Message: "want JSON"}
	if err.Error() != "body: json: want JSON" {
		t.Error(err)
	}
}
