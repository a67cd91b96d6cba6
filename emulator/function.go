package emulator

import (
	"regexp"
	"slices"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// functionCall returns the call of a function that the prompt asks for.
func functionCall(p Prompt) ([]generated.Entry, bool) {
	if p.Args.ToolChoice == generated.ToolChoiceEnumNone {
		return nil, false
	}
	text := p.Text()
	var first, chosen *generated.Function
	for _, tool := range p.Tools {
		f, ok := tool.Value().(generated.FunctionTool)
		if !ok {
			continue
		}
		if first == nil {
			first = &f.Function
		}
		if chosen == nil && shareWord(text, f.Function.Name+" "+f.Function.Description) {
			chosen = &f.Function
		}
	}
	if chosen == nil && p.mustUseTool() {
		chosen = first
	}
	if chosen == nil {
		return nil, false
	}
	return []generated.Entry{generated.NewEntry(generated.FunctionCallEntry{
		Name: chosen.Name, Arguments: generated.FunctionCallEntryArguments(inventArguments(object(chosen.Parameters), text)),
	})}, true
}

var (
	partRule  = regexp.MustCompile(`\p{Lu}?\p{Ll}+|\p{Lu}+|\p{L}+`)
	fillWords = strings.Fields("this that with from into your have what when where which about there their them they then than " +
		"will would could should please tell give call make does returns return given for and the get set")
)

// mustUseTool reports whether the call says that a tool is to be used in any case.
func (p Prompt) mustUseTool() bool {
	return p.Args.ToolChoice == generated.ToolChoiceEnumAny || p.Args.ToolChoice == generated.ToolChoiceEnumRequired
}

// shareWord reports whether two texts have a word in common that means something.
func shareWord(a, b string) bool {
	words := vocabulary(b)
	return slices.ContainsFunc(vocabulary(a), func(w string) bool { return slices.Contains(words, w) })
}

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
