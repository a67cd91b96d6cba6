package emulator_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

func TestDefaultModel(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{})
	object := generated.CompletionArgs{ResponseFormat: generated.ResponseFormat{Type: generated.ResponseFormatsJSONObject}}
	schema := generated.CompletionArgs{ResponseFormat: generated.ResponseFormat{
		Type: generated.ResponseFormatsJSONSchema,
		JSONSchema: generated.JSONSchema{Name: "s", Schema: map[string]any{
			"type": "object",
			"properties": map[string]any{
				"color": map[string]any{"enum": []string{"red", "blue"}},
				"list":  map[string]any{"type": "array", "items": map[string]any{"type": []string{"number", "null"}}},
				"ok":    map[string]any{"type": "boolean"},
				"one":   map[string]any{"const": 1},
				"text":  map[string]any{"anyOf": []any{map[string]any{"type": "string"}}},
				"zero":  map[string]any{"type": "object"},
			},
		}},
	}}
	for _, test := range []struct {
		text, want string
		args       generated.CompletionArgs
	}{
		{text: "Repeat exactly: a  b", want: "a  b"},
		{text: `Please reply with "yes"`, want: "yes"},
		{text: "say hello", want: "hello"},
		{text: "Count to 5, please", want: "1 2 3 4 5"},
		{text: "count up to 0", want: ""},
		{text: "What is 2+2?", want: "4"},
		{text: "what is 7 divided by 2", want: "3.5"},
		{text: "0.1 + 0.2", want: "0.3"},
		{text: "6 x 7?", want: "42"},
		{text: "1/0", want: "The result is undefined."},
		{text: "Add 5", want: `You said "Add 5", and this is the emulator's answer to that.`},
		{text: "What is my name?", want: `You said "What is my name?", and this is the emulator's answer to that.`},
		{text: " ", want: "The prompt is empty."},
		{text: "Count to 9", want: "1 2 3", args: generated.CompletionArgs{MaxTokens: ptr(3)}},
		{text: "Say extraordinary", want: "extraor", args: generated.CompletionArgs{MaxTokens: ptr(2)}},
		{text: "Count to 9", want: "1 2 3 ", args: generated.CompletionArgs{Stop: generated.CompletionArgsStop{"6", "4"}}},
		{text: "Say hi", want: `{"answer":"hi"}`, args: object},
		{text: "Blue and 2.5", want: `{"color":"blue","list":[2.5],"ok":true,"one":1,"text":"Blue and 2.5","zero":{}}`, args: schema},
	} {
		request := textRequest(test.text)
		request.CompletionArgs = test.args
		got := read[generated.ConversationResponse](a.post("/v1/conversations", request))
		if text := textOf(got.Outputs); text != test.want {
			t.Errorf("%q: %q, want %q", test.text, text, test.want)
		}
		if limit := test.args.MaxTokens; limit != nil && got.Usage.CompletionTokens > *limit {
			t.Errorf("%q: %d tokens, want at most %d", test.text, got.Usage.CompletionTokens, *limit)
		}
	}
}

func TestFunctionCalling(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{})
	request := textRequest("What will the weather in Paris be for 3 days?")
	request.Tools = []generated.Tool{weather()}
	c := read[generated.ConversationResponse](a.post("/v1/conversations", request))
	call, ok := c.Outputs[0].Value().(generated.FunctionCallEntry)
	if !ok || call.Name != "get_weather" || call.Arguments != `{"city":"Paris","days":3}` || call.ToolCallID == "" || !strings.HasPrefix(call.ID, "fc_") {
		t.Fatalf("output is %+v", c.Outputs[0].Value())
	}
	answer := read[generated.ConversationResponse](a.post("/v1/conversations/"+c.ConversationID, generated.AppendConversationRequest{
		Inputs: generated.NewEntryInputs([]generated.Entry{
			generated.NewEntry(generated.FunctionResultEntry{ToolCallID: call.ToolCallID, Result: "rain, 9 °C"}),
		}),
	}))
	if got := textOf(answer.Outputs); got != "The result of get_weather is: rain, 9 °C" {
		t.Errorf("text is %q", got)
	}
	for choice, called := range map[generated.ToolChoiceEnum]bool{
		generated.ToolChoiceEnumNone: false, generated.ToolChoiceEnumAuto: false,
		generated.ToolChoiceEnumAny: true, generated.ToolChoiceEnumRequired: true,
	} {
		request := textRequest("Hello")
		request.Tools, request.CompletionArgs.ToolChoice = []generated.Tool{weather()}, choice
		outputs := read[generated.ConversationResponse](a.post("/v1/conversations", request)).Outputs
		if _, ok := outputs[0].Value().(generated.FunctionCallEntry); ok != called {
			t.Errorf("tool_choice %s: output is %T", choice, outputs[0].Value())
		}
	}
}

