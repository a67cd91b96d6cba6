package emulator

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// functionCall returns the call of a function that the prompt asks for.
func functionCall(ctx context.Context, p Prompt) (entries []generated.Entry, ok bool, err error) {
	if p.Args.ToolChoice == generated.ToolChoiceEnumNone || len(p.Tools) == 0 {
		return nil, false, nil
	}
	text := p.Text()
	asked := vocabulary(text)
	var root, at *place
	var chosen *generated.Function
	for i, tool := range p.Tools {
		f, ok := tool.Value().(generated.FunctionTool)
		if !ok {
			continue
		}
		shared := shareWord(asked, f.Function.Name+" "+f.Function.Description)
		if shared || chosen == nil && p.mustUseTool() {
			chosen, at = &f.Function, root.in("tools").in(strconv.Itoa(i)).in("function").in("parameters")
		}
		if shared {
			break
		}
	}
	if chosen == nil {
		return nil, false, nil
	}
	value, err := invent(ctx, chosen.Parameters, at, text)
	if err != nil {
		return nil, false, err
	}
	if _, isObject := value.(map[string]any); !isObject {
		value = map[string]any{} // Arguments are an object.
	}
	return []generated.Entry{generated.NewEntry(generated.FunctionCallEntry{
		Name: chosen.Name, Arguments: generated.FunctionCallEntryArguments(inventJSON(value)),
	})}, true, nil
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

// shareWord reports whether a text has one of the words of a vocabulary.
func shareWord(words map[string]bool, text string) bool {
	for word := range vocabulary(text) {
		if words[word] {
			return true
		}
	}
	return false
}

// vocabulary returns the words of a text, camelCase and snake_case parted, that mean
// something: in lower case, without a plural's s.
func vocabulary(text string) map[string]bool {
	list := map[string]bool{}
	for _, word := range partRule.FindAllString(text, -1) {
		word = strings.ToLower(word)
		if len(word) < 3 || slices.Contains(fillWords, word) {
			continue
		}
		list[strings.TrimSuffix(word, "s")] = true
	}
	return list
}
