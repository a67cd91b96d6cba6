package tokens

import (
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// What a message costs beside its text. The figures per message, reply and name
// are those of OpenAI's cookbook for tiktoken, which the Python project uses
// too; those of images and documents are rough middle values, since what they
// cost depends on content that the client does not read.
const (
	perMessage  = 4
	perReply    = 2
	perName     = 1
	perImage    = 1024
	perLowImage = 256
	perDocument = 1024
)

// Messages counts what the model reads of a list of entries: the text of
// messages, function calls and their results, images and documents, with the
// overhead of each message and of the reply that follows. An empty list costs
// nothing.
func (c *Counter) Messages(entries []generated.Entry) int {
	if len(entries) == 0 {
		return 0
	}
	total := perReply
	for _, entry := range entries {
		total += perMessage + c.entry(entry)
	}
	return total
}

// Inputs counts what a call adds to its conversation. A text counts as one message.
func (c *Counter) Inputs(inputs generated.ConversationInputs) int {
	if text, ok := inputs.Text(); ok {
		return perReply + perMessage + c.Text(text)
	}
	return c.Messages(inputs.Entries())
}

// Instructions counts a system prompt; an empty one costs nothing.
func (c *Counter) Instructions(text string) int {
	if text == "" {
		return 0
	}
	return perMessage + c.Text(text)
}

// Tools counts the declarations of tools as the JSON text that the model reads.
func (c *Counter) Tools(tools []generated.Tool) int {
	total := 0
	for _, tool := range tools {
		// A tool that cannot be marshalled cannot be sent either: sending says why.
		if text, err := tool.MarshalJSON(); err == nil {
			total += c.Text(string(text))
		}
	}
	return total
}

func (c *Counter) entry(entry generated.Entry) int {
	switch e := entry.Value().(type) {
	case nil:
		return 0
	case generated.MessageInputEntry:
		return c.content(e.Content)
	case generated.MessageOutputEntry:
		return c.content(e.Content)
	case generated.FunctionCallEntry:
		return perName + c.Text(e.Name) + c.Text(string(e.Arguments))
	case generated.FunctionResultEntry:
		return c.Text(e.Result)
	case generated.ToolExecutionEntry:
		total := perName + c.Text(e.Name) + c.Text(e.Arguments)
		if text, err := generated.EncodeJSON(e.Info); err == nil {
			total += c.Text(string(text))
		}
		return total
	case generated.AgentHandoffEntry:
		return perName + c.Text(e.NextAgentName)
	case generated.UnknownEntry:
		return c.Text(string(e.Raw))
	}
	return 0
}

func (c *Counter) content(content generated.MessageContent) int {
	total := 0
	if text, ok := content.PlainText(); ok {
		return c.Text(text)
	}
	for _, chunk := range content.Chunks() {
		total += c.chunk(chunk)
	}
	return total
}

func (c *Counter) chunk(chunk generated.ContentChunk) int {
	switch v := chunk.Value().(type) {
	case nil:
		return 0
	case generated.TextChunk:
		return c.Text(v.Text)
	case generated.ThinkChunk:
		total := 0
		for _, part := range v.Thinking {
			total += c.chunk(part)
		}
		return total
	case generated.ImageURLChunk:
		if v.ImageURL.Detail == generated.ImageDetailLow {
			return perLowImage
		}
		return perImage
	case generated.DocumentURLChunk:
		return perDocument + c.Text(v.DocumentName)
	case generated.ToolReferenceChunk:
		return c.Text(v.Title) + c.Text(v.URL) + c.Text(v.Description)
	case generated.ToolFileChunk:
		return c.Text(v.FileName)
	case generated.ReferenceChunk:
		return len(v.ReferenceIDs)
	case generated.UnknownContentChunk:
		return c.Text(string(v.Raw))
	}
	return 0
}
