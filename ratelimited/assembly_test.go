package ratelimited_test

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/memnet"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
)

// textChunk returns a content chunk with text.
func textChunk(s string) generated.ContentChunk {
	return generated.NewContentChunk(generated.TextChunk{Text: s})
}

// normalized returns the JSON form of a value without the properties that differ between calls or that
// streams do not contain.
func normalized(t *testing.T, value any) any {
	t.Helper()
	data, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(data, &v); err != nil {
		t.Fatal(err)
	}
	var strip func(any)
	strip = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			for _, name := range []string{"id", "conversation_id", "created_at", "completed_at", "tool_call_id"} {
				delete(v, name)
			}
			for _, child := range v {
				strip(child)
			}
		case []any:
			for _, child := range v {
				strip(child)
			}
		}
	}
	strip(v)
	return v
}

// The response assembled from a stream equals the response of the same call without streaming.
func TestStreamResponse(t *testing.T) {
	message := func(content generated.MessageContent) generated.Entry {
		return generated.NewEntry(generated.MessageOutputEntry{Content: content})
	}
	think := generated.NewContentChunk(generated.ThinkChunk{
		Thinking: []generated.ContentChunk{textChunk("Let me think."), generated.NewContentChunk(generated.ToolReferenceChunk{Tool: "web_search", Title: "T", URL: "https://x"}), textChunk("Yes.")},
	})
	image := generated.NewContentChunk(generated.ToolFileChunk{Tool: "image_generation", FileID: "f", FileName: "n.png"})
	call := generated.NewEntry(generated.FunctionCallEntry{Name: "temperature", Arguments: `{"city": "Paris", "unit": "C"}`})
	tool := generated.NewEntry(generated.ToolExecutionEntry{Name: "web_search", Arguments: `{"query": "x y"}`, Info: generated.ToolExecutionInfo{"result": "r"}})
	for name, reply := range map[string]emulator.Reply{
		"text":           {Text: "One two three."},
		"empty text":     {Entries: []generated.Entry{message(generated.NewTextContent(""))}},
		"one chunk":      {Entries: []generated.Entry{message(generated.NewChunkContent(image))}},
		"chunks":         {Entries: []generated.Entry{message(generated.NewChunkContent(textChunk("See "), image, textChunk("and go on.")))}},
		"thoughts":       {Entries: []generated.Entry{message(generated.NewChunkContent(think, textChunk("Forty two.")))}},
		"function call":  {Entries: []generated.Entry{call}},
		"function calls": {Entries: []generated.Entry{call, call}},
		"tool":           {Entries: []generated.Entry{tool, message(generated.NewTextContent("Found it."))}},
		"tool alone":     {Entries: []generated.Entry{generated.NewEntry(generated.ToolExecutionEntry{Name: "code_interpreter"})}},
		"handoff": {Entries: []generated.Entry{generated.NewEntry(generated.AgentHandoffEntry{
			PreviousAgentID: "ag_1", PreviousAgentName: "A", NextAgentID: "ag_2", NextAgentName: "B",
		}), message(generated.NewTextContent("B here."))}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				e := emulator.New(emulator.Config{Model: func(context.Context, emulator.Prompt) emulator.Reply { return reply }})
				server := memnet.Start(e)
				defer server.Close()
				client := newClient(t, ratelimited.Config{
					APIKey: secretKey, BaseURL: server.URL(), HTTPClient: contract.Client(t, server.Client().Transport), RequestsPerSecond: 100,
				})
				defer client.Close()
				plain, err := start(t.Context(), client)
				if err != nil {
					t.Fatal(err)
				}
				stream := startStream(t.Context(), t, client)
				if _, err := collect(stream); err != nil {
					t.Fatal(err)
				}
				response := stream.Response()
				if got, want := normalized(t, response), normalized(t, plain); !reflect.DeepEqual(got, want) {
					t.Errorf("the stream's response is\n%v\nwant\n%v", got, want)
				}
				if response.ConversationID == "" || response.ConversationID != stream.ConversationID() {
					t.Errorf("the response has the conversation ID %q, and the stream %q", response.ConversationID, stream.ConversationID())
				}
				if got := ratelimited.OutputText(response); got != stream.Text() {
					t.Errorf("the text of the stream is %q, and the text of the response %q", stream.Text(), got)
				}
				if calls := ratelimited.FunctionCalls(response); len(calls) != len(ratelimited.FunctionCalls(plain)) || len(calls) > 0 && calls[0].ToolCallID == "" {
					t.Errorf("the function calls are %+v", calls)
				}
			})
		})
	}
}

