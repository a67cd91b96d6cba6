package generated_test

import (
	"encoding/json"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// sourced is the interface of types that hold the JSON text and the mismatches of their decoding.
type sourced interface {
	Raw() json.RawMessage
	Mismatches() []generated.Mismatch
}

func decodeInto[T any](text string) (sourced, error) {
	response := new(T)
	err := generated.DecodeResponse([]byte(text), &response)
	return any(response).(sourced), err
}

const (
	receivedMessage = `{"type":"message.output","id":"msg_1","content":"Hi","role":"assistant"}`
	receivedUsage   = `"usage":{"prompt_tokens":1,"completion_tokens":2,"total_tokens":3}`

	// The encodings of their decoded fields.
	decodedMessage = `{"content":"Hi","id":"msg_1","role":"assistant","type":"message.output"}`
	decodedUsage   = `"usage":{"completion_tokens":2,"prompt_tokens":1,"total_tokens":3}`
)

// A value whose type is not the declared one is skipped and reported. All other values are decoded.
func TestMismatches(t *testing.T) {
	t.Parallel()
	response := func(outputs, rest string) string {
		return `{"conversation_id":"conv_1","outputs":[` + outputs + `],` + rest + `}`
	}
	for name, test := range map[string]struct {
		decode func(text string) (sourced, error)
		text   string
		fields string // the decoded fields
		want   []generated.Mismatch
	}{
		"numbers as strings": {decodeInto[generated.ConversationResponse],
			response(receivedMessage, `"usage":{"prompt_tokens":7.0,"completion_tokens":"2","total_tokens":9e0}`),
			response(decodedMessage, `"usage":{"prompt_tokens":7,"total_tokens":9}`),
			[]generated.Mismatch{{Pointer: "/usage/completion_tokens", Text: `"2"`}}},
		"fractions and large numbers": {decodeInto[generated.ConversationResponse],
			response("", `"usage":{"prompt_tokens":7.5,"completion_tokens":1e30,"total_tokens":9223372036854775808,"connector_tokens":1e-2,"num_cached_tokens":1e999999999}`),
			response("", `"usage":{}`),
			[]generated.Mismatch{
				{Pointer: "/usage/prompt_tokens", Text: "7.5"}, {Pointer: "/usage/completion_tokens", Text: "1e30"},
				{Pointer: "/usage/total_tokens", Text: "9223372036854775808"}, {Pointer: "/usage/connector_tokens", Text: "1e-2"},
				{Pointer: "/usage/num_cached_tokens", Text: "1e999999999"},
			}},
		"integers in other forms": {decodeInto[generated.ConversationResponse],
			response("", `"usage":{"prompt_tokens":100.0,"completion_tokens":7e0,"total_tokens":9.00E+2,"connector_tokens":-0.0,"num_cached_tokens":9223372036854775807.0}`),
			response("", `"usage":{"completion_tokens":7,"num_cached_tokens":9223372036854775807,"prompt_tokens":100,"total_tokens":900}`), nil},
		"an object for a string, in an entry": {decodeInto[generated.ConversationResponse],
			response(`{"type":"message.output","id":{"x":1},"model":["m"],"content":"Hi","role":7}`, receivedUsage),
			response(`{"content":"Hi","type":"message.output"}`, decodedUsage),
			[]generated.Mismatch{{Pointer: "/outputs/0/id", Text: `{"x":1}`}, {Pointer: "/outputs/0/model", Text: `["m"]`}, {Pointer: "/outputs/0/role", Text: "7"}}},
		"content": {decodeInto[generated.ConversationResponse],
			response(`{"type":"message.output","id":"msg_1","content":5},`+receivedMessage, receivedUsage),
			response(`{"content":null,"id":"msg_1","type":"message.output"},{"content":"Hi","id":"msg_1","role":"assistant","type":"message.output"}`, decodedUsage),
			[]generated.Mismatch{{Pointer: "/outputs/0/content", Text: "5"}}},
		"entries of other types": {decodeInto[generated.ConversationHistory],
			`{"conversation_id":"c","entries":["x",7,null,` + receivedMessage + `]}`,
			`{"conversation_id":"c","entries":["x",7,null,{"content":"Hi","id":"msg_1","role":"assistant","type":"message.output"}]}`,
			[]generated.Mismatch{{Pointer: "/entries/0", Text: `"x"`}, {Pointer: "/entries/1", Text: "7"}}},
		"a chunk": {decodeInto[generated.ConversationMessages],
			`{"conversation_id":"c","messages":[{"type":"message.input","role":"user","content":[{"type":"text","text":5},{"type":"image_url","image_url":[]},{"type":"text","text":"x"}]}]}`,
			`{"conversation_id":"c","messages":[{"content":[{"text":"","type":"text"},{"image_url":{"url":""},"type":"image_url"},{"text":"x","type":"text"}],"role":"user","type":"message.input"}]}`,
			[]generated.Mismatch{{Pointer: "/messages/0/content/0/text", Text: "5"}, {Pointer: "/messages/0/content/1/image_url", Text: "[]"}}},
		"connectors": {decodeInto[generated.ConversationResponse],
			response("", `"usage":{"total_tokens":3,"connectors":{"web_search":{"count":1},"a/b~c":"1","code":2}}`),
			response("", `"usage":{"connectors":{"code":2},"total_tokens":3}`),
			[]generated.Mismatch{{Pointer: "/usage/connectors/web_search", Text: `{"count":1}`}, {Pointer: "/usage/connectors/a~1b~0c", Text: `"1"`}}},
		"outputs": {decodeInto[generated.ConversationResponse],
			`{"conversation_id":"c","outputs":{"0":1},` + receivedUsage + `}`, `{"conversation_id":"c","outputs":[],` + decodedUsage + `}`,
			[]generated.Mismatch{{Pointer: "/outputs", Text: `{"0":1}`}}},
		"settings of an agent": {decodeInto[generated.Agent],
			`{"id":"ag_1","name":"n","model":"m","completion_args":{"reasoning_effort":3,"tool_choice":{"type":"function"},"temperature":"0.5","max_tokens":7.0,"stop":5,"random_seed":true},"versions":{},"version":"1","deployment_chat":"no","metadata":[]}`,
			`{"completion_args":{"max_tokens":7},"created_at":"0001-01-01T00:00:00Z","deployment_chat":false,"id":"ag_1","metadata":[],"model":"m","name":"n","source":"","updated_at":"0001-01-01T00:00:00Z","version":0,"versions":[]}`,
			[]generated.Mismatch{
				{Pointer: "/completion_args/reasoning_effort", Text: "3"}, {Pointer: "/completion_args/tool_choice", Text: `{"type":"function"}`},
				{Pointer: "/completion_args/temperature", Text: `"0.5"`}, {Pointer: "/completion_args/stop", Text: "5"},
				{Pointer: "/completion_args/random_seed", Text: "true"}, {Pointer: "/versions", Text: "{}"}, {Pointer: "/version", Text: `"1"`},
				{Pointer: "/deployment_chat", Text: `"no"`},
			}},
		"tools": {decodeInto[generated.Agent],
			`{"id":"ag_1","tools":[{"type":"function","function":{"name":"f","parameters":true,"strict":"yes"}},{"type":"function","function":"f"},7]}`,
			`{"created_at":"0001-01-01T00:00:00Z","deployment_chat":false,"id":"ag_1","model":"","name":"","source":"",` +
				`"tools":[{"function":{"name":"f","parameters":true},"type":"function"},{"function":{"name":"","parameters":{"type":"object","properties":{}}},"type":"function"},"[redacted]"],` +
				`"updated_at":"0001-01-01T00:00:00Z","version":0,"versions":[]}`,
			[]generated.Mismatch{{Pointer: "/tools/0/function/strict", Text: `"yes"`}, {Pointer: "/tools/1/function", Text: `"f"`}, {Pointer: "/tools/2", Text: "7"}}},
		"a page": {decodeInto[generated.AgentListPage],
			`{"data":[{"id":1},{"id":"ag_2"},3],"next_page_token":false}`,
			`{"data":[` + strings.Join([]string{bareAgent(""), bareAgent("ag_2"), bareAgent("")}, ",") + `]}`,
			[]generated.Mismatch{{Pointer: "/data/0/id", Text: "1"}, {Pointer: "/data/2", Text: "3"}, {Pointer: "/next_page_token", Text: "false"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			response, err := test.decode(test.text)
			if err != nil {
				t.Fatal(err)
			}
			if got := generated.Fields(response); got != test.fields {
				t.Errorf("decoded as\n%s, want\n%s", got, test.fields)
			}
			if got := response.Mismatches(); !slices.Equal(got, test.want) {
				t.Errorf("mismatches are %v, want %v", got, test.want)
			}
			if string(response.Raw()) != test.text {
				t.Errorf("Raw is %s, want the received text", response.Raw())
			}
		})
	}
}

func bareAgent(id string) string {
	return `{"created_at":"0001-01-01T00:00:00Z","deployment_chat":false,"id":"` + id + `","model":"","name":"","source":"","updated_at":"0001-01-01T00:00:00Z","version":0,"versions":[]}`
}

// Each item of a list or page reports its own mismatches.
func TestMismatchesOfItems(t *testing.T) {
	t.Parallel()
	var list []generated.Conversation
	const second = `{"id":"c2","created_at":1,"name":{}}`
	if err := generated.DecodeResponse([]byte(`[{"id":"c1"}, `+second+`,"c3"]`), &list); err != nil {
		t.Fatal(err)
	}
	want := [][]generated.Mismatch{nil, {{Pointer: "/created_at", Text: "1"}, {Pointer: "/name", Text: "{}"}}, {{Pointer: "", Text: `"c3"`}}}
	for i, c := range list {
		if !slices.Equal(c.Mismatches(), want[i]) {
			t.Errorf("item %d: mismatches are %v, want %v", i, c.Mismatches(), want[i])
		}
	}
	if len(list) != 3 || list[1].ID != "c2" || string(list[1].Raw()) != second || string(list[2].Raw()) != `"c3"` {
		t.Errorf("the list is %v, want 3 items with their IDs and raw text", list)
	}
	var page *generated.AgentListPage
	if err := generated.DecodeResponse([]byte(`{"data":[{"id":1}]}`), &page); err != nil {
		t.Fatal(err)
	}
	if got := page.Data[0].Mismatches(); !slices.Equal(got, []generated.Mismatch{{Pointer: "/id", Text: "1"}}) {
		t.Errorf("mismatches of a page's item are %v", got)
	}
}

// After 100 mismatches, further ones are not reported, but still leave their fields unset.
func TestManyMismatches(t *testing.T) {
	t.Parallel()
	var agent *generated.Agent
	text := `{` + strings.Repeat(`"id":0,`, 150) + `"completion_args":{"temperature":"x","max_tokens":"y","top_p":0.5}}`
	if err := generated.DecodeResponse([]byte(text), &agent); err != nil {
		t.Fatal(err)
	}
	if args := agent.CompletionArgs; args.MaxTokens != nil || args.Temperature != nil || args.TopP == nil || len(agent.Mismatches()) != 100 {
		t.Errorf("settings are %v with %d mismatches, want only top_p and 100", args, len(agent.Mismatches()))
	}
	var usage generated.ConversationUsageInfo
	if err := json.Unmarshal([]byte(`{`+strings.Repeat(`"prompt_tokens":"x",`, 150)+`"connectors":{"a":"x","b":1}}`), &usage); err != nil || len(usage.Connectors) != 1 {
		t.Errorf("connectors are %v, error %v, want only b", usage.Connectors, err)
	}
}

// The number of mismatches and the size of their pointers are bounded.
func TestMismatchesAreBounded(t *testing.T) {
	t.Parallel()
	deep := `7`
	for range 4000 {
		deep = `{"thinking":[` + deep + `],"type":"thinking"}`
	}
	for name, text := range map[string]string{
		"many": `{"id":"a","handoffs":[` + strings.Repeat(`7,`, 10_000) + `7]}`,
		"deep": `{"id":"a","conversation_id":"c","outputs":[{"type":"message.output","content":[` + strings.Repeat(deep+",", 20) + `1]}]}`,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var agent *generated.Agent
			var response *generated.ConversationResponse
			if generated.DecodeResponse([]byte(text), &agent) != nil || generated.DecodeResponse([]byte(text), &response) != nil {
				t.Fatal("decoding failed")
			}
			for _, found := range [][]generated.Mismatch{agent.Mismatches(), response.Mismatches()} {
				size := 0
				for _, m := range found {
					size += len(m.Pointer)
				}
				if len(found) > 100 || size > 200_000 {
					t.Errorf("%d mismatches with pointers of %d bytes, want at most 100 and 200,000", len(found), size)
				}
			}
		})
	}
}

