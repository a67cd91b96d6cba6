package tokens_test

import (
	"encoding/json"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/tokens"
)

func TestMessages(t *testing.T) {
	t.Parallel()
	var c tokens.Counter
	hello := c.Text("Hello!") // 2
	message := func(content generated.MessageContent) generated.Entry {
		return generated.NewEntry(generated.MessageInputEntry{Role: generated.MessageRoleUser, Content: content})
	}
	chunks := func(variants ...generated.ContentChunkVariant) generated.Entry {
		list := make([]generated.ContentChunk, len(variants))
		for i, v := range variants {
			list[i] = generated.NewContentChunk(v)
		}
		return message(generated.NewChunkContent(list...))
	}
	text := generated.TextChunk{Text: "Hello!"}
	for name, test := range map[string]struct {
		entries []generated.Entry
		want    int
	}{
		"none":             {nil, 0},
		"one":              {[]generated.Entry{message(generated.NewTextContent("Hello!"))}, 2 + 4 + hello},
		"two":              {[]generated.Entry{message(generated.NewTextContent("Hello!")), message(generated.NewTextContent("Hello!"))}, 2 + 2*(4+hello)},
		"output":           {[]generated.Entry{generated.NewEntry(generated.MessageOutputEntry{Content: generated.NewTextContent("Hello!")})}, 2 + 4 + hello},
		"chunks":           {[]generated.Entry{chunks(text, text)}, 2 + 4 + 2*hello},
		"thinking":         {[]generated.Entry{chunks(generated.ThinkChunk{Thinking: []generated.ContentChunk{generated.NewContentChunk(text)}})}, 2 + 4 + hello},
		"image":            {[]generated.Entry{chunks(generated.ImageURLChunk{ImageURL: generated.ImageURL{URL: "data:AAAA"}})}, 2 + 4 + 1024},
		"low-detail image": {[]generated.Entry{chunks(generated.ImageURLChunk{ImageURL: generated.ImageURL{Detail: generated.ImageDetailLow}})}, 2 + 4 + 256},
		"document":         {[]generated.Entry{chunks(generated.DocumentURLChunk{DocumentName: "Hello!"})}, 2 + 4 + 1024 + hello},
		"references":       {[]generated.Entry{chunks(generated.ReferenceChunk{ReferenceIDs: []generated.StringOrInteger{"1", "2"}})}, 2 + 4 + 2},
		"tool reference":   {[]generated.Entry{chunks(generated.ToolReferenceChunk{Title: "Hello!", URL: "Hello!"})}, 2 + 4 + 2*hello},
		"tool file":        {[]generated.Entry{chunks(generated.ToolFileChunk{FileName: "Hello!"})}, 2 + 4 + hello},
		"unknown chunk":    {[]generated.Entry{chunks(generated.UnknownContentChunk{Raw: json.RawMessage("Hello!")})}, 2 + 4 + hello},
		"function call":    {[]generated.Entry{generated.NewEntry(generated.FunctionCallEntry{Name: "Hello!", Arguments: "Hello!"})}, 2 + 4 + 1 + 2*hello},
		"function result":  {[]generated.Entry{generated.NewEntry(generated.FunctionResultEntry{Result: "Hello!"})}, 2 + 4 + hello},
		"tool execution":   {[]generated.Entry{generated.NewEntry(generated.ToolExecutionEntry{Name: "Hello!", Arguments: "Hello!", Info: map[string]any{"a": 1}})}, 2 + 4 + 1 + 2*hello + c.Text(`{"a":1}`)},
		"handoff":          {[]generated.Entry{generated.NewEntry(generated.AgentHandoffEntry{NextAgentName: "Hello!"})}, 2 + 4 + 1 + hello},
		"unknown entry":    {[]generated.Entry{generated.NewEntry(generated.UnknownEntry{Raw: json.RawMessage("Hello!")})}, 2 + 4 + hello},
		"zero entry":       {[]generated.Entry{{}}, 2 + 4},
	} {
		if got := c.Messages(test.entries); got != test.want {
			t.Errorf("%s: %d tokens, want %d", name, got, test.want)
		}
	}
	if got := c.Inputs(generated.NewTextInputs("Hello!")); got != 2+4+hello {
		t.Errorf("text input: %d tokens, want %d", got, 2+4+hello)
	}
	if got := c.Inputs(generated.ConversationInputs{}) + c.Instructions("") + c.Tools(nil); got != 0 {
		t.Errorf("empty inputs, instructions and tools: %d tokens, want 0", got)
	}
	if got := c.Instructions("Hello!"); got != 4+hello {
		t.Errorf("instructions: %d tokens, want %d", got, 4+hello)
	}
	tool := generated.NewTool(generated.FunctionTool{Function: generated.Function{Name: "f", Parameters: map[string]any{}}})
	if got, want := c.Tools([]generated.Tool{tool, tool}), 2*c.Text(`{"function":{"name":"f","parameters":{}},"type":"function"}`); got != want {
		t.Errorf("tools: %d tokens, want %d", got, want)
	}
}
