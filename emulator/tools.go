package emulator

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// functionCall returns the call of a function that the prompt asks for.
func functionCall(p Prompt) (generated.FunctionCallEntry, bool) {
	if p.Args.ToolChoice == generated.ToolChoiceEnumNone {
		return generated.FunctionCallEntry{}, false
	}
	must := p.Args.ToolChoice == generated.ToolChoiceEnumAny || p.Args.ToolChoice == generated.ToolChoiceEnumRequired
	text := p.Text()
	asked := vocabulary(text)
	var first, chosen *generated.Function
	for _, tool := range p.Tools {
		f, ok := tool.Value().(generated.FunctionTool)
		if !ok {
			continue
		}
		if first == nil {
			first = &f.Function
		}
		offers := vocabulary(f.Function.Name + " " + f.Function.Description)
		if chosen == nil && slices.ContainsFunc(asked, func(w string) bool { return slices.Contains(offers, w) }) {
			chosen = &f.Function
		}
	}
	if chosen == nil && must {
		chosen = first
	}
	if chosen == nil {
		return generated.FunctionCallEntry{}, false
	}
	return generated.FunctionCallEntry{
		Name: chosen.Name, Arguments: generated.FunctionCallEntryArguments(inventArguments(chosen.Parameters, text)),
	}, true
}

var (
	partRule  = regexp.MustCompile(`\p{Lu}?\p{Ll}+|\p{Lu}+|\p{L}+`)
	fillWords = strings.Fields("this that with from into your have what when where which about there their them they then than " +
		"will would could should please tell give call make does returns return given for and the get set")
)

// vocabulary returns the words of a text, camelCase and snake_case parted, that mean
// something: in lower case, without a plural's s.
func vocabulary(text string) []string {
	var list []string
	for _, word := range partRule.FindAllString(text, -1) {
		word = strings.ToLower(word)
		if len(word) < 3 || slices.Contains(fillWords, word) {
			continue
		}
		list = append(list, strings.TrimSuffix(word, "s"))
	}
	return list
}

var searchRule = regexp.MustCompile(`(?i)\b(?:search|look up|browse|web|news|latest|online)\b`)

// searchTool returns the name of the web search tool that the prompt asks for.
func searchTool(p Prompt) (string, bool) {
	must := p.Args.ToolChoice == generated.ToolChoiceEnumAny || p.Args.ToolChoice == generated.ToolChoiceEnumRequired
	if p.Args.ToolChoice == generated.ToolChoiceEnumNone || !must && !searchRule.MatchString(p.Text()) {
		return "", false
	}
	for _, tool := range p.Tools {
		switch tool.Value().(type) {
		case generated.WebSearchTool:
			return string(generated.ToolTypeWebSearch), true
		case generated.WebSearchPremiumTool:
			return string(generated.ToolTypeWebSearchPremium), true
		}
	}
	return "", false
}

// search makes up a web search and a message that refers to what it found.
func search(tool, text string) []generated.Entry {
	query := excerpt(text)
	source := generated.ToolReferenceChunk{
		Tool: tool, Title: "About: " + query, URL: "https://example.com/search?q=" + url.QueryEscape(query),
		Description: "A page that the emulator made up.",
	}
	arguments := encode(map[string]string{"query": query})
	result := encode(map[string]any{"0": map[string]string{"title": source.Title, "url": source.URL, "description": source.Description}})
	return []generated.Entry{
		generated.NewEntry(generated.ToolExecutionEntry{
			Name: tool, Arguments: string(arguments), Info: generated.ToolExecutionInfo{"result": string(result)},
		}),
		generated.NewEntry(generated.MessageOutputEntry{Content: generated.NewChunkContent(
			generated.NewContentChunk(generated.TextChunk{Text: fmt.Sprintf("This is what I found about %q", query)}),
			generated.NewContentChunk(source),
			generated.NewContentChunk(generated.TextChunk{Text: "."}),
		)}),
	}
}
