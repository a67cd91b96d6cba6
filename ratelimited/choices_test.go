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

// functionTool returns a tool with one function.
func functionTool(name string, parameters generated.JSON) generated.Tool {
	return generated.NewTool(generated.FunctionTool{Function: generated.Function{Name: name, Parameters: parameters}})
}

// schemaArgs returns completion arguments with a JSON Schema as the response format.
func schemaArgs(schema generated.JSON) generated.CompletionArgs {
	return generated.CompletionArgs{ResponseFormat: generated.ResponseFormat{
		Type: generated.ResponseFormatsJSONSchema, JSONSchema: generated.JSONSchema{Name: "s", Schema: schema},
	}}
}

// Every operation with tools or a response format validates them. The client does not send values
// that the service would reject or that are ambiguous.
func TestToolsAndResponseFormatsAreValidated(t *testing.T) {
	const object = `{"type":"object"}`
	for name, test := range map[string]struct {
		tools []generated.Tool
		args  generated.CompletionArgs
		want  string // part of the error; "" if the request is valid
	}{
		"a schema without a type": {args: generated.CompletionArgs{ResponseFormat: generated.ResponseFormat{JSONSchema: generated.JSONSchema{Name: "s", Schema: object}}},
			want: `completion_args.response_format.type is "": must be json_schema (generated.ResponseFormatsJSONSchema) if json_schema is set`},
		"a schema and another type": {args: generated.CompletionArgs{ResponseFormat: generated.ResponseFormat{Type: generated.ResponseFormatsText, JSONSchema: generated.JSONSchema{Name: "s"}}},
			want: `completion_args.response_format.type is "text": must be json_schema`},
		"a type without a schema": {args: generated.CompletionArgs{ResponseFormat: generated.ResponseFormat{Type: generated.ResponseFormatsJSONSchema, JSONSchema: generated.JSONSchema{Name: "s"}}},
			want: `completion_args.response_format.json_schema.schema is required if`},
		"a schema without a name": {args: generated.CompletionArgs{ResponseFormat: generated.ResponseFormat{Type: generated.ResponseFormatsJSONSchema, JSONSchema: generated.JSONSchema{Schema: object}}},
			want: `completion_args.response_format.json_schema.name is "": must not be empty`},
		"a nil map as the schema":        {args: schemaArgs(map[string]any(nil)), want: `completion_args.response_format.json_schema.schema is required if`},
		"an unset tool":                  {tools: []generated.Tool{generated.NewTool(generated.UnknownTool{})}, want: `tools[0] is required: use generated.NewTool`},
		"a nil tool":                     {tools: []generated.Tool{generated.NewTool((*generated.FunctionTool)(nil))}, want: `tools[0] is required: use generated.NewTool`},
		"a list as the schema":           {args: schemaArgs([]string{"a"}), want: `completion_args.response_format.json_schema.schema is "[\"a\"]": must be a JSON Schema: a JSON object or a boolean`},
		"a JSON text":                    {args: schemaArgs(`"a"`), want: `is "\"a\"": must be a JSON Schema`},
		"null":                           {args: schemaArgs(`null`), want: `is "null": must be a JSON Schema`},
		"a number":                       {args: schemaArgs(7), want: `is "7": must be a JSON Schema`},
		"invalid JSON":                   {args: schemaArgs(`{"type":`), want: `is "{\"type\":": must be a JSON Schema: a JSON object or a boolean: the text is not JSON: unexpected end of JSON input`},
		"invalid JSON as bytes":          {args: schemaArgs([]byte(`{"type":`)), want: `is "{\"type\":": must be a JSON Schema`},
		"a value that cannot be encoded": {args: schemaArgs(struct{ F func() }{}), want: `json: unsupported type: func()`},
		"invalid JSON as parameters":     {tools: []generated.Tool{functionTool("f", `{`)}, want: `tools[0].function.parameters is "{": must be a JSON Schema`},
		"a list as parameters":           {tools: []generated.Tool{functionTool("f", object), functionTool("g", "[]")}, want: `tools[1].function.parameters is "[]": must be a JSON Schema`},
		"a name with a space":            {tools: []generated.Tool{functionTool("get weather", object)}, want: `tools[0].function.name is "get weather": must be 1 to 64 letters, digits, _ or -`},
		"no name":                        {tools: []generated.Tool{functionTool("", object)}, want: `tools[0].function.name is "": must be 1 to 64`},
		"a long name":                    {tools: []generated.Tool{functionTool(strings.Repeat("n", 65), object)}, want: `tools[0].function.name is "nnn`},
		"a name with a non-ASCII letter": {tools: []generated.Tool{functionTool("wetter_für", object)}, want: `tools[0].function.name is "wetter_für"`},
		"a name with a line break":       {tools: []generated.Tool{functionTool("f\n", object)}, want: `tools[0].function.name is "f\n"`},
		"a duplicate name": {tools: []generated.Tool{functionTool("f", object), generated.NewTool(generated.WebSearchTool{}), functionTool("f", nil)},
			want: `tools[2].function.name is "f": must be unique, already used by tools[0]`},

		"typed nil parameters": {tools: []generated.Tool{functionTool("f", (*struct{})(nil)), functionTool("g", map[string]int(nil))}},
		"an empty schema":      {args: generated.CompletionArgs{ResponseFormat: generated.ResponseFormat{Type: generated.ResponseFormatsText, JSONSchema: generated.JSONSchema{Schema: ""}}}},
		"text":                 {args: generated.CompletionArgs{ResponseFormat: generated.ResponseFormat{Type: generated.ResponseFormatsText}}},
		"an object":            {args: generated.CompletionArgs{ResponseFormat: generated.ResponseFormat{Type: generated.ResponseFormatsJSONObject}}},
		"a schema":             {args: schemaArgs(object)},
		"a map":                {args: schemaArgs(map[string]any{"type": "object"})},
		"valid functions":      {tools: []generated.Tool{functionTool("f", nil), functionTool("Get_Weather-2", object), functionTool(strings.Repeat("n", 64), schemaText("{}"))}},
	} {
		t.Run(name, func(t *testing.T) {
			requests := 0
			count := func(w http.ResponseWriter, r *http.Request) {
				requests++
				if strings.Contains(r.Header.Get("Accept"), "event-stream") {
					streaming(started+done)(w, r)
					return
				}
				writeJSON(w, 200, `{"id":"x","conversation_id":"c","outputs":[],"usage":{}}`)
			}
			runWithHandler(t, fast, count, func(t *testing.T, client *ratelimited.Client) {
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
					var invalid *ratelimited.RequestError
					if !errors.As(err, &invalid) || invalid.Operation != operation || !strings.Contains(err.Error(), test.want) {
						t.Errorf("%s: error is\n%v, want\n%s", operation, err, test.want)
					}
					if requests != 0 || len(err.Error()) > 500 || invalid.Err != nil && !strings.Contains(err.Error(), strings.Split(invalid.Err.Error(), "\n")[0]) {
						t.Errorf("%s: error is %v after %d requests, want at most 500 bytes with the cause, and no request", operation, err, requests)
					}
				}
			})
		})
	}
}

