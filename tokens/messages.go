package tokens

import (
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// Token counts in addition to text. The values per message, response and name are those of OpenAI's cookbook for
// tiktoken, which the Python project uses too. The values of images and other parts are rough averages,
// because their real cost depends on content that the client does not read.
const (
	perMessage  = 4
	perReply    = 2
	perName     = 1
	perPart     = 1024
	perLowImage = 256
)

// Parts describes the parts of a prompt: text, whose tokens are counted, and other parts, whose tokens depend on
// content that the client does not read.
type Parts struct {
	Text      int // tokens, including the overhead of messages
	Images    int // number of images that are not of low detail
	LowImages int // number of images of low detail
	Documents int // number of documents
	Audio     int // number of audio files
	Others    int // number of other files, of unknown types
}

// Tokens returns the estimated tokens of the parts without statistics about the model: 256 for an image of low
// detail, and 1,024 for every other part that is not text.
func (p Parts) Tokens() int {
	return p.Text + perLowImage*p.LowImages + perPart*(p.Images+p.Documents+p.Audio+p.Others)
}

// Messages returns the number of tokens in a list of entries: the text of messages, function calls and their
// results, images and documents. It includes the overhead of each message and of the response. An empty
// list has 0 tokens.
func (c *Counter) Messages(entries []generated.Entry) int {
	return c.messages(entries).Tokens()
}

func (c *Counter) messages(entries []generated.Entry) (p Parts) {
	if len(entries) == 0 {
		return p
	}
	p.Text = perReply
	for _, entry := range entries {
		p.Text += perMessage
		c.entry(&p, entry)
	}
	return p
}

// Inputs returns the number of tokens that a call adds to its conversation. A text counts as one message.
func (c *Counter) Inputs(inputs generated.ConversationInputs) int { return c.Parts(inputs).Tokens() }

// Parts returns the parts that a call adds to its conversation.
func (c *Counter) Parts(inputs generated.ConversationInputs) Parts {
	if text, ok := inputs.Text(); ok {
		return Parts{Text: perReply + perMessage + c.Text(text)}
	}
	return c.messages(inputs.Entries())
}

// Format returns the number of tokens in the JSON Schema of a response format, which the model reads.
func (c *Counter) Format(format generated.ResponseFormat) int {
	if format.Type != generated.ResponseFormatsJSONSchema {
		return 0
	}
	text, err := format.JSONSchema.MarshalJSON()
	if err != nil {
		return 0 // sending it returns the error
	}
	return c.Text(string(text))
}

// Instructions returns the number of tokens in a system prompt; 0 for an empty one.
func (c *Counter) Instructions(text string) int {
	if text == "" {
		return 0
	}
	return perMessage + c.Text(text)
}

// Tools returns the number of tokens in the JSON declarations of tools, which the model reads.
func (c *Counter) Tools(tools []generated.Tool) int {
	total := 0
	for _, tool := range tools {
		// Sending a tool that cannot be marshalled returns the error.
		if text, err := tool.MarshalJSON(); err == nil {
			total += c.Text(string(text))
		}
	}
	return total
}

func (c *Counter) entry(p *Parts, entry generated.Entry) {
	switch e := entry.Value().(type) {
	case generated.MessageInputEntry:
		c.content(p, e.Content)
	case generated.MessageOutputEntry:
		c.content(p, e.Content)
	case generated.FunctionCallEntry:
		p.Text += perName + c.Text(e.Name) + c.Text(string(e.Arguments))
	case generated.FunctionResultEntry:
		p.Text += c.Text(e.Result)
	case generated.ToolExecutionEntry:
		p.Text += perName + c.Text(e.Name) + c.Text(e.Arguments)
		if text, err := generated.EncodeJSON(e.Info); err == nil {
			c.countUnknown(p, "", string(text))
		}
	case generated.AgentHandoffEntry:
		p.Text += perName + c.Text(e.NextAgentName)
	case generated.UnknownEntry:
		c.countUnknown(p, e.Type, string(e.Raw))
	}
}

func (c *Counter) content(p *Parts, content generated.MessageContent) {
	if text, ok := content.PlainText(); ok {
		p.Text += c.Text(text)
		return
	}
	for _, chunk := range content.Chunks() {
		c.chunk(p, chunk)
	}
}

func (c *Counter) chunk(p *Parts, chunk generated.ContentChunk) {
	switch v := chunk.Value().(type) {
	case generated.TextChunk:
		p.Text += c.Text(v.Text)
	case generated.ThinkChunk:
		for _, part := range v.Thinking {
			c.chunk(p, part)
		}
	case generated.ImageURLChunk:
		if v.ImageURL.Detail == generated.ImageDetailLow {
			p.LowImages++
		} else {
			p.Images++
		}
	case generated.DocumentURLChunk:
		p.Documents++
		p.Text += c.Text(v.DocumentName)
	case generated.ToolReferenceChunk:
		p.Text += c.Text(v.Title) + c.Text(v.URL) + c.Text(v.Description)
	case generated.ToolFileChunk:
		p.Text += c.Text(v.FileName)
	case generated.ReferenceChunk:
		p.Text += len(v.ReferenceIDs)
	case generated.UnknownContentChunk:
		c.countUnknown(p, v.Type, string(v.Raw))
	}
}
