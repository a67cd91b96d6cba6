package engine

import (
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// limitOutputs applies stop and max_tokens to outputs. It truncates messages at the first
// stop text. It truncates messages and arguments at max_tokens in total, and drops the calls
// after that point.
func limitOutputs(outputs []generated.Entry, args generated.CompletionArgs) []generated.Entry {
	if args.MaxTokens == nil && len(args.Stop) == 0 {
		return outputs
	}
	c := cutter{stop: args.Stop, left: -1}
	if args.MaxTokens != nil {
		c.left = *args.MaxTokens
	}
	var result []generated.Entry
	for _, output := range outputs {
		switch v := output.Value().(type) {
		case generated.MessageOutputEntry:
			v.Content = c.content(v.Content)
			output = generated.NewEntry(v)
		case generated.FunctionCallEntry:
			if c.left == 0 || c.done {
				continue
			}
			arguments := c.arguments(v)
			if arguments == "" && v.Arguments != "" {
				continue
			}
			v.Arguments = generated.FunctionCallEntryArguments(arguments)
			output = generated.NewEntry(v)
		}
		result = append(result, output)
	}
	return result
}

type cutter struct {
	stop []string
	left int  // the tokens left; negative without a limit
	done bool // whether a limit or a stop text has been reached
}

// arguments truncates the arguments of a call. The name counts too. Stop texts do not apply.
func (c *cutter) arguments(call generated.FunctionCallEntry) string {
	arguments := string(call.Arguments)
	if c.left < 0 {
		return arguments
	}
	c.left = max(0, c.left-wire.CountTokens(call.Name))
	cut := wire.CutTokens(arguments, c.left)
	c.left -= wire.CountTokens(cut)
	c.done = len(cut) < len(arguments)
	return cut
}

func (c *cutter) content(content generated.MessageContent) generated.MessageContent {
	if text, ok := content.PlainText(); ok {
		return generated.NewTextContent(c.text(text))
	}
	var chunks []generated.ContentChunk
	for _, chunk := range content.Chunks() {
		if c.done {
			break
		}
		if text, ok := chunk.Value().(generated.TextChunk); ok {
			text.Text = c.text(text.Text)
			chunk = generated.NewContentChunk(text)
		}
		chunks = append(chunks, chunk)
	}
	return generated.NewChunkContent(chunks...)
}

func (c *cutter) text(text string) string {
	if c.done {
		return ""
	}
	for _, stop := range c.stop {
		if at := strings.Index(text, stop); at >= 0 && stop != "" {
			text, c.done = text[:at], true
		}
	}
	if c.left < 0 {
		return text
	}
	cut := wire.CutTokens(text, c.left)
	c.left -= wire.CountTokens(cut)
	c.done = c.done || len(cut) < len(text)
	return cut
}
