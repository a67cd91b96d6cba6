package ratelimited_test

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

func function(name string, parameters generated.JSON) generated.Tool {
	return generated.NewTool(generated.FunctionTool{Function: generated.Function{Name: name, Parameters: parameters}})
}

func schema(schema generated.JSON) generated.CompletionArgs {
	return generated.CompletionArgs{ResponseFormat: generated.ResponseFormat{
		Type: generated.ResponseFormatsJSONSchema, JSONSchema: generated.JSONSchema{Name: "s", Schema: schema},
	}}
}

// Choices that the service would refuse, or that are not clear, are refused before anything
// is sent, by every operation that has them.
func TestChoices(t *testing.T) {
	const object = `{"type":"object"}`
	for name, test := range map[string]struct {
		tools []generated.Tool
		args  generated.CompletionArgs
		want  string // "" if it is good
	}{
		"a schema without a type": {args: generated.CompletionArgs{ResponseFormat: generated.ResponseFormat{JSONSchema: generated.JSONSchema{Name: "s", Schema: object}}},
			want: `completion_args.response_format.type is "": must be json_schema (generated.ResponseFormatsJSONSchema) if json_schema is set`},
		"a schema and another type": {args: generated.CompletionArgs{ResponseFormat: generated.ResponseFormat{Type: generated.ResponseFormatsText, JSONSchema: generated.JSONSchema{Name: "s"}}},
			want: `completion_args.response_format.type is "text": must be json_schema`},
		"a type without a schema": {args: generated.CompletionArgs{ResponseFormat: generated.ResponseFormat{Type: generated.ResponseFormatsJSONSchema, JSONSchema: generated.JSONSchema{Name: "s"}}},
			want: `completion_args.response_format.json_schema.schema is required if`},
		"a type without a name": {args: generated.CompletionArgs{ResponseFormat: generated.ResponseFormat{Type: generated.ResponseFormatsJSONSchema, JSONSchema: generated.JSONSchema{Schema: object}}},
			want: `completion_args.response_format.json_schema.name is "": must not be empty`},
		"a nil map for a schema":   {args: schema(map[string]any(nil)), want: `completion_args.response_format.json_schema.schema is required if`},
		"an unset tool":            {tools: []generated.Tool{generated.NewTool(generated.UnknownTool{})}, want: `tools[0] is required: use generated.NewTool`},
		"a nil tool":               {tools: []generated.Tool{generated.NewTool((*generated.FunctionTool)(nil))}, want: `tools[0] is required: use generated.NewTool`},
		"a list for a schema":      {args: schema([]string{"a"}), want: `completion_args.response_format.json_schema.schema is "[\"a\"]": must be a JSON Schema: a JSON object or a boolean`},
		"a JSON text":              {args: schema(`"a"`), want: `is "\"a\"": must be a JSON Schema`},
		"null":                     {args: schema(`null`), want: `is "null": must be a JSON Schema`},
		"a number":                 {args: schema(7), want: `is "7": must be a JSON Schema`},
		"broken JSON":              {args: schema(`{"type":`), want: `is "{\"type\":": must be a JSON Schema: a JSON object or a boolean: the text is not JSON: unexpected end of JSON input`},
		"broken bytes":             {args: schema([]byte(`{"type":`)), want: `is "{\"type\":": must be a JSON Schema`},
		"a value without a JSON":   {args: schema(struct{ F func() }{}), want: `json: unsupported type: func()`},
		"broken parameters":        {tools: []generated.Tool{function("f", `{`)}, want: `tools[0].function.parameters is "{": must be a JSON Schema`},
		"parameters that are none": {tools: []generated.Tool{function("f", object), function("g", "[]")}, want: `tools[1].function.parameters is "[]": must be a JSON Schema`},
		"a name with a blank":      {tools: []generated.Tool{function("get weather", object)}, want: `tools[0].function.name is "get weather": must be 1 to 64 letters, digits, _ or -`},
		"no name":                  {tools: []generated.Tool{function("", object)}, want: `tools[0].function.name is "": must be 1 to 64`},
		"a long name":              {tools: []generated.Tool{function(strings.Repeat("n", 65), object)}, want: `tools[0].function.name is "nnn`},
		"a name of another script": {tools: []generated.Tool{function("wetter_für", object)}, want: `tools[0].function.name is "wetter_für"`},
		"a name with a line break": {tools: []generated.Tool{function("f\n", object)}, want: `tools[0].function.name is "f\n"`},
		"one name twice": {tools: []generated.Tool{function("f", object), generated.NewTool(generated.WebSearchTool{}), function("f", nil)},
			want: `tools[2].function.name is "f": must be unique, already used by tools[0]`},

		"typed nil parameters": {tools: []generated.Tool{function("f", (*struct{})(nil)), function("g", map[string]int(nil))}},
		"an empty schema":      {args: generated.CompletionArgs{ResponseFormat: generated.ResponseFormat{Type: generated.ResponseFormatsText, JSONSchema: generated.JSONSchema{Schema: ""}}}},
		"text":                 {args: generated.CompletionArgs{ResponseFormat: generated.ResponseFormat{Type: generated.ResponseFormatsText}}},
		"an object":            {args: generated.CompletionArgs{ResponseFormat: generated.ResponseFormat{Type: generated.ResponseFormatsJSONObject}}},
		"a schema":             {args: schema(object)},
		"a map":                {args: schema(map[string]any{"type": "object"})},
		"good functions":       {tools: []generated.Tool{function("f", nil), function("Get_Weather-2", object), function(strings.Repeat("n", 64), schemaText("{}"))}},
	} {
		t.Run(name, func(t *testing.T) {
			requests := 0
			count := func(w http.ResponseWriter, r *http.Request) {
				requests++
				if strings.Contains(r.Header.Get("Accept"), "event-stream") {
					streaming(started+done)(w, r)
					return
				}
				answer(w, 200, `{"id":"x","conversation_id":"c","outputs":[],"usage":{}}`)
			}
			inBubble(t, fast, count, func(t *testing.T, client *ratelimited.Client) {
				ctx, conversations, agents, text := t.Context(), client.Beta.Conversations, client.Beta.Agents, ratelimited.Text("x")
				calls := map[string]func(ctx context.Context) error{
					"Conversations.Start": func(ctx context.Context) error {
						_, err := conversations.Start(ctx, generated.StartConversationRequest{Model: "m", Inputs: text, Tools: test.tools, CompletionArgs: test.args})
						return err
					},
					"Agents.Create": func(ctx context.Context) error {
						_, err := agents.Create(ctx, generated.CreateAgentRequest{Model: "m", Name: "n", Tools: test.tools, CompletionArgs: test.args})
						return err
					},
					"Agents.Update": func(ctx context.Context) error {
						_, err := agents.Update(ctx, "ag_1", generated.UpdateAgentRequest{Tools: test.tools, CompletionArgs: test.args})
						return err
					},
				}
				if test.tools == nil {
					calls["Conversations.Append"] = func(ctx context.Context) error {
						_, err := conversations.Append(ctx, "conv_1", generated.AppendConversationRequest{Inputs: text, CompletionArgs: test.args})
						return err
					}
					calls["Conversations.RestartStream"] = func(ctx context.Context) error {
						stream, err := conversations.RestartStream(ctx, "conv_1", generated.RestartConversationRequest{FromEntryID: "msg_1", Inputs: text, CompletionArgs: test.args})
						if err == nil {
							_, err = collect(stream)
						}
						return err
					}
				}
				for operation, call := range calls {
					requests = 0
					err := call(ctx)
					if test.want == "" {
						if err != nil || requests != 1 {
							t.Errorf("%s: %v after %d requests", operation, err, requests)
						}
						continue
					}
					var refused *ratelimited.RequestError
					if !errors.As(err, &refused) || refused.Operation != operation || !strings.Contains(err.Error(), test.want) {
						t.Errorf("%s: error is\n%v, want\n%s", operation, err, test.want)
					}
					if requests != 0 || len(err.Error()) > 500 || refused.Err != nil && !strings.Contains(err.Error(), strings.Split(refused.Err.Error(), "\n")[0]) {
						t.Errorf("%s: %d requests, and the error is %v", operation, requests, err)
					}
				}
			})
		})
	}
}

