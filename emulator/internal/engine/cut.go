package engine

import (
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// limitOutputs cuts the messages among the outputs at the first of the stop texts and
// when together they have max_tokens.
func limitOutputs(outputs []generated.Entry, args generated.CompletionArgs) []generated.Entry {
	if args.MaxTokens == nil && len(args.Stop) == 0 {
		return outputs
	}
	c := cutter{stop: args.Stop, left: -1}
	if args.MaxTokens != nil {
		c.left = *args.MaxTokens
	}
	for i, output := range outputs {
		if m, ok := output.Value().(generated.MessageOutputEntry); ok {
			m.Content = c.content(m.Content)
			outputs[i] = generated.NewEntry(m)
		}
	}
	return outputs
}

type cutter struct {
	stop []string
	left int // tokens; below 0 without a limit
	done bool
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
