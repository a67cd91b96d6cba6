package emulator

import (
	"encoding/json"
	"iter"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// What is counted beside words; see the package comment.
const (
	entryTokens    = 3
	imageTokens    = 512
	documentTokens = 1024
)

// words cuts a text into words, each with the white space before it; white space at
// the end is a word of its own. Together they are the text. A stream that nobody reads
// waits in the midst of them, so they are not made into a list.
func words(text string) iter.Seq[string] {
	return func(yield func(string) bool) {
		start, inWord := 0, false
		for i, r := range text {
			space := unicode.IsSpace(r)
			if space && inWord {
				if !yield(text[start:i]) {
					return
				}
				start = i
			}
			inWord = !space
		}
		if start < len(text) {
			yield(text[start:])
		}
	}
}

func countWords(text string) int {
	n := 0
	for range words(text) {
		n++
	}
	return n
}

// wordTokens is the number of tokens of one of the words: one for 3.5 characters, or
// a part of them, and one for white space alone.
func wordTokens(word string) int {
	n := utf8.RuneCountInString(strings.TrimLeftFunc(word, unicode.IsSpace))
	return max(1, (2*n+6)/7)
}

func countText(text string) int {
	n := 0
	for word := range words(text) {
		n += wordTokens(word)
	}
	return n
}

// cutText cuts a text after so many tokens.
func cutText(text string, most int) string {
	end := 0
	for word := range words(text) {
		n := wordTokens(word)
		if n > most {
			return text[:end] + cutWord(word, most)
		}
		most -= n
		end += len(word)
	}
	return text
}

func cutWord(word string, most int) string {
	if most <= 0 {
		return ""
	}
	runes := most * 7 / 2
	for i, r := range word {
		if unicode.IsSpace(r) {
			continue
		}
		if runes == 0 {
			return word[:i]
		}
		runes--
	}
	return word
}

func countJSON(value any) int {
	data, err := json.Marshal(value)
	if err != nil {
		return 0 // All that is counted came as JSON.
	}
	return countText(string(data))
}

func countContent(c generated.MessageContent) int {
	if text, ok := c.PlainText(); ok {
		return countText(text)
	}
	n := 0
	for _, chunk := range c.Chunks() {
		n += countChunk(chunk)
	}
	return n
}

func countChunk(chunk generated.ContentChunk) int {
	switch v := chunk.Value().(type) {
	case generated.TextChunk:
		return countText(v.Text)
	case generated.ThinkChunk:
		n := 0
		for _, part := range v.Thinking {
			n += countChunk(part)
		}
		return n
	case generated.ImageURLChunk:
		return imageTokens
	case generated.DocumentURLChunk:
		return documentTokens
	case nil:
		return 0
	default:
		return countJSON(chunk)
	}
}

// countEntry counts what a model reads of an entry, or wrote of it.
func countEntry(e generated.Entry) int {
	switch v := e.Value().(type) {
	case generated.MessageInputEntry:
		return countContent(v.Content)
	case generated.MessageOutputEntry:
		return countContent(v.Content)
	case generated.FunctionCallEntry:
		return countText(v.Name) + countText(string(v.Arguments))
	case generated.FunctionResultEntry:
		return countText(v.Result)
	case generated.ToolExecutionEntry:
		return countText(v.Name) + countText(v.Arguments)
	case generated.AgentHandoffEntry:
		return countText(v.NextAgentName)
	default:
		return 0
	}
}

// countConnector counts what a tool's result adds to what a model reads.
func countConnector(e generated.ToolExecutionEntry) int {
	text, err := generated.EncodeJSON(e.Info)
	if err != nil {
		return 0
	}
	return countText(string(text))
}

func countPrompt(p Prompt) int {
	n := countText(p.Instructions)
	if len(p.Tools) > 0 {
		n += countJSON(p.Tools)
	}
	return max(1, n+countEntries(p.History)+countEntries(p.Inputs))
}

// countEntries counts what a model reads of entries, with what tools found.
func countEntries(entries []generated.Entry) int {
	n := 0
	for _, entry := range entries {
		n += entryTokens + countEntry(entry)
		if run, ok := entry.Value().(generated.ToolExecutionEntry); ok {
			n += countConnector(run)
		}
	}
	return n
}

// usageOf is the usage of a call with a prompt of so many tokens.
func usageOf(prompt int, outputs []generated.Entry) generated.ConversationUsageInfo {
	usage := generated.ConversationUsageInfo{PromptTokens: prompt}
	for _, output := range outputs {
		usage.CompletionTokens += countEntry(output)
		if run, ok := output.Value().(generated.ToolExecutionEntry); ok {
			usage.ConnectorTokens += countConnector(run)
			if usage.Connectors == nil {
				usage.Connectors = map[string]int{}
			}
			usage.Connectors[run.Name]++
		}
	}
	usage.TotalTokens = usage.PromptTokens + usage.CompletionTokens + usage.ConnectorTokens
	return usage
}