// The client rejects unset values within the inputs, because it would send them as null.
func TestUnsetInputs(t *testing.T) {
	think := generated.NewContentChunk(generated.ThinkChunk{Thinking: []generated.ContentChunk{{}}})
	for want, entry := range map[string]generated.Entry{
		"inputs[1] is required":                        generated.NewEntry(generated.UnknownEntry{}),
		"inputs[1].content is required":                generated.NewEntry(generated.MessageInputEntry{Role: "user"}),
		"inputs[1].content[0] is required":             ratelimited.UserChunks(generated.ContentChunk{}),
		"inputs[1].content[1].thinking[0] is required": ratelimited.UserChunks(textChunk("x"), think),
	} {
		runWithHandler(t, fast, ok, func(t *testing.T, client *ratelimited.Client) {
			_, err := client.Beta.Conversations.Start(t.Context(), generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Entries(ratelimited.User("x"), entry)})
			if !errors.Is(err, ratelimited.ErrInvalid) || !strings.Contains(err.Error(), want) {
				t.Errorf("error is %v, want %s", err, want)
			}
		})
	}
}

// schemaText is a string type for a JSON Schema.
type schemaText string

// The client omits query parameters that are empty lists.
func TestEmptyListParameters(t *testing.T) {
	var query string
	handler := func(w http.ResponseWriter, r *http.Request) {
		query = r.URL.RawQuery
		if strings.HasSuffix(r.URL.Path, "/pages") {
			writeJSON(w, 200, `{"data":[]}`)
			return
		}
		writeJSON(w, 200, `[]`)
	}
	runWithHandler(t, fast, handler, func(t *testing.T, client *ratelimited.Client) {
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
