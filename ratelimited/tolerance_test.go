package ratelimited_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// If a property of an entry has an invalid value, the client omits only that property. This holds for
// responses, histories, messages, streams, and responses assembled from streams.
func TestInvalidValuesInEntries(t *testing.T) {
	for name, test := range map[string]struct {
		member string // of a message with a valid ID and content
		lost   string // the JSON pointer of the omitted property within the message; "" if none is omitted
	}{
		"a number for a string":   {`"model":7`, "/model"},
		"an object for a string":  {`"agent_id":{"id":"ag_1"}`, "/agent_id"},
		"a time in another form":  {`"created_at":"2026-03-20 10:19:40+0000"`, ""},
		"an invalid time":         {`"created_at":"yesterday"`, "/created_at"},
		"a time as a number":      {`"created_at":1774001980`, "/created_at"},
		"a role as a number":      {`"role":1`, "/role"},
		"an undeclared property":  {`"undeclared":[{}]`, ""},
		"null":                    {`"model":null`, ""},
		"several of them":         {`"model":[],"agent_id":true`, "/model"},
		"a large undeclared text": {`"undeclared":"` + strings.Repeat("x", 100_000) + `"`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			message := `{"type":"message.output","id":"msg_1",` + test.member + `,"content":"Hello"}`
			delta := strings.Replace(message, "message.output", "message.output.delta", 1)
			response := `{"conversation_id":"conv_1","outputs":[` + message + `],"usage":{"total_tokens":15}}`
			handler := func(w http.ResponseWriter, r *http.Request) {
				switch {
				case strings.HasSuffix(r.URL.Path, "/history"):
					writeJSON(w, 200, `{"conversation_id":"conv_1","entries":[`+message+`]}`)
				case strings.HasSuffix(r.URL.Path, "/messages"):
					writeJSON(w, 200, `{"conversation_id":"conv_1","messages":[`+message+`]}`)
				case strings.Contains(r.Header.Get("Accept"), "event-stream"):
					streaming(started+frame("message.output.delta", delta)+done)(w, r)
				default:
					writeJSON(w, 200, response)
				}
			}
			runWithHandler(t, fast, handler, func(t *testing.T, client *ratelimited.Client) {
				wantMessage := func(where string, entries []generated.Entry, mismatches []generated.Mismatch, pointer string) {
					t.Helper()
					if len(entries) != 1 {
						t.Fatalf("%s: %d entries, want 1", where, len(entries))
					}
					m, ok := entries[0].Value().(generated.MessageOutputEntry)
					if !ok || m.ID != "msg_1" || m.Content.Text() != "Hello" {
						t.Errorf("%s: the message is %v", where, entries[0])
					}
					lost := slices.ContainsFunc(mismatches, func(m generated.Mismatch) bool { return m.Pointer == pointer+test.lost })
					if lost != (test.lost != "") {
						t.Errorf("%s: mismatches are %v, want %s", where, mismatches, test.lost)
					}
				}
				plain, err := start(t.Context(), client)
				if err != nil {
					t.Fatal(err)
				}
				wantMessage("plain", plain.Outputs, plain.Mismatches(), "/outputs/0")
				if string(plain.Outputs[0].Raw()) != message || string(plain.Raw()) != response {
					t.Errorf("Raw is %.200s in %.200s", plain.Outputs[0].Raw(), plain.Raw())
				}
				history, err := client.Beta.Conversations.GetHistory(t.Context(), "conv_1")
				if err != nil {
					t.Fatal(err)
				}
				wantMessage("history", history.Entries, history.Mismatches(), "/entries/0")
				messages, err := client.Beta.Conversations.GetMessages(t.Context(), "conv_1")
				if err != nil {
					t.Fatal(err)
				}
				wantMessage("messages", messages.Messages, messages.Mismatches(), "/messages/0")
				stream := startStream(t.Context(), t, client)
				events, err := collect(stream)
				if err != nil || len(events) != 3 {
					t.Fatalf("%d events, error %v; want 3 events", len(events), err)
				}
				event := events[1].(generated.MessageOutputEvent)
				wantMessage("stream", stream.Response().Outputs, event.Mismatches(), "")
				if string(event.Raw()) != delta {
					t.Errorf("Raw of the event is %.200s", event.Raw())
				}
			})
		})
	}
}