// The API streams thoughts as closed objects, and then the message as strings at the next content index.
// Response returns the received part at any time.
func TestStreamResponseOfThoughts(t *testing.T) {
	delta := func(index, content string) string {
		return frame("message.output.delta", `{"type":"message.output.delta","id":"msg_1","content_index":`+index+`,"content":`+content+`}`)
	}
	thought := func(s string) string {
		return delta("0", `{"type":"thinking","closed":true,"thinking":[{"type":"text","text":"`+s+`"}]}`)
	}
	stream := started + thought("Hm") + thought(", well") + delta("1", `"Forty"`) + delta("1", `" two"`) + done
	runWithHandler(t, small, streaming(stream), func(t *testing.T, client *ratelimited.Client) {
		s := startStream(t.Context(), t, client)
		var seen []string
		for _, err := range s.Events() {
			if err != nil {
				t.Fatal(err)
			}
			data, err := json.Marshal(s.Response().Outputs)
			if err != nil {
				t.Fatal(err)
			}
			seen = append(seen, string(data))
		}
		const full = `"content":[{"closed":true,"thinking":[{"text":"Hm, well","type":"text"}],"type":"thinking"},{"text":"Forty two","type":"text"}]`
		if last := seen[len(seen)-1]; !strings.Contains(last, full) {
			t.Errorf("the response is %s, want it to contain %s", last, full)
		}
		if seen[0] != "[]" || !strings.Contains(seen[1], `"text":"Hm"`) || strings.Contains(seen[2], "Forty") {
			t.Errorf("the responses after each event are %v", seen)
		}
	})
}

// Events in an unusual order result in the same response.
func TestStreamResponseOfUnorderedEvents(t *testing.T) {
	delta := func(index int, content string) string {
		return frame("message.output.delta", fmt.Sprintf(`{"type":"message.output.delta","id":"msg_1","content_index":%d,"content":%s}`, index, content))
	}
	thought := `{"type":"thinking","thinking":[{"type":"text","text":"Hm."}]}`
	tool := func(event, rest string) string {
		return frame(event, `{"type":"`+event+`","id":"tool_1","name":"web_search"`+rest+`}`)
	}
	for name, test := range map[string]struct{ events, want string }{
		"empty first chunk":  {delta(0, `""`) + delta(0, thought) + delta(1, `"Yes"`), `[{"thinking":[{"text":"Hm.","type":"text"}],"type":"thinking"},{"text":"Yes","type":"text"}]`},
		"interleaved chunks": {delta(0, `"one "`) + delta(1, `"uno "`) + delta(0, `"two"`) + delta(1, `"dos"`), `[{"text":"one two","type":"text"},{"text":"uno dos","type":"text"}]`},
		"done before started": {tool("tool.execution.done", `,"info":{"result":"r"}`) + tool("tool.execution.started", `,"arguments":""`),
			`"id":"tool_1","info":{"result":"r"},"name":"web_search"`},
	} {
		t.Run(name, func(t *testing.T) {
			runWithHandler(t, fast, streaming(started+test.events+done), func(t *testing.T, client *ratelimited.Client) {
				stream := startStream(t.Context(), t, client)
				if _, err := collect(stream); err != nil {
					t.Fatal(err)
				}
				data, err := json.Marshal(stream.Response())
				if err != nil || !strings.Contains(string(data), test.want) {
					t.Errorf("the response is %s (%v), want it to contain %s", data, err, test.want)
				}
			})
		})
	}
}
