package emulator

import (
	"context"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// generate takes the time that a model takes for outputs: what a stream of them takes.
func (e *Emulator) generate(ctx context.Context, outputs []generated.Entry) error {
	n := 0
	for _, output := range outputs {
		n += deltas(output)
	}
	return sleep(ctx, time.Duration(max(0, n-1))*e.cfg.TokenDelay)
}

// deltas returns how many deltas a stream has of an output.
func deltas(output generated.Entry) int {
	switch v := output.Value().(type) {
	case generated.MessageOutputEntry:
		if text, ok := v.Content.PlainText(); ok {
			return textDeltas(text)
		}
		n := 0
		for _, chunk := range v.Content.Chunks() {
			text, _ := chunk.Value().(generated.TextChunk) // Any other is one, as an empty text is.
			n += textDeltas(text.Text)
		}
		return n
	case generated.FunctionCallEntry:
		return 1 + countWords(string(v.Arguments))
	case generated.ToolExecutionEntry:
		return min(1, len(v.Arguments))
	default:
		return 0
	}
}

func textDeltas(text string) int { return max(1, countWords(text)) }