// What is unset inside the inputs would be sent as null.
func TestUnsetInputs(t *testing.T) {
	think := generated.NewContentChunk(generated.ThinkChunk{Thinking: []generated.ContentChunk{{}}})
	for want, entry := range map[string]generated.Entry{
		"inputs[1] is required":                        generated.NewEntry(generated.UnknownEntry{}),
		"inputs[1].content is required":                generated.NewEntry(generated.MessageInputEntry{Role: "user"}),
		"inputs[1].content[0] is required":             ratelimited.UserChunks(generated.ContentChunk{}),
		"inputs[1].content[1].thinking[0] is required": ratelimited.UserChunks(text("x"), think),
	} {
		inBubble(t, fast, ok, func(t *testing.T, client *ratelimited.Client) {
			_, err := client.Beta.Conversations.Start(t.Context(), generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Entries(ratelimited.User("x"), entry)})
			if !errors.Is(err, ratelimited.ErrInvalid) || !strings.Contains(err.Error(), want) {
				t.Errorf("error is %v, want %s", err, want)
			}
		})
	}
}

type schemaText string

// An empty list as a parameter is not sent.
func TestEmptyListParameters(t *testing.T) {
	var query string
	handler := func(w http.ResponseWriter, r *http.Request) {
		query = r.URL.RawQuery
		if strings.HasSuffix(r.URL.Path, "/pages") {
			answer(w, 200, `{"data":[]}`)
			return
		}
		answer(w, 200, `[]`)
	}
	inBubble(t, fast, handler, func(t *testing.T, client *ratelimited.Client) {
		for sources, want := range map[*[]generated.RequestSource]string{{}: "name=n", {"api"}: "sources=api&name=n", {"api", "playground"}: "sources=api&sources=playground&name=n", nil: "name=n"} {
			if _, err := client.Beta.Agents.List(t.Context(), generated.ListAgentsParams{Sources: sources, Name: ratelimited.Ptr("n")}); err != nil || query != want {
				t.Errorf("query is %q (%v), want %q", query, err, want)
			}
			if _, err := client.Beta.Agents.ListPages(t.Context(), generated.ListAgentPagesParams{Sources: sources, Name: ratelimited.Ptr("n")}); err != nil || query != want {
				t.Errorf("query is %q (%v), want %q", query, err, want)
			}
		}
	})
}