// Variants of RFC 3339 are accepted. Any other value is a mismatch and sets the zero time.
func TestTimestamps(t *testing.T) {
	t.Parallel()
	noon := time.Date(2026, 3, 20, 10, 19, 0, 0, time.UTC)
	for text, want := range map[string]time.Time{
		`"2026-03-20T10:19:00Z"`: noon, `"2026-03-20T10:19:00.000Z"`: noon, `"2026-03-20T11:19:00+01:00"`: noon,
		`"2026-03-20T10:19:00"`: noon, `"2026-03-20T10:19:00.000000"`: noon,
		`"2026-03-20 10:19:00+0000"`: noon, `"2026-03-20 10:19:00.0+00:00"`: noon, `"2026-03-20 10:19:00"`: noon, `"2026-03-20t10:19:00z"`: noon,
		`"2026-03-20T10:19Z"`: noon, `"2026-03-20 10:19"`: noon, `"2026-03-20 11:19+0100"`: noon, `"2026-03-20T10:19:00\u002b0000"`: noon,
		`"2026-03-20T10:19:40.5-0230"`: noon.Add(2*time.Hour + 30*time.Minute + 40*time.Second + 500*time.Millisecond),
		`"noon"`:                       {}, `""`: {}, `"2026-03-20"`: {}, `"2026-13-20T10:19:00Z"`: {}, `1774001980`: {}, `true`: {}, `{}`: {}, `null`: {}, `"20 Mar 2026"`: {},
	} {
		var agent *generated.Agent
		if err := generated.DecodeResponse([]byte(`{"id":"a","name":"n","created_at":`+text+`}`), &agent); err != nil {
			t.Fatal(err)
		}
		if !agent.CreatedAt.Equal(want) || agent.Name != "n" {
			t.Errorf("%s is decoded as %v, want %v", text, agent.CreatedAt, want)
		}
		if skipped := len(agent.Mismatches()) == 1; skipped != (want.IsZero() && text != "null") {
			t.Errorf("%s: mismatches are %v", text, agent.Mismatches())
		}
		if want.IsZero() {
			continue
		}
		encoded, err := json.Marshal(agent)
		if err != nil || !strings.Contains(string(encoded), `"created_at":"2026-03-20T`) {
			t.Errorf("%s is encoded as %s, error %v, want RFC 3339 format", text, encoded, err)
		}
	}
}