// If a list item has an invalid value, the client keeps the item and the list.
func TestInvalidValuesInLists(t *testing.T) {
	for name, test := range map[string]struct{ member, lost, text string }{
		"reasoning effort":        {`"completion_args":{"reasoning_effort":3,"max_tokens":7.0}`, "/completion_args/reasoning_effort", "3"},
		"tool choice":             {`"completion_args":{"tool_choice":{"type":"function","function":{"name":"f"}},"max_tokens":7.0}`, "/completion_args/tool_choice", `{"type":"function","function":{"name":"f"}}`},
		"completion arguments":    {`"completion_args":"none"`, "/completion_args", `"none"`},
		"time":                    {`"updated_at":"2026-03-20 10:19:40+0000","created_at":"soon"`, "/created_at", `"soon"`},
		"metadata that is a list": {`"metadata":[]`, "", ""},
		"a boolean schema":        {`"tools":[{"type":"function","function":{"name":"f","parameters":false}}]`, "", ""},
		"a tool":                  {`"tools":["web_search"]`, "/tools/0", `"web_search"`},
		"tools":                   {`"tools":"web_search"`, "/tools", `"web_search"`},
		"guardrails":              {`"guardrails":[{"block_on_error":"yes"}]`, "/guardrails/0/block_on_error", `"yes"`},
		"a threshold":             {`"guardrails":[{"moderation_llm_v1":{"custom_category_thresholds":{"sexual":"high"}}}]`, "/guardrails/0/moderation_llm_v1/custom_category_thresholds/sexual", `"high"`},
		"an id":                   {`"name":{"en":"n"}`, "/name", `{"en":"n"}`},
	} {
		t.Run(name, func(t *testing.T) {
			item := `{"id":"x_2","model":"m",` + test.member + `}`
			list := func(w http.ResponseWriter, r *http.Request) {
				items := `[{"id":"x_1","model":"m"},` + item + `,{"id":"x_3","model":"m"}]`
				if strings.HasSuffix(r.URL.Path, "/pages") {
					items = `{"data":` + items + `}`
				}
				writeJSON(w, 200, items)
			}
			runWithHandler(t, fast, list, func(t *testing.T, client *ratelimited.Client) {
				agents, err := client.Beta.Agents.List(t.Context(), generated.ListAgentsParams{})
				if err != nil {
					t.Fatal(err)
				}
				page, err := client.Beta.Agents.ListPages(t.Context(), generated.ListAgentPagesParams{})
				if err != nil {
					t.Fatal(err)
				}
				conversations, err := client.Beta.Conversations.List(t.Context(), generated.ListConversationsParams{})
				if err != nil {
					t.Fatal(err)
				}
				for where, found := range map[string][]generated.Mismatch{
					"agents": agents[1].Mismatches(), "page": page.Data[1].Mismatches(), "conversations": conversations[1].Mismatches(),
				} {
					want := []generated.Mismatch{{Pointer: test.lost, Text: test.text}}
					if test.lost == "" {
						want = nil
					}
					if !slices.Equal(found, want) {
						t.Errorf("%s: mismatches are %v, want %v", where, found, want)
					}
				}
				for i := range 3 {
					id := fmt.Sprintf("x_%d", i+1)
					if agents[i].ID != id || page.Data[i].ID != id || conversations[i].ID != id || conversations[i].Model != "m" {
						t.Errorf("item %d: %v, %v, %v", i, agents[i], page.Data[i], conversations[i])
					}
				}
				if maxTokens := agents[1].CompletionArgs.MaxTokens; strings.Contains(test.member, "7.0") && (maxTokens == nil || *maxTokens != 7) {
					t.Errorf("max_tokens is %v, want 7", maxTokens)
				}
			})
		})
	}
}

// If the usage is invalid, the client settles the estimate. If only the total is valid, it settles the total.
func TestInvalidUsage(t *testing.T) {
	const estimate = 8 + defaultResponseEstimate
	for usage, want := range map[string]int64{
		`{"prompt_tokens":7.0,"completion_tokens":"2","total_tokens":9e0}`:                                9,
		`{"prompt_tokens":7,"completion_tokens":2,"total_tokens":"9"}`:                                    estimate,
		`{"prompt_tokens":"7","completion_tokens":2}`:                                                     estimate,
		`{"prompt_tokens":7,"completion_tokens":2}`:                                                       9,
		`{"total_tokens":9,"connectors":{"web_search":{}}}`:                                               9,
		`{` + strings.Repeat(`"prompt_tokens":"x",`, 150) + `"prompt_tokens":10,"completion_tokens":"x"}`: estimate,
		`"9"`: estimate, `[9]`: estimate, `{}`: estimate, `null`: estimate, `{"total_tokens":null}`: estimate,
	} {
		t.Run(usage, func(t *testing.T) {
			runWithHandler(t, fast, status(200, `{"conversation_id":"c","outputs":[],"usage":`+usage+`}`), func(t *testing.T, client *ratelimited.Client) {
				if _, err := start(t.Context(), client); err != nil {
					t.Fatal(err)
				}
				if s := snapshot(client); s.Settled != 1 || s.TokensSettled != want {
					t.Errorf("%d tokens settled, want %d", s.TokensSettled, want)
				}
			})
		})
	}
}

