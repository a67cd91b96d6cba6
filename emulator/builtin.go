package emulator

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// A builtin is a tool that the service runs itself. The emulator makes up what it
// finds.
type builtin struct {
	name  string
	asked func(prompt string) bool
	run   func(p Prompt, text string) (arguments, info map[string]any, says []generated.ContentChunk)
}

// setup is what a tool of the service is called, and how it may be used.
func setup(tool generated.Tool) (b builtin, c generated.ToolConfiguration, ok bool) {
	switch v := tool.Value().(type) {
	case generated.WebSearchTool:
		return search(generated.ToolTypeWebSearch), v.ToolConfiguration, true
	case generated.WebSearchPremiumTool:
		return search(generated.ToolTypeWebSearchPremium), v.ToolConfiguration, true
	case generated.CodeInterpreterTool:
		return builtin{string(generated.ToolTypeCodeInterpreter), codeRule.MatchString, runCode}, v.ToolConfiguration, true
	case generated.ImageGenerationTool:
		return builtin{string(generated.ToolTypeImageGeneration), imageRule.MatchString, makeImage}, v.ToolConfiguration, true
	case generated.DocumentLibraryTool:
		return builtin{string(generated.ToolTypeDocumentLibrary), libraryRule.MatchString, searchLibrary}, v.ToolConfiguration, true
	case generated.CustomConnector:
		asked := func(prompt string) bool { return strings.Contains(prompt, v.ConnectorID) }
		return builtin{v.ConnectorID, asked, useConnector(v.ConnectorID)}, v.ToolConfiguration, true
	}
	return builtin{}, generated.ToolConfiguration{}, false
}

// toolNames returns the names of the service's tools among those of a call.
func toolNames(tools []generated.Tool) []string {
	var names []string
	for _, tool := range tools {
		if b, _, ok := setup(tool); ok {
			names = append(names, b.name)
		}
	}
	return names
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
		b, c, ok := setup(tool)
		excluded := slices.Contains(c.Exclude, b.name) || c.Include != nil && !slices.Contains(c.Include, b.name)
		if !ok || excluded || !b.asked(text) && !p.mustUseTool() {
			continue
		}
		if slices.Contains(c.RequiresConfirmation, b.name) {
			arguments, _, _ := b.run(p, text)
			return []generated.Entry{generated.NewEntry(generated.FunctionCallEntry{
				Name: b.name, Arguments: generated.FunctionCallEntryArguments(encode(arguments)),
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
	run := generated.ToolExecutionEntry{Name: b.name, Function: b.name, Arguments: string(encode(arguments))}
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

func search(tool generated.ToolType) builtin {
	return builtin{string(tool), searchRule.MatchString, func(_ Prompt, text string) (arguments, info map[string]any, says []generated.ContentChunk) {
		query := excerpt(text)
		source := generated.ToolReferenceChunk{
			Tool: string(tool), Title: "About: " + query, URL: "https://example.com/search?q=" + url.QueryEscape(query),
			Description: "A page that the emulator made up.", Source: "emulator",
		}
		result := map[string]any{"0": map[string]string{"title": source.Title, "url": source.URL, "description": source.Description}}
		return map[string]any{"query": query}, map[string]any{"result": string(encode(result))}, []generated.ContentChunk{
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
	return map[string]any{"prompt": excerpt(text)}, nil, []generated.ContentChunk{
		say("Here is the image: "),
		generated.NewContentChunk(generated.ToolFileChunk{
			Tool: string(generated.ToolTypeImageGeneration), FileID: newID(fileID), FileName: "image_generated_0.png", FileType: "png",
		}),
	}
}

func searchLibrary(_ Prompt, text string) (arguments, info map[string]any, says []generated.ContentChunk) {
	query := excerpt(text)
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
		return map[string]any{"input": excerpt(text)}, map[string]any{"result": "done"}, []generated.ContentChunk{say("%s has done it.", id)}
	}
}

// resume goes on from the calls that were just allowed or denied: it runs those that
// were allowed and says which were not.
func resume(p Prompt) ([]generated.Entry, bool) {
	var entries []generated.Entry
	var denied []string
	for _, c := range p.Confirmations {
		call := confirmedCall(p.History, c.ToolCallID)
		if c.Confirmation == generated.ToolConfirmationDeny {
			denied = append(denied, call.Name)
			continue
		}
		for _, tool := range p.Tools {
			if b, _, ok := setup(tool); ok && b.name == call.Name {
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
	return entries, entries != nil
}

func confirmedCall(history []generated.Entry, id string) generated.FunctionCallEntry {
	for _, entry := range history {
		if call, ok := entry.Value().(generated.FunctionCallEntry); ok && call.ToolCallID == id {
			return call
		}
	}
	return generated.FunctionCallEntry{}
}
