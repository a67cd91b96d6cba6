package tokens_test

import (
	"strings"
	"testing"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/tokens"
)

// In chunks of unknown types, files in base64 count as parts, and everything else as text.
func TestUnknownParts(t *testing.T) {
	t.Parallel()
	var c tokens.Counter
	file := strings.Repeat("QUJD", 100_000)
	for name, test := range map[string]struct {
		chunk generated.ContentChunkVariant
		want  tokens.Parts // Text is a maximum
	}{
		"audio":        {generated.UnknownContentChunk{Type: "input_audio", Raw: []byte(`{"input_audio":"` + file + `"}`)}, tokens.Parts{Text: 20, Audio: 1}},
		"a data URL":   {generated.UnknownContentChunk{Type: "x", Raw: []byte(`{"url":"data:image/png;base64,` + file + `=="}`)}, tokens.Parts{Text: 20, Images: 1}},
		"two files":    {generated.UnknownContentChunk{Type: "files", Raw: []byte(`["` + file + `","` + file + `"]`)}, tokens.Parts{Text: 20, Documents: 2}},
		"escaped":      {generated.UnknownContentChunk{Type: "video", Raw: []byte(`["` + strings.Repeat(file[:1000]+`\/`, 100) + `"]`)}, tokens.Parts{Text: 20, Others: 1}},
		"low detail":   {generated.ImageURLChunk{ImageURL: generated.ImageURL{Detail: generated.ImageDetailLow}}, tokens.Parts{Text: 20, LowImages: 1}},
		"short":        {generated.UnknownContentChunk{Type: "audio", Raw: []byte(`{"id":"QUJDQUJDQUJD"}`)}, tokens.Parts{Text: 30}},
		"text in JSON": {generated.UnknownContentChunk{Type: "x", Raw: []byte(`{"text":"` + strings.Repeat("some words ", 1000) + `"}`)}, tokens.Parts{Text: 2050}},
	} {
		message := generated.NewEntry(generated.MessageInputEntry{Content: generated.NewChunkContent(generated.NewContentChunk(test.chunk))})
		got := c.Parts(generated.NewEntryInputs([]generated.Entry{message}))
		if got.Text > test.want.Text || got.Text < test.want.Text/5 {
			t.Errorf("%s: %d tokens of text, want %d to %d", name, got.Text, test.want.Text/5, test.want.Text)
		}
		if got.Text = test.want.Text; got != test.want {
			t.Errorf("%s: %+v, want %+v", name, got, test.want)
		}
	}
	tool := generated.NewEntry(generated.ToolExecutionEntry{Name: "code", Info: map[string]any{"image": file}})
	if got := c.Parts(generated.NewEntryInputs([]generated.Entry{tool})); got.Text > 50 || got.Others+got.Images != 1 {
		t.Errorf("a file of a tool: %+v, want one file and at most 50 tokens of text", got)
	}
	if got := (tokens.Parts{Text: 1, Images: 1, LowImages: 1, Documents: 1, Audio: 1, Others: 1}).Tokens(); got != 1+4*1024+256 {
		t.Errorf("parts of all kinds: %d tokens, want %d", got, 1+4*1024+256)
	}
}
