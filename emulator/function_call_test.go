package emulator_test

import (
	"context"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// callTwo is a model that calls two functions if the first prompt is "call". Otherwise it is
// the default model.
func callTwo(ctx context.Context, p emulator.Prompt) emulator.Reply {
	if p.Text() != "call" || len(p.History) > 0 {
		return emulator.DefaultModel(ctx, p)
	}
	return emulator.Reply{Text: "One moment.", Entries: []generated.Entry{
		generated.NewEntry(generated.FunctionCallEntry{Name: "f", ToolCallID: "aaaaaaaaa", Arguments: `{"n": 1}`}),
		generated.NewEntry(generated.FunctionCallEntry{Name: "g", ToolCallID: "bbbbbbbbb", Arguments: "{}"}),
	}}
}

func result(id string) string {
	return fmt.Sprintf(`{"type":"function.result","tool_call_id":%q,"result":"1"}`, id)
}

// TestMissingResults appends to a conversation with two calls that need a result.
func TestMissingResults(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{Model: callTwo})
	both := result("aaaaaaaaa") + "," + result("bbbbbbbbb")
	for inputs, want := range map[string]struct {
		status        int
		code, message string
	}{
		`"hello"`: {400, "3001", "function results are still missing: aaaaaaaaa, bbbbbbbbb"},
		`[]`:      {400, "3001", "function results are still missing: aaaaaaaaa, bbbbbbbbb"},
		`[{"type":"message.input","role":"user","content":"hello"},` + both + `]`: {400, "3001", "still missing"},
		`[` + result("aaaaaaaaa") + `]`:                                           {400, "3230", "Not the same number of function calls and responses"},
		`[` + both + "," + result("ccccccccc") + `]`:                              {400, "3230", "Not the same number"},
		`[` + result("aaaaaaaaa") + "," + result("ccccccccc") + `]`:               {400, "3001", "Unknown tool_call_ids: ccccccccc"},
		`[` + result("aaaaaaaaa") + "," + result("aaaaaaaaa") + `]`:               {400, "3001", "already have a result: aaaaaaaaa"},
		`[` + both + `]`: {200, "", "The result of g is: 1"},
		`[` + both + `,{"type":"message.input","role":"user","content":"Say thanks"}]`: {200, "", "thanks"},
	} {
		c := a.start("call")
		got := a.do(http.MethodPost, "/v1/conversations/"+c.ConversationID, `{"inputs":`+inputs+`}`)
		if got.status != want.status || !strings.Contains(got.body, want.message) || !strings.Contains(got.body, `"code":"`+want.code) && want.code != "" {
			t.Errorf("%s: %d %s, want %+v", inputs, got.status, got.body, want)
		}
		if n := a.Stats().Models[model].Admitted; want.status == 200 && n == 0 {
			t.Error("Admitted is 0, want more")
		}
		if want.status == 200 { // The calls now have results.
			a.do(http.MethodPost, "/v1/conversations/"+c.ConversationID, `{"inputs":[`+both+`]}`).want(400)
			a.do(http.MethodPost, "/v1/conversations/"+c.ConversationID, `{"inputs":"Say bye"}`).want(200)
		}
	}
}

// TestInvalidResults sends results without matching calls, and empty appends.
func TestInvalidResults(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{})
	c := a.start("Say hi")
	call := `{"type":"function.call","tool_call_id":"call_1","name":"f","arguments":"{}"},`
	other := strings.Replace(call, "call_1", "call_2", 1)
	denied := strings.Replace(call, `"{}"`, `"{}","confirmation_status":"denied"`, 1)
	waits := strings.Replace(denied, "denied", "pending", 1)
	for body, want := range map[string]string{
		`POST /v1/conversations/ID {"inputs":[` + result("x") + `]}`:                                                          "Unknown tool_call_ids: x",
		`POST /v1/conversations/ID {"inputs":[]}`:                                                                             "Cannot append an empty list",
		`POST /v1/conversations/ID {}`:                                                                                        "Cannot append an empty list",
		`POST /v1/conversations {"model":"m","inputs":[` + result("x") + `]}`:                                                 "Unknown tool_call_ids: x",
		`POST /v1/conversations {"model":"m","inputs":[` + strings.TrimSuffix(call, ",") + `]}`:                               "still missing: call_1",
		`POST /v1/conversations {"model":"m","inputs":[` + call + other + result("call_1") + `]}`:                             "Not the same number",
		`POST /v1/conversations {"model":"m","inputs":[` + call + call + result("call_1") + "," + result("call_1") + `]}`:     "Tool calls have the same tool_call_id: call_1",
		`POST /v1/conversations {"model":"m","inputs":[` + call + result("call_1") + "," + call + result("call_1") + `]}`:     "Tool calls have the same tool_call_id: call_1",
		`POST /v1/conversations {"model":"m","inputs":[` + denied + denied + result("call_1") + `]}`:                          "the same tool_call_id",
		`POST /v1/conversations {"model":"m","inputs":[` + denied + result("call_1") + `]}`:                                   "Tool calls were denied: call_1",
		`POST /v1/conversations {"model":"m","inputs":[` + waits + result("call_1") + `]}`:                                    "Tool calls wait for a confirmation: call_1",
		`POST /v1/conversations {"model":"m","inputs":[` + strings.Replace(call, `"f"`, `"f g"`, 1) + result("call_1") + `]}`: "Function name was f g but",
	} {
		method, rest, _ := strings.Cut(body, " ")
		path, content, _ := strings.Cut(rest, " ")
		if got := a.do(method, strings.Replace(path, "ID", c.ConversationID, 1), content).want(400); !strings.Contains(got.body, want) {
			t.Errorf("%s: %s, want %s", body, got.body, want)
		}
	}
	a.do(http.MethodPost, "/v1/conversations", `{"model":"m","inputs":[`+call+result("call_1")+`]}`).want(200)
	allowed := `{"type":"function.call","tool_call_id":"call_2","name":"f","arguments":"{}","confirmation_status":"allowed"},`
	a.do(http.MethodPost, "/v1/conversations", `{"model":"m","inputs":[`+call+allowed+result("call_2")+","+result("call_1")+`]}`).want(200)
}

