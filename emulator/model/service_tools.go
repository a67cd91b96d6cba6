package model

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// builtin simulates one of the service's tools. It generates the tool's results.
type builtin struct {
	name      string
	requested func(prompt string) bool
	run       func(p Prompt, text string) (arguments, info map[string]any, content []generated.ContentChunk)
}

// builtinOf returns the simulation and the configuration of a tool. It returns false for a
// function.
func builtinOf(tool generated.Tool) (b builtin, c generated.ToolConfiguration, ok bool) {
	name, c, ok := wire.ServiceTool(tool)
	switch generated.ToolType(name) {
	case generated.ToolTypeWebSearch, generated.ToolTypeWebSearchPremium:
		b = search(name)
	case generated.ToolTypeCodeInterpreter:
		b = builtin{name, codePattern.MatchString, runCode}
	case generated.ToolTypeImageGeneration:
		b = builtin{name, imagePattern.MatchString, makeImage}
	case generated.ToolTypeDocumentLibrary:
		b = builtin{name, libraryPattern.MatchString, searchLibrary}
	default:
		b = builtin{name, func(prompt string) bool { return strings.Contains(prompt, name) }, useConnector(name)}
	}
	return b, c, ok
}

var (
	searchPattern  = regexp.MustCompile(`(?i)\b(?:search|look up|browse|web|news|latest|online)\b`)
	codePattern    = regexp.MustCompile(`(?i)\b(?:code|python|script|program|execute|compute)\b`)
	imagePattern   = regexp.MustCompile(`(?i)\b(?:draw|paint|image|picture|illustrat\w*)\b`)
	libraryPattern = regexp.MustCompile(`(?i)\b(?:librar(?:y|ies)|documents?|files?)\b`)
)

// useTool runs the first of the service's tools that the prompt requests. If the tool needs a
// confirmation, it returns a pending call.
func useTool(p Prompt) ([]generated.Entry, bool) {
	if p.Args.ToolChoice == generated.ToolChoiceEnumNone {
		return nil, false
	}
	text := p.Text()
	for _, tool := range p.Tools {
		b, c, ok := builtinOf(tool)
		excluded := slices.Contains(c.Exclude, b.name) || c.Include != nil && !slices.Contains(c.Include, b.name)
		if !ok || excluded || !b.requested(text) && !p.mustUseTool() {
			continue
		}
		if slices.Contains(c.RequiresConfirmation, b.name) {
			arguments, _, _ := b.run(p, text)
			return []generated.Entry{generated.NewEntry(generated.FunctionCallEntry{
				Name: b.name, Arguments: generated.FunctionCallEntryArguments(wire.Encode(arguments)),
				ConfirmationStatus: generated.ConfirmationStatusPending,
			})}, true
		}
		return b.use(p, text), true
	}
	return nil, false
}

// use returns an execution of the tool and a message with its results.
func (b builtin) use(p Prompt, text string) []generated.Entry {
	arguments, info, content := b.run(p, text)
	run := generated.ToolExecutionEntry{Name: b.name, Function: b.name, Arguments: string(wire.Encode(arguments))}
	if info != nil {
		run.Info = info
	}
	return []generated.Entry{
		generated.NewEntry(run),
		generated.NewEntry(generated.MessageOutputEntry{Content: generated.NewChunkContent(content...)}),
	}
}

func textChunk(format string, values ...any) generated.ContentChunk {
	return generated.NewContentChunk(generated.TextChunk{Text: fmt.Sprintf(format, values...)})
}

func search(tool string) builtin {
	return builtin{tool, searchPattern.MatchString, func(_ Prompt, text string) (arguments, info map[string]any, content []generated.ContentChunk) {
		query := wire.Excerpt(text)
		source := generated.ToolReferenceChunk{
			Tool: tool, Title: "About: " + query, URL: "https://example.com/search?q=" + url.QueryEscape(query),
			Description: "A page that the emulator made up.", Source: "emulator",
		}
		result := map[string]any{"0": map[string]string{"title": source.Title, "url": source.URL, "description": source.Description}}
		return map[string]any{"query": query}, map[string]any{"result": string(wire.Encode(result))}, []generated.ContentChunk{
			textChunk("This is what I found about %q", query), generated.NewContentChunk(source), textChunk("."),
		}
	}}
}

// runCode prints the answer to the prompt.
func runCode(p Prompt, _ string) (arguments, info map[string]any, content []generated.ContentChunk) {
	output := answer(p)
	return map[string]any{"code": fmt.Sprintf("print(%q)", output)},
		map[string]any{"result": []any{map[string]any{"type": "text", "text": output}}},
		[]generated.ContentChunk{textChunk("The code printed: %s", output)}
}

func makeImage(_ Prompt, text string) (arguments, info map[string]any, content []generated.ContentChunk) {
	return map[string]any{"prompt": wire.Excerpt(text)}, nil, []generated.ContentChunk{
		textChunk("Here is the image: "),
		generated.NewContentChunk(generated.ToolFileChunk{
			Tool: string(generated.ToolTypeImageGeneration), FileID: wire.NewID(wire.FileID), FileName: "image_generated_0.png", FileType: "png",
		}),
	}
}

func searchLibrary(_ Prompt, text string) (arguments, info map[string]any, content []generated.ContentChunk) {
	query := wire.Excerpt(text)
	return map[string]any{"query": query}, nil, []generated.ContentChunk{
		textChunk("The library has a document about %q", query),
		generated.NewContentChunk(generated.ToolReferenceChunk{
			Tool: string(generated.ToolTypeDocumentLibrary), Title: "About: " + query, Description: "A document that the emulator made up.",
		}),
		textChunk("."),
	}
}

func useConnector(id string) func(Prompt, string) (arguments, info map[string]any, content []generated.ContentChunk) {
	return func(_ Prompt, text string) (arguments, info map[string]any, content []generated.ContentChunk) {
		return map[string]any{"input": wire.Excerpt(text)}, map[string]any{"result": "done"}, []generated.ContentChunk{textChunk("%s has done it.", id)}
	}
}

// resume continues after confirmations: it runs the allowed calls and returns a message that
// names the denied ones.
func resume(p Prompt) []generated.Entry {
	var entries []generated.Entry
	var denied []string
	for _, c := range p.Confirmations {
		call := confirmedCall(p.History, c.ToolCallID)
		if c.Confirmation == generated.ToolConfirmationDeny {
			denied = append(denied, call.Name)
			continue
		}
		for _, tool := range p.Tools {
			if b, _, ok := builtinOf(tool); ok && b.name == call.Name {
				entries = append(entries, b.use(p, p.Text())...)
				break
			}
		}
	}
	if denied != nil {
		entries = append(entries, generated.NewEntry(generated.MessageOutputEntry{
			Content: generated.NewTextContent("I was not allowed to use " + strings.Join(denied, " and ") + "."),
		}))
	}
	return entries
}

func confirmedCall(history []generated.Entry, id string) generated.FunctionCallEntry {
	for _, entry := range history {
		if call, ok := entry.Value().(generated.FunctionCallEntry); ok && call.ToolCallID == id {
			return call
		}
	}
	return generated.FunctionCallEntry{}
}