// Arguments are JSON text in a string, or the object itself. Arguments of a function call are never
// empty.
func TestArguments(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`"{\"city\":\"Paris\"}"`: `{"city":"Paris"}`, `{"city": "Paris", "n": 9007199254740993}`: `{"city": "Paris", "n": 9007199254740993}`,
		`""`: "", `null`: "", `{}`: "{}", `"{"`: "{",
	} {
		var response *generated.ConversationResponse
		body := `{"conversation_id":"c","outputs":[{"type":"function.call","name":"f","tool_call_id":"t","arguments":` + text +
			`},{"type":"tool.execution","name":"f","arguments":` + text + `},{"type":"function.call","name":"f","tool_call_id":"t"}]}`
		if err := generated.DecodeResponse([]byte(body), &response); err != nil {
			t.Fatal(err)
		}
		call := response.FunctionCalls()[0]
		wantOfCall := want
		if want == "" {
			wantOfCall = "{}"
		}
		if string(call.Arguments) != wantOfCall || response.FunctionCalls()[1].Arguments != "{}" {
			t.Errorf("arguments %s of calls are %q, want %q and {}", text, response.FunctionCalls(), wantOfCall)
		}
		if run := response.Outputs[1].Value().(generated.ToolExecutionEntry); run.Arguments != want {
			t.Errorf("arguments %s of a tool are %q, want %q", text, run.Arguments, want)
		}
		for _, event := range []string{"function.call.delta", "tool.execution.started", "tool.execution.delta"} {
			decoded, err := generated.DecodeStreamEvent(event, []byte(`{"id":"x","arguments":`+text+`}`))
			if err != nil {
				t.Fatal(err)
			}
			if got := reflect.ValueOf(decoded).FieldByName("Arguments").String(); got != want {
				t.Errorf("arguments %s of %s are %q, want %q", text, event, got, want)
			}
		}
		if len(response.Mismatches()) > 0 {
			t.Errorf("arguments %s: mismatches are %v", text, response.Mismatches())
		}
	}
}

