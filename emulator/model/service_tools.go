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

// builtin is how the emulator runs a tool of the service. It makes up what the tool finds.
type builtin struct {
	name  string
	asked func(prompt string) bool
	run   func(p Prompt, text string) (arguments, info map[string]any, says []generated.ContentChunk)
}

// builtinOf returns how a tool of the service is run, and how it may be used.
func builtinOf(tool generated.Tool) (b builtin, c generated.ToolConfiguration, ok bool) {
	name, c, ok := wire.ServiceTool(tool)
	switch generated.ToolType(name) {
	case generated.ToolTypeWebSearch, generated.ToolTypeWebSearchPremium:
		b = search(name)
	case generated.ToolTypeCodeInterpreter:
		b = builtin{name, codeRule.MatchString, runCode}
	case generated.ToolTypeImageGeneration:
		b = builtin{name, imageRule.MatchString, makeImage}
	case generated.ToolTypeDocumentLibrary:
		b = builtin{name, libraryRule.MatchString, searchLibrary}
	default:
		b = builtin{name, func(prompt string) bool { return strings.Contains(prompt, name) }, useConnector(name)}
	}
	return b, c, ok
}

var (
	searchRule  = regexp.MustCompile(`(?i)\b(?:search|look up|browse|web|news|latest|online)\b`)
	codeRule    = regexp.MustCompile(`(?i)\b(?:code|python|script|program|execute|compute)\b`)
	imageRule   = regexp.MustCompile(`(?i)\b(?:draw|paint|image|picture|illustrat\w*)\b`)
	libraryRule = regexp.MustCompile(`(?i)\b(?:librar(?:y|ies)|documents?|files?)\b`)
)

// useTool runs the tool of the service that the prompt asks for; if that needs to be
// confirmed, it asks for it.
func useTool(p Prompt) ([]generated.Entry, bool) {
	if p.Args.ToolChoice == generated.ToolChoiceEnumNone {
		return nil, false
	}
	text := p.Text()
	for _, tool := range p.Tools {
		b, c, ok := builtinOf(tool)
		excluded := slices.Contains(c.Exclude, b.name) || c.Include != nil && !slices.Contains(c.Include, b.name)
		if !ok || excluded || !b.asked(text) && !p.mustUseTool() {
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

// use returns the run of a tool and the message about what it found.
func (b builtin) use(p Prompt, text string) []generated.Entry {
	arguments, info, says := b.run(p, text)
	run := generated.ToolExecutionEntry{Name: b.name, Function: b.name, Arguments: string(wire.Encode(arguments))}
	if info != nil {
		run.Info = info
	}
	return []generated.Entry{
		generated.NewEntry(run),
		generated.NewEntry(generated.MessageOutputEntry{Content: generated.NewChunkContent(says...)}),
	}
}

func say(format string, values ...any) generated.ContentChunk {
	return generated.NewContentChunk(generated.TextChunk{Text: fmt.Sprintf(format, values...)})
}

func search(tool string) builtin {
	return builtin{tool, searchRule.MatchString, func(_ Prompt, text string) (arguments, info map[string]any, says []generated.ContentChunk) {
		query := wire.Excerpt(text)
		source := generated.ToolReferenceChunk{
			Tool: tool, Title: "About: " + query, URL: "https://example.com/search?q=" + url.QueryEscape(query),
			Description: "A page that the emulator made up.", Source: "emulator",
		}
		result := map[string]any{"0": map[string]string{"title": source.Title, "url": source.URL, "description": source.Description}}
		return map[string]any{"query": query}, map[string]any{"result": string(wire.Encode(result))}, []generated.ContentChunk{
			say("This is what I found about %q", query), generated.NewContentChunk(source), say("."),
		}
	}}
}

// runCode prints the answer to the prompt.
func runCode(p Prompt, _ string) (arguments, info map[string]any, says []generated.ContentChunk) {
	output := answer(p)
	return map[string]any{"code": fmt.Sprintf("print(%q)", output)},
		map[string]any{"result": []any{map[string]any{"type": "text", "text": output}}},
		[]generated.ContentChunk{say("The code printed: %s", output)}
}

func makeImage(_ Prompt, text string) (arguments, info map[string]any, says []generated.ContentChunk) {
	return map[string]any{"prompt": wire.Excerpt(text)}, nil, []generated.ContentChunk{
		say("Here is the image: "),
		generated.NewContentChunk(generated.ToolFileChunk{
			Tool: string(generated.ToolTypeImageGeneration), FileID: wire.NewID(wire.FileID), FileName: "image_generated_0.png", FileType: "png",
		}),
	}
}

func searchLibrary(_ Prompt, text string) (arguments, info map[string]any, says []generated.ContentChunk) {
	query := wire.Excerpt(text)
	return map[string]any{"query": query}, nil, []generated.ContentChunk{
		say("The library has a document about %q", query),
		generated.NewContentChunk(generated.ToolReferenceChunk{
			Tool: string(generated.ToolTypeDocumentLibrary), Title: "About: " + query, Description: "A document that the emulator made up.",
		}),
		say("."),
	}
}

func useConnector(id string) func(Prompt, string) (arguments, info map[string]any, says []generated.ContentChunk) {
	return func(_ Prompt, text string) (arguments, info map[string]any, says []generated.ContentChunk) {
		return map[string]any{"input": wire.Excerpt(text)}, map[string]any{"result": "done"}, []generated.ContentChunk{say("%s has done it.", id)}
	}
}

// resume goes on from the calls that were just allowed or denied: it runs those that
// were allowed and says which were not.
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
