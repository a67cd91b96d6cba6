package contract_test

import (
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
)

// TestViolationMessages checks mainly unions: the violations must be those of the intended
// branch only.
func TestViolationMessages(t *testing.T) {
	t.Parallel()
	const p = "StartConversation: body "
	for name, tt := range map[string]struct {
		body string
		want []string
	}{
		"entry by type": {`{"inputs":[{"type":"message.input","role":"system","content":"x"}]}`,
			[]string{p + `/inputs/0/role: enum: must be one of "assistant", "user", got "system"`}},
		"entry without type": {`{"inputs":[{"role":"system","content":"x","prefix":true}]}`,
			[]string{p + `/inputs/0/role: enum: must be one of "assistant", "user" (as MessageInputEntry, closest of 6 alternatives), got "system"`}},
		"entry of unknown type": {`{"inputs":[{"type":"message","role":"user","content":"x"}]}`,
			[]string{p + `/inputs/0/type: enum: must be one of "message.input", "message.output", "function.result", "function.call", "tool.execution", "agent.handoff", got "message"`}},
		"entry whose type is not a string": {`{"inputs":[{"type":5,"role":"user","content":"x"}]}`,
			[]string{p + `/inputs/0/type: type: must be string, got 5`}},
		"entry is not an object": {`{"inputs":["hi"]}`, []string{p + `/inputs/0: type: must be object, got "hi"`}},
		"inputs neither string nor list": {`{"inputs":{"a":1}}`,
			[]string{p + `/inputs: type: must be string or array, got {"a":1}`}},
		"chunk two unions down": {`{"inputs":[{"type":"message.input","role":"user","content":[{"type":"text","text":"a"},{"type":"image_url","image_url":{"url":"u","detail":"huge"}}]}]}`,
			[]string{p + `/inputs/0/content/1/image_url/detail: enum: must be one of "low", "auto", "high", got "huge"`}},
		"chunk not allowed in input": {`{"inputs":[{"type":"message.input","role":"user","content":[{"type":"tool_reference","tool":"t","title":"t"}]}]}`,
			[]string{p + `/inputs/0/content/0/type: enum: must be one of "text", "image_url", "tool_file", "document_url", "thinking", got "tool_reference"`}},
		"tool by type": {`{"inputs":"x","tools":[{"type":"function","function":{"name":"f"}}]}`,
			[]string{p + `/tools/0/function/parameters: required: property is missing`}},
		"tool without type": {`{"inputs":"x","tools":[{}]}`,
			[]string{p + `/tools/0: oneOf: must match exactly one alternative ("type" selects it), got {}`}},
		"nested unions of an unknown type": {`{"inputs":"x","tools":[{"type":"connector","connector_id":"c","authorization":{"type":"basic","value":"v"}}]}`,
			[]string{p + `/tools/0/authorization/type: enum: must be one of "oauth2-token", "api-key", got "basic"`}},
		"nullable number out of range": {`{"inputs":"x","completion_args":{"temperature":1.5,"max_tokens":-1,"frequency_penalty":-3}}`,
			[]string{
				p + `/completion_args/frequency_penalty: minimum: must be at least -2, got -3`,
				p + `/completion_args/max_tokens: minimum: must be at least 0, got -1`,
				p + `/completion_args/temperature: maximum: must be at most 1, got 1.5`,
			}},
		"nullable number of another type": {`{"inputs":"x","completion_args":{"temperature":"hot"}}`,
			[]string{p + `/completion_args/temperature: type: must be number or null, got "hot"`}},
		"nullable enum": {`{"inputs":"x","handoff_execution":"both"}`,
			[]string{p + `/handoff_execution: enum: must be one of "client", "server", got "both"`}},
		"several at once, sorted": {`{"zeta":1,"alpha":{"a":"<b>"}}`,
			[]string{
				p + `/alpha: additionalProperties: property is not allowed, got {"a":"<b>"}`,
				p + `/inputs: required: property is missing`,
				p + `/zeta: additionalProperties: property is not allowed, got 1`,
			}},
		"names that need escaping": {`{"inputs":"x","a/b~c":1}`,
			[]string{p + `/a~1b~0c: additionalProperties: property is not allowed, got 1`}},
		"long values are cut": {`{"inputs":"x","name":["` + strings.Repeat("é", 200) + `"]}`,
			[]string{p + `/name: type: must be string or null, got ["` + strings.Repeat("é", 49) + "…"}},
		"time without a zone": {`{"inputs":[{"type":"message.input","role":"user","content":"x","created_at":"2025-06-01T10:00:00"}]}`,
			[]string{p + `/inputs/0/created_at: format: must be a valid date-time, got "2025-06-01T10:00:00"`}},
		"too few items": {`{"inputs":"x","tools":[{"type":"document_library","library_ids":[]}]}`,
			[]string{p + `/tools/0/library_ids: minItems: number of items must be at least 1, got []`}},
		"const": {`{"inputs":[{"type":"message.input","object":"thing","role":"user","content":"x"}]}`,
			[]string{p + `/inputs/0/object: const: must be "entry", got "thing"`}},
		"duplicate key": {`{"inputs":"x","metadata":{"l":[{"a":1,"a":2}]}}`,
			[]string{p + `/metadata/l/0/a: duplicate: must be set only once, got 2`}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, got := contract.Default().CheckRequest(newRequest(t, "POST", "/v1/conversations", "application/json"), []byte(tt.body))
			if want := strings.Join(tt.want, "\n"); text(got) != want {
				t.Errorf("got:\n%s\nwant:\n%s", text(got), want)
			}
		})
	}
}

// A conversation does not have a type: it is a model's or an agent's.
func TestUnionWithoutType(t *testing.T) {
	t.Parallel()
	op, _ := contract.Default().Route("GET", "/v1/conversations/c")
	body := strings.Replace(agentConversation, `"agent_version":2`, `"agent_version":{}`, 1)
	const want = `GetConversation: response /agent_version: type: must be string or integer or null (as AgentConversation, closest of 2 alternatives), got {}`
	if got := text(op.CheckResponse(200, jsonHeader, []byte(body))); got != want {
		t.Errorf("got:\n%s\nwant:\n%s", got, want)
	}
}

func TestViolationIsAnError(t *testing.T) {
	t.Parallel()
	var err error = contract.Violation{In: "body", Rule: "json", Message: "must be JSON"}
	if err.Error() != "body: json: must be JSON" {
		t.Error(err)
	}
}