// The variant of an entry or chunk without a type is inferred from its properties, if they are
// unambiguous.
func TestVariantIsInferredFromProperties(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		`{"role":"user","content":"x"}`: "MessageInputEntry", `{"role":"assistant","content":"x","prefix":true}`: "MessageInputEntry",
		`{"role":"assistant","content":"x","model":"m"}`: "MessageOutputEntry", `{"content":"x","agent_id":null,"id":"i"}`: "MessageOutputEntry",
		`{"tool_call_id":"t","name":"f","arguments":"{}"}`: "FunctionCallEntry", `{"tool_call_id":"t","result":"r"}`: "FunctionResultEntry",
		`{"name":"web_search","arguments":"","info":{}}`:                                                                    "ToolExecutionEntry",
		`{"previous_agent_id":"a","previous_agent_name":"A","next_agent_id":"b","next_agent_name":"B"}`:                     "AgentHandoffEntry",
		`{"previous_agent_id":"a","previous_agent_name":"A","next_agent_id":"b","next_agent_name":"B","future_property":1}`: "AgentHandoffEntry",
		`{"role":"assistant","content":"x"}`:                                                                                "UnknownEntry", `{"content":"x"}`: "MessageOutputEntry", `{}`: "UnknownEntry", `{"x":1}`: "UnknownEntry",
		`{"type":"future.type","role":"user","content":"x"}`: "UnknownEntry", `{"type":null,"role":"user","content":"x"}`: "MessageInputEntry",
	} {
		var entry generated.Entry
		if err := json.Unmarshal([]byte(text), &entry); err != nil {
			t.Fatal(err)
		}
		if got := reflect.TypeOf(entry.Value()).Name(); got != want {
			t.Errorf("%s is a %s, want a %s", text, got, want)
		}
		if encoded, err := json.Marshal(entry); err != nil || string(encoded) != text {
			t.Errorf("%s is encoded as %s, error %v", text, encoded, err)
		}
	}
	for text, want := range map[string]string{
		`{"text":"x"}`: "TextChunk", `{"thinking":[]}`: "ThinkChunk", `{"image_url":"u"}`: "ImageURLChunk", `{"document_url":"u"}`: "DocumentURLChunk",
		`{"tool":"t","file_id":"f"}`: "ToolFileChunk", `{"tool":"t","title":"x"}`: "ToolReferenceChunk", `{"reference_ids":[1]}`: "ReferenceChunk", `{"a":1}`: "UnknownContentChunk",
	} {
		var chunk generated.ContentChunk
		if err := json.Unmarshal([]byte(text), &chunk); err != nil {
			t.Fatal(err)
		}
		if got := reflect.TypeOf(chunk.Value()).Name(); got != want {
			t.Errorf("%s is a %s, want a %s", text, got, want)
		}
	}
}

