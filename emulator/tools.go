package emulator

import (
	"encoding/json"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strconv"
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
		Name: chosen.Name, Arguments: generated.FunctionCallEntryArguments(invent(chosen.Parameters, text)),
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

// invent writes JSON that fits a JSON Schema, with what the text has to offer.
func invent(schema map[string]any, text string) string {
	value := inventValue(schema, text, "", 0)
	if _, ok := value.(map[string]any); !ok {
		value = map[string]any{} // The arguments of a function are an object.
	}
	data, err := json.Marshal(value)
	if err != nil {
		return "{}" // What came as JSON marshals.
	}
	return string(data)
}

// deepest keeps a schema that refers to itself, by way of hand-written nesting, finite.
const deepest = 8

func inventValue(schema map[string]any, text, name string, depth int) any {
	if value, ok := schema["const"]; ok {
		return value
	}
	if list, ok := schema["enum"].([]any); ok && len(list) > 0 {
		return inventEnum(list, text)
	}
	if value, ok := schema["default"]; ok {
		return value
	}
	for _, keyword := range []string{"anyOf", "oneOf", "allOf"} {
		if list, ok := schema[keyword].([]any); ok && len(list) > 0 && depth < deepest {
			if branch, ok := list[0].(map[string]any); ok {
				return inventValue(branch, text, name, depth+1)
			}
		}
	}
	switch kind(schema) {
	case "object":
		return inventObject(schema, text, depth)
	case "array":
		items, ok := schema["items"].(map[string]any)
		if !ok || depth >= deepest {
			return []any{}
		}
		return []any{inventValue(items, text, name, depth+1)}
	case "integer", "number":
		return inventNumber(schema, text)
	case "boolean":
		return true
	case "null":
		return nil
	default:
		return inventText(text, name)
	}
}

// kind is the type that a schema wants, the first if there are several.
func kind(schema map[string]any) string {
	switch t := schema["type"].(type) {
	case string:
		return t
	case []any:
		for _, one := range t {
			if s, ok := one.(string); ok {
				return s
			}
		}
	}
	if _, ok := schema["properties"]; ok {
		return "object"
	}
	return ""
}

// inventObject has the properties that are required, or all when none is.
func inventObject(schema map[string]any, text string, depth int) any {
	object := map[string]any{}
	properties, _ := schema["properties"].(map[string]any)
	required, _ := schema["required"].([]any)
	if depth >= deepest {
		return object
	}
	for name, property := range properties {
		if len(required) > 0 && !slices.Contains(required, any(name)) {
			continue
		}
		property, _ := property.(map[string]any) // true, which allows anything, is as good as {}
		object[name] = inventValue(property, text, name, depth+1)
	}
	return object
}

func inventEnum(list []any, text string) any {
	for _, value := range list {
		if s, ok := value.(string); ok && s != "" && strings.Contains(strings.ToLower(text), strings.ToLower(s)) {
			return value
		}
	}
	return list[0]
}

func inventNumber(schema map[string]any, text string) any {
	whole := kind(schema) == "integer"
	for _, found := range numberRule.FindAllString(text, -1) {
		if n, err := strconv.ParseInt(found, 10, 64); err == nil {
			return n
		}
		if f, err := strconv.ParseFloat(found, 64); err == nil && !whole {
			return f
		}
	}
	if least, ok := schema["minimum"].(float64); ok {
		return least
	}
	return 1
}

var (
	quotedRule = regexp.MustCompile(`["“']([^"”']+)["”']`)
	properRule = regexp.MustCompile(`[^.!?\s]\s+(\p{Lu}[\p{L}'-]*(?:\s+\p{Lu}[\p{L}'-]*)*)`)
)

// inventText takes what is quoted, else a name within a sentence ("Paris"), else the
// whole text.
func inventText(text, name string) string {
	if m := quotedRule.FindStringSubmatch(text); m != nil {
		return m[1]
	}
	if m := properRule.FindStringSubmatch(text); m != nil && !strings.Contains(strings.ToLower(name), "query") {
		return m[1]
	}
	return excerpt(text)
}