// The client accepts function arguments as an object, as a string, or null, in responses and in streams.
func TestFormsOfFunctionArguments(t *testing.T) {
	call := func(arguments string) string {
		return `"id":"fc_1","name":"weather","tool_call_id":"abcdefghi","arguments":` + arguments + `}`
	}
	for arguments, want := range map[string]string{`{"city":"Paris"}`: "Paris", `"{\"city\":\"Paris\"}"`: "Paris", `""`: "", `null`: "", `"{}"`: ""} {
		t.Run(arguments, func(t *testing.T) {
			handler := func(w http.ResponseWriter, r *http.Request) {
				if strings.Contains(r.Header.Get("Accept"), "event-stream") {
					streaming(started+frame("function.call.delta", `{"type":"function.call.delta",`+call(arguments))+done)(w, r)
					return
				}
				writeJSON(w, 200, `{"conversation_id":"c","outputs":[{"type":"function.call",`+call(arguments)+`],"usage":{}}`)
			}
			runWithHandler(t, fast, handler, func(t *testing.T, client *ratelimited.Client) {
				plain, err := start(t.Context(), client)
				if err != nil {
					t.Fatal(err)
				}
				stream := startStream(t.Context(), t, client)
				if _, err := collect(stream); err != nil {
					t.Fatal(err)
				}
				for where, response := range map[string]*generated.ConversationResponse{"plain": plain, "stream": stream.Response()} {
					calls := ratelimited.FunctionCalls(response)
					if len(calls) != 1 {
						t.Fatalf("%s: %d calls, want 1", where, len(calls))
					}
					var in struct{ City string }
					if err := json.Unmarshal([]byte(calls[0].Arguments), &in); err != nil || in.City != want {
						t.Errorf("%s: arguments are %q (%v), want the city %q", where, calls[0].Arguments, err, want)
					}
				}
			})
		})
	}
}

// The type in the data of an event takes precedence over the name of the event.
func TestTypeTakesPrecedenceOverEventName(t *testing.T) {
	named := func(name, text string) string { return "event: " + name + "\n" + text[strings.Index(text, "data:"):] }
	for name, text := range map[string]string{
		"unknown name":          named("response", started) + named("response", hello) + named("response", done),
		"name of another event": named("conversation.response.done", started) + named("tool.execution.delta", hello) + named("message.output.delta", done),
		"no name":               started[strings.Index(started, "data:"):] + hello[strings.Index(hello, "data:"):] + done[strings.Index(done, "data:"):],
		"no type":               started + frame("message.output.delta", `{"id":"msg_1","content":"Hello"}`) + frame("conversation.response.done", `{"usage":{"total_tokens":15}}`),
	} {
		t.Run(name, func(t *testing.T) {
			runWithHandler(t, fast, streaming(text), func(t *testing.T, client *ratelimited.Client) {
				stream := startStream(t.Context(), t, client)
				events, err := collect(stream)
				if err != nil || len(events) != 3 || stream.Text() != "Hello" || stream.Usage().TotalTokens != 15 {
					t.Errorf("%d events, text %q, usage %v, error %v; want 3 events, Hello, and 15 tokens", len(events), stream.Text(), stream.Usage(), err)
				}
			})
		})
	}
}

// Later calls do not change the responses of earlier calls: the client does not reuse their memory.
func TestResponsesDoNotChange(t *testing.T) {
	number := 0
	handler := func(w http.ResponseWriter, _ *http.Request) {
		number++
		writeJSON(w, 200, strings.Replace(responseJSON(fmt.Sprintf("text %04d", number), 30), `"role"`, fmt.Sprintf(`"undeclared":"%04d","agent_id":7,"role"`, number), 1))
	}
	runWithHandler(t, fast, handler, func(t *testing.T, client *ratelimited.Client) {
		kept := make([]*generated.ConversationResponse, 50)
		for i := range kept {
			var err error
			if kept[i], err = start(t.Context(), client); err != nil {
				t.Fatal(err)
			}
		}
		for i, response := range kept {
			want := fmt.Sprintf("%04d", i+1)
			raw := string(response.Outputs[0].Raw())
			if response.OutputText() != "text "+want || !strings.Contains(raw, `"undeclared":"`+want+`"`) || len(response.Mismatches()) != 1 || response.Mismatches()[0].Text != "7" {
				t.Errorf("response %d has changed to %v", i, response)
			}
			response.Raw()[0], response.Outputs[0].Raw()[0] = 'x', 'x'
			if second := string(response.Outputs[0].Raw()); second != raw || response.Raw()[0] != '{' {
				t.Errorf("Raw does not return a copy: %s", second)
			}
		}
	})
}