// JSON that is not the response of the operation is an error, not a response with empty fields.
func TestUnexpectedResponses(t *testing.T) {
	t.Parallel()
	targets := map[string]func(data []byte) error{
		"response": func(data []byte) error {
			r := new(generated.ConversationResponse)
			return generated.DecodeResponse(data, &r)
		},
		"conversation": func(data []byte) error { r := new(generated.Conversation); return generated.DecodeResponse(data, &r) },
		"agent":        func(data []byte) error { r := new(generated.Agent); return generated.DecodeResponse(data, &r) },
		"page":         func(data []byte) error { r := new(generated.AgentListPage); return generated.DecodeResponse(data, &r) },
		"list":         func(data []byte) error { var r []generated.Agent; return generated.DecodeResponse(data, &r) },
		"no content":   func(data []byte) error { return generated.DecodeResponse(data, nil) },
	}
	for name, decode := range targets {
		for _, text := range []string{
			`{}`, `{"error":{"message":"busy","code":503}}`, `{"error":"busy"}`, `{"object":"error","message":"No.","code":3000}`,
			`{"object":"Error","message":{"detail":[]}}`, `{"detail":"Not here"}`, ` {"detail":[{"msg":"no"}]} `,
		} {
			var unexpected *generated.UnexpectedError
			if err := decode([]byte(text)); !errorsAs(err, &unexpected) {
				t.Errorf("decode %s as %s: error %v, want an UnexpectedError", text, name, err)
			}
		}
		if err := decode([]byte(`{"a":`)); err == nil {
			t.Errorf("decode invalid JSON as %s: want an error", name)
		}
	}
	for name, text := range map[string]string{
		"response": `{"conversation_id":"c","outputs":[],"usage":{},"error":{"message":"a warning"}}`, "conversation": `{"id":"c","error":null}`,
		"agent": `{"id":"a","description":"d"}`, "page": `{"data":[]}`, "list": `[]`, "no content": `{"deleted":true}`,
	} {
		if err := targets[name]([]byte(text)); err != nil {
			t.Errorf("decode %s as %s: %v", text, name, err)
		}
	}
}

// errorsAs is like errors.As, but does not unwrap err.
func errorsAs(err error, target **generated.UnexpectedError) (ok bool) {
	*target, ok = err.(*generated.UnexpectedError) //nolint:errorlint // the error is not wrapped
	return ok
}