func TestWebSearch(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{})
	c := read[generated.ConversationResponse](a.post("/v1/conversations", startRequests()["search"]))
	if len(c.Outputs) != 2 {
		t.Fatalf("got %d outputs, want 2", len(c.Outputs))
	}
	run, _ := c.Outputs[0].Value().(generated.ToolExecutionEntry)
	message, _ := c.Outputs[1].Value().(generated.MessageOutputEntry)
	if run.Name != "web_search" || !strings.HasPrefix(run.ID, "tool_exec_") || !strings.Contains(fmt.Sprint(run.Info), "result") {
		t.Errorf("first output is %+v", run)
	}
	var reference generated.ToolReferenceChunk
	for _, chunk := range message.Content.Chunks() {
		if r, ok := chunk.Value().(generated.ToolReferenceChunk); ok {
			reference = r
		}
	}
	if reference.Tool != "web_search" || reference.URL == "" {
		t.Errorf("second output is %+v", message)
	}
	u := c.Usage
	if u.Connectors["web_search"] != 1 || u.ConnectorTokens == 0 || u.TotalTokens != u.PromptTokens+u.CompletionTokens+u.ConnectorTokens {
		t.Errorf("usage is %+v", u)
	}
}

func TestCustomModel(t *testing.T) {
	t.Parallel()
	usage := generated.ConversationUsageInfo{PromptTokens: 100, CompletionTokens: 11, TotalTokens: 111}
	a := start(t, emulator.Config{Model: func(ctx context.Context, p emulator.Prompt) emulator.Reply {
		switch p.Text() {
		case "usage":
			return emulator.Reply{Text: "ok", Usage: &usage}
		case "teapot":
			return emulator.Reply{Err: &emulator.Error{Status: http.StatusServiceUnavailable, Body: "busy", Header: http.Header{"Content-Type": {"text/plain"}, "Retry-After": {"7"}}}}
		case "invalid":
			return emulator.Reply{Err: &emulator.Error{Status: http.StatusBadRequest, Message: "Invalid model: m"}}
		case "fail":
			return emulator.Reply{Err: errors.New("broken")}
		default:
			return emulator.DefaultModel(ctx, p)
		}
	}})
	if got := a.start("usage"); encoded(t, got.Usage) != encoded(t, usage) {
		t.Errorf("usage is %+v", got.Usage)
	}
	for text, want := range map[string]struct {
		status      int
		media, body string
	}{
		"teapot":  {http.StatusServiceUnavailable, "text/plain", "busy"},
		"invalid": {http.StatusBadRequest, "application/json", `{"object":"error","message":"Invalid model: m","type":"invalid_request_error","param":null,"code":"3000","raw_status_code":400}`},
		"fail":    {http.StatusInternalServerError, "application/json", `{"object":"error","message":"broken","type":"internal_server_error","param":null,"code":"3000","raw_status_code":500}`},
	} {
		for _, stream := range []bool{false, true} {
			request := textRequest(text)
			request.Stream = stream
			got := a.post("/v1/conversations", request)
			if got.status != want.status || got.header.Get("Content-Type") != want.media || got.body != want.body {
				t.Errorf("%s: %d %s %s", text, got.status, got.header, got.body)
			}
		}
	}
	if m := a.Stats().Models[model]; m.Tokens != usage.TotalTokens {
		t.Errorf("the limits charged %d tokens, want %d: failed calls are free", m.Tokens, usage.TotalTokens)
	}
	if body := a.do(http.MethodGet, "/v1/conversations", "").body; strings.Count(body, `"conv_`) != 1 {
		t.Errorf("conversations are %s, want only the one that did not fail", body)
	}
}

// An invalid reply of a custom model fails the call with the reason.
func TestModelRepliesAreValidated(t *testing.T) {
	t.Parallel()
	entries := func(v generated.EntryVariant) emulator.Reply {
		return emulator.Reply{Entries: []generated.Entry{generated.NewEntry(v)}}
	}
	for want, bad := range map[string]emulator.Reply{
		"Err: Status: must be from 200 to 599, got 0":                             {Err: &emulator.Error{}},
		"Err: Status: must be from 200 to 599, got 1000":                          {Err: fmt.Errorf("busy: %w", &emulator.Error{Status: 1000})},
		"Err: must not be a nil *Error":                                           {Err: (*emulator.Error)(nil)},
		"Entries[0]: must be an output, got <nil>":                                {Entries: make([]generated.Entry, 1)},
		"Entries[0]: must be an output, got generated.MessageInputEntry":          entries(generated.MessageInputEntry{}),
		"Entries[0]: must be an output, got generated.FunctionResultEntry":        entries(generated.FunctionResultEntry{}),
		"Entries[0]: must be JSON: json: error calling MarshalJSON":               entries(generated.ToolExecutionEntry{Name: "web_search", Info: make(chan int)}),
		"Entries[0]: must be JSON: json: error calling MarshalJSON for type gene": entries(generated.UnknownEntry{Type: "x", Raw: []byte("{")}),
		"Usage: must be 0 or more tokens, got {":                                  {Text: "x", Usage: &generated.ConversationUsageInfo{TotalTokens: -1}},
	} {
		a := start(t, emulator.Config{Model: func(context.Context, emulator.Prompt) emulator.Reply { return bad }})
		for _, stream := range []bool{false, true} {
			request := textRequest("x")
			request.Stream = stream
			if got := a.post("/v1/conversations", request).want(500); !strings.Contains(got.body, "emulator: model: reply."+want) {
				t.Errorf("%s, want %s", got.body, want)
			}
		}
	}
}