// TestInvalidDefinitions sends tools, response formats and models that the service rejects.
func TestInvalidDefinitions(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{Models: []string{"m"}})
	function := func(name, schema string) string {
		return `{"type":"function","function":{"name":"` + name + `","parameters":` + schema + `}}`
	}
	tools := func(list ...string) string {
		return `{"model":"m","name":"n","inputs":"x","tools":[` + strings.Join(list, ",") + `]}`
	}
	format := func(strict bool, schema string) string {
		return fmt.Sprintf(`{"model":"m","name":"n","inputs":"x","completion_args":{"response_format":{"type":"json_schema","json_schema":{"name":"s","strict":%t,"schema":%s}}}}`, strict, schema)
	}
	closed := `{"type":"object","properties":{"a":{"type":"array","items":{"$ref":"#/$defs/b"}}},"additionalProperties":false,"$defs":{"b":{"enum":[1]}}}`
	for body, want := range map[string]string{
		tools(function("get weather", `{}`)):                              "Function name was get weather but must be a-z, A-Z, 0-9, or contain underscores and dashes, with a maximum length of 64.",
		tools(function(strings.Repeat("x", 65), `{}`)):                    "maximum length of 64",
		tools(function("", `{}`)):                                         "Function name was  but",
		tools(function("f", `{}`), function("f", `{}`)):                   "Function name f is used by more than one tool",
		tools(function("f", `{"type":"strng"}`)):                          "Invalid schema: /tools/0/function/parameters/type: value must be one of 'array'",
		tools(function("f", `{"properties":{"a/b":7}}`)):                  "/tools/0/function/parameters/properties/a~1b: got number, want boolean or object",
		format(false, `{"required":"a"}`):                                 "/completion_args/response_format/json_schema/schema/required: got string, want array",
		tools(function("f", `{"properties":{"a":{"$ref":"#/$defs/a"}}}`)): `/tools/0/function/parameters: $ref: must refer to a location in the schema, got "#/$defs/a"`,
		tools(function("f", `{}`), function("g", `{"pattern":"("}`)):      `/tools/1/function/parameters/pattern: must be a regular expression, got "("`,
		format(false, `{"$ref":"https://example.com"}`):                   `schema: $ref: must refer to a location in the schema, got "https://example.com"`,
		format(true, `{"pattern":"[","type":"string"}`):                   `schema/pattern: must be a regular expression, got "["`,
		strings.Replace(format(false, `{}`), `"s"`, `"a b"`, 1):           "Schema name was a b but must be a-z",
		strings.Replace(format(false, `{}`), `"s"`, `""`, 1):              "Schema name was  but must be a-z",
		format(true, `{"type":"object"}`):                                 "schema: strict mode needs additionalProperties: false",
		format(true, strings.Replace(closed, `{"enum":[1]}`, `{}`, 1)):    "schema/$defs/b: strict mode needs a type",
		format(true, `{"type":"array"}`):                                  "schema: strict mode needs items",
		tools(function("a-b_C9", `{}`), function("g", `{}`)):              "",
		format(true, closed):                                              "",
		format(false, `{"type":"object"}`):                                "",
		`{"model":"other","name":"n","inputs":"x"}`:                       `"message":"Invalid model: other","type":"invalid_model","param":null,"code":"1500"`,
	} {
		for path, drop := range map[string]string{"/v1/conversations": `"name":"n",`, "/v1/agents": `"inputs":"x",`} {
			content := strings.Replace(strings.Replace(body, drop, "", 1), `"inputs":"x"}`, `"inputs":"x"}`, 1)
			if path == "/v1/agents" {
				content = strings.Replace(strings.Replace(body, `,"inputs":"x"`, "", 1), `"inputs":"x",`, "", 1)
			}
			status := 400
			if want == "" {
				status = 200
			}
			if got := a.do(http.MethodPost, path, content).want(status); !strings.Contains(strings.ReplaceAll(got.body, `\"`, `"`), want) {
				t.Errorf("%s %s: %s, want %s", path, content, got.body, want)
			}
		}
	}
	agent := read[generated.Agent](a.do(http.MethodPost, "/v1/agents", `{"model":"m","name":"n"}`))
	conversation := a.do(http.MethodPost, "/v1/conversations", `{"model":"m","inputs":"x"}`)
	id := read[generated.ConversationResponse](conversation).ConversationID
	for format, want := range map[string]string{
		`{"type":"json_schema"}`:                                              "json_schema must be set if the type is json_schema",
		`{"type":"json_schema","json_schema":null}`:                           "json_schema must be set if the type is json_schema",
		`{"type":"text","json_schema":{"name":"s","schema":{}}}`:              "json_schema must be set if the type is json_schema, and only then",
		`{"json_schema":{"name":"s","schema":{}}}`:                            "and only then",
		`{"type":"json_schema","json_schema":{"name":"s"}}`:                   `"schema"],"msg":"Field required"`,
		`{"type":"json_schema","json_schema":{"schema":{}}}`:                  `"name"],"msg":"Field required"`,
		`{"type":"json_schema","json_schema":{"name":"s","schema":null}}`:     `"schema"],"msg":"Input should be a valid dictionary`,
		`{"type":"json_schema","json_schema":{"name":7,"schema":{}}}`:         `"name"],"msg":"Input should be a valid string"`,
		`{"type":"json_schema","json_schema":{"name":"s","schema":{},"x":1}}`: `Extra inputs are not permitted`,
	} {
		args := `"completion_args":{"response_format":` + format + `}}`
		for _, request := range []string{
			`POST /v1/conversations {"model":"m","inputs":"x",`, `POST /v1/conversations/` + id + ` {"inputs":"x",`,
			`POST /v1/agents {"model":"m","name":"n",`, `PATCH /v1/agents/` + agent.ID + ` {`,
		} {
			parts := strings.SplitN(request, " ", 3)
			if got := a.unchecked().do(parts[0], parts[1], parts[2]+args).want(422); !strings.Contains(got.body, want) {
				t.Errorf("%s%s: %s, want %s", request, args, got.body, want)
			}
		}
	}
	a.do(http.MethodPatch, "/v1/agents/"+agent.ID, `{"model":"other"}`).want(400)
	a.do(http.MethodPatch, "/v1/agents/"+agent.ID, `{"model":""}`).want(400)
	a.do(http.MethodPost, "/v1/agents", `{"model":"","name":"n"}`).want(400)
	a.do(http.MethodPatch, "/v1/agents/"+agent.ID, tools(function("f!", `{}`))[:1]+`"tools":[`+function("f!", `{}`)+`]}`).want(400)
}