// Raw of a chunk returns the JSON that the server sent, in an event and in the response assembled from it.
func TestRawChunksOfStreams(t *testing.T) {
	const chunk = `{"type":"tool_reference", "tool":"web_search","title":"T","score":0.5}`
	delta := frame("message.output.delta", `{"type":"message.output.delta","id":"msg_1","content":`+chunk+`}`)
	runWithHandler(t, fast, streaming(started+delta+done), func(t *testing.T, client *ratelimited.Client) {
		stream := startStream(t.Context(), t, client)
		events, err := collect(stream)
		if err != nil {
			t.Fatal(err)
		}
		message := stream.Response().Outputs[0].Value().(generated.MessageOutputEntry)
		for where, content := range map[string]generated.MessageContent{"event": events[1].(generated.MessageOutputEvent).Content, "response": message.Content} {
			if raw := content.Chunks()[0].Raw(); string(raw) != chunk {
				t.Errorf("%s: Raw is %s", where, raw)
			}
		}
	})
}

// If a program sends an agent's tools, response format, and metadata back, they do not change. They keep their
// digits, order, and undeclared properties.
func TestFreeFormValuesDoNotChange(t *testing.T) {
	const (
		metadata = `{"z":9007199254740993,"a":{"y":1.50,"b":[1e2,"x"]},"m":null}`
		tools    = `[{"type":"function","function":{"name":"f","parameters":{"type":"object","properties":{"reason":{"maximum":18446744073709551615},"answer":{"type":"string"}},"required":["reason","answer"]}}}]`
		format   = `{"type":"json_schema","json_schema":{"name":"s","schema":{"type":"object","properties":{"reason":{"type":"string"},"answer":{"const":9007199254740993}}}}}`
	)
	var sent string
	handler := func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPatch {
			body, err := io.ReadAll(r.Body)
			if err != nil {
				t.Error(err)
			}
			sent = string(body)
		}
		writeJSON(w, 200, `{"id":"ag_1","name":"n","model":"m","metadata":`+metadata+`,"tools":`+tools+`,"completion_args":{"response_format":`+format+`}}`)
	}
	runWithHandler(t, fast, handler, func(t *testing.T, client *ratelimited.Client) {
		agent, err := client.Beta.Agents.Get(t.Context(), "ag_1", generated.GetAgentParams{})
		if err != nil {
			t.Fatal(err)
		}
		var read struct {
			Z int64
			A struct{ B []any }
		}
		if err := generated.DecodeJSON(agent.Metadata, &read); err != nil || read.Z != 9007199254740993 || len(read.A.B) != 2 {
			t.Errorf("the decoded metadata is %+v: %v", read, err)
		}
		_, err = client.Beta.Agents.Update(t.Context(), "ag_1", generated.UpdateAgentRequest{
			Tools: agent.Tools, Metadata: agent.Metadata, CompletionArgs: agent.CompletionArgs,
		})
		if err != nil {
			t.Fatal(err)
		}
		for _, want := range []string{`"metadata":` + metadata, `"tools":` + tools, `"schema":{"type":"object","properties":{"reason":{"type":"string"},"answer":{"const":9007199254740993}}}`} {
			if !strings.Contains(sent, want) {
				t.Errorf("sent\n%s, want it to contain\n%s", sent, want)
			}
		}
		// A new tool with the received parameters does not change them either.
		f := agent.Tools[0].Value().(generated.FunctionTool).Function
		_, err = client.Beta.Agents.Update(t.Context(), "ag_1", generated.UpdateAgentRequest{
			Tools: []generated.Tool{generated.NewTool(generated.FunctionTool{Function: generated.Function{Name: f.Name, Parameters: f.Parameters}})},
		})
		if err != nil {
			t.Fatal(err)
		}
		if want := `"properties":{"reason":{"maximum":18446744073709551615},"answer"`; !strings.Contains(sent, want) {
			t.Errorf("sent\n%s, want it to contain\n%s", sent, want)
		}
	})
}

