package engine

import (
	"encoding/json"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/model"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// The numbers of tokens besides those of words; see package emulator.
const (
	entryTokens    = 3
	imageTokens    = 512
	documentTokens = 1024
)

func countJSON(value any) int {
	data, err := json.Marshal(value)
	if err != nil {
		return 0 // The value was decoded from JSON, so it can be encoded.
	}
	return wire.CountTokens(string(data))
}

func countContent(c generated.MessageContent) int {
	if text, ok := c.PlainText(); ok {
		return wire.CountTokens(text)
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
		return wire.CountTokens(v.Text)
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

// countEntry returns the tokens of an entry without entryTokens and connector tokens.
func countEntry(e generated.Entry) int {
	switch v := e.Value().(type) {
	case generated.MessageInputEntry:
		return countContent(v.Content)
	case generated.MessageOutputEntry:
		return countContent(v.Content)
	case generated.FunctionCallEntry:
		return wire.CountTokens(v.Name) + wire.CountTokens(string(v.Arguments))
	case generated.FunctionResultEntry:
		return wire.CountTokens(v.Result)
	case generated.ToolExecutionEntry:
		return wire.CountTokens(v.Name) + wire.CountTokens(v.Arguments)
	case generated.AgentHandoffEntry:
		return wire.CountTokens(v.NextAgentName)
	default:
		return 0
	}
}

// countConnector returns the connector tokens of a tool execution: those of its result.
func countConnector(e generated.ToolExecutionEntry) int {
	text, err := generated.EncodeJSON(e.Info)
	if err != nil {
		return 0
	}
	return wire.CountTokens(string(text))
}

func countPrompt(p model.Prompt) int {
	n := wire.CountTokens(p.Instructions)
	if len(p.Tools) > 0 {
		n += countJSON(p.Tools)
	}
	return max(1, n+countEntries(p.History)+countEntries(p.Inputs))
}

// countEntries returns the prompt tokens of entries, connector tokens included.
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

// usageOf returns the usage of a call from its prompt tokens and its outputs.
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