// The emulator sends calls like the service does: an id has nine letters and digits,
// completed_at is null, and max_tokens truncates the arguments.
func TestCallFormat(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{Model: func(context.Context, emulator.Prompt) emulator.Reply {
		call := generated.NewEntry(generated.FunctionCallEntry{Name: "f", Arguments: `{"a": 1, "b": 2}`})
		return emulator.Reply{Entries: []generated.Entry{call, call}}
	}})
	id := regexp.MustCompile(`"tool_call_id":"[a-zA-Z0-9]{9}"`)
	for args, want := range map[string]string{
		``:                                    `"arguments":"{\"a\": 1, \"b\": 2}"`,
		`,"completion_args":{"max_tokens":3}`: `"arguments":"{\"a\":"`,
		`,"completion_args":{"max_tokens":1}`: "",
	} {
		for _, stream := range []bool{false, true} {
			body := a.do(http.MethodPost, "/v1/conversations", fmt.Sprintf(`{"model":"m","inputs":"x","stream":%t%s}`, stream, args)).want(200).body
			_, conversation, _ := strings.Cut(body, `"conversation_id":"`)
			conversation, _, _ = strings.Cut(conversation, `"`)
			history := a.do(http.MethodGet, "/v1/conversations/"+conversation+"/history", "").body
			calls := map[string]int{"": 2}[args] // max_tokens omits the second call, or both.
			if strings.Contains(args, "3") {
				calls = 1
			}
			if !strings.Contains(history, want) || strings.Count(history, `"function.call"`) != calls || strings.Count(history, `"completed_at":null`) != calls || len(id.FindAllString(history, -1)) != calls {
				t.Errorf("%s, stream %t: %s, want %s", args, stream, history, want)
			}
		}
	}
}