// A schema can be a string, bytes, or any value. The client sends its properties in their order.
func TestSchemasAreSentUnchanged(t *testing.T) {
	const schema = `{"type":"object","properties":{"reason":{},"answer":{}}}`
	type ordered struct {
		Type       string `json:"type"`
		Properties struct {
			Reason struct{} `json:"reason"`
			Answer struct{} `json:"answer"`
		} `json:"properties"`
	}
	type named string
	for name, test := range map[string]struct {
		value generated.JSON
		want  string
	}{
		"text": {schema, schema}, "bytes": {[]byte(schema), schema}, "raw": {json.RawMessage(schema), schema}, "a string type": {named(schema), schema},
		"a struct": {ordered{Type: "object"}, schema}, "a pointer": {&ordered{Type: "object"}, schema}, "text with spaces": {" {\n\"type\": \"object\"} ", " {\n\"type\": \"object\"} "},
		"a map": {map[string]any{"type": "object", "a<b": 1}, `{"a<b":1,"type":"object"}`}, "a boolean": {true, "true"},
		"nothing": {nil, `{"type":"object","properties":{}}`}, "an empty text": {"", `{"type":"object","properties":{}}`}, "a nil map": {map[string]any(nil), `{"type":"object","properties":{}}`},
	} {
		t.Run(name, func(t *testing.T) {
			var sent string
			transport := func(r *http.Request) (*http.Response, error) {
				body, err := io.ReadAll(r.Body)
				sent = string(body)
				return newResponse(200, "application/json", responseJSON("fine", 30)), err
			}
			runWithTransport(t, fast, roundTripperFunc(transport), func(t *testing.T, client *ratelimited.Client) {
				request := generated.StartConversationRequest{Model: "m", Inputs: ratelimited.Text("x"), Tools: []generated.Tool{
					generated.NewTool(generated.FunctionTool{Function: generated.Function{Name: "f", Parameters: test.value}}),
				}}
				if test.value != nil && test.want != `{"type":"object","properties":{}}` {
					request.CompletionArgs.ResponseFormat = generated.ResponseFormat{
						Type: generated.ResponseFormatsJSONSchema, JSONSchema: generated.JSONSchema{Name: "s", Schema: test.value},
					}
				}
				if _, err := client.Beta.Conversations.Start(t.Context(), request); err != nil {
					t.Fatal(err)
				}
				if !strings.Contains(sent, `"parameters":`+test.want) || request.CompletionArgs.ResponseFormat.Type != "" && !strings.Contains(sent, `"schema":`+test.want) {
					t.Errorf("sent %s, want %s", sent, test.want)
				}
				marshaled, err := json.Marshal(request)
				var want, got any
				if err != nil || json.Unmarshal(marshaled, &want) != nil || json.Unmarshal([]byte(sent), &got) != nil || fmt.Sprint(want) != fmt.Sprint(got) {
					t.Errorf("json.Marshal returns %s (%v), but the client sent %s", marshaled, err, sent)
				}
			})
		})
	}
}

// TextDeltas yields only text. It ends with the same error as Events.
func TestTextDeltas(t *testing.T) {
	for name, test := range map[string]struct {
		text, want, whole string
		failed            bool
	}{
		"complete":  {started + hello + world + frame("hologram", `{"type":"hologram"}`) + done, `["Hello" " world"]`, "Hello world", false},
		"truncated": {started + hello, `["Hello" ""]`, "Hello", true},
	} {
		t.Run(name, func(t *testing.T) {
			runWithHandler(t, small, streaming(test.text), func(t *testing.T, client *ratelimited.Client) {
				stream := startStream(t.Context(), t, client)
				var texts []string
				var failure error
				for text, err := range stream.TextDeltas() {
					texts, failure = append(texts, text), err
				}
				if fmt.Sprintf("%q", texts) != test.want || (failure != nil) != test.failed || stream.Text() != test.whole {
					t.Errorf("the texts are %q, %v; the text of the stream is %q", texts, failure, stream.Text())
				}
			})
		})
	}
	runWithHandler(t, small, streaming(started+hello+world+done), func(t *testing.T, client *ratelimited.Client) {
		stream := startStream(t.Context(), t, client)
		for text, err := range stream.TextDeltas() {
			if text != "Hello" || err != nil {
				t.Errorf("the first text is %q, %v", text, err)
			}
			break
		}
		if _, err := collect(stream); err == nil {
			t.Error("a stream continues after the caller has left it, want an error")
		}
	})
}
