package model

import (
	"context"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/schema"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// functionCall returns the call of a function that the prompt requests.
func functionCall(ctx context.Context, p Prompt) (entries []generated.Entry, ok bool, err error) {
	if p.Args.ToolChoice == generated.ToolChoiceEnumNone || len(p.Tools) == 0 {
		return nil, false, nil
	}
	text := p.Text()
	words := vocabulary(text)
	at := 0
	var chosen *generated.Function
	for i, tool := range p.Tools {
		f, ok := tool.Value().(generated.FunctionTool)
		if !ok {
			continue
		}
		shared := shareWord(words, f.Function.Name+" "+f.Function.Description)
		if shared || chosen == nil && p.mustUseTool() {
			chosen, at = &f.Function, i
		}
		if shared {
			break
		}
	}
	if chosen == nil {
		return nil, false, nil
	}
	arguments, err := schema.JSON(ctx, chosen.Parameters, text, "tools", strconv.Itoa(at), "function", "parameters")
	if err != nil {
		return nil, false, badSchema(err)
	}
	if !strings.HasPrefix(arguments, "{") {
		arguments = "{}" // Arguments must be an object.
	}
	return []generated.Entry{generated.NewEntry(generated.FunctionCallEntry{
		Name: chosen.Name, Arguments: generated.FunctionCallEntryArguments(arguments),
	})}, true, nil
}

var (
	wordPattern = regexp.MustCompile(`\p{Lu}?\p{Ll}+|\p{Lu}+|\p{L}+`)
	fillWords   = strings.Fields("this that with from into your have what when where which about there their them they then than " +
		"will would could should please tell give call make does returns return given for and the get set")
)

// shareWord reports whether a text contains one of the words of a vocabulary.
func shareWord(words map[string]bool, text string) bool {
	for word := range vocabulary(text) {
		if words[word] {
			return true
		}
	}
	return false
}

// vocabulary returns the significant words of a text, in lower case and without a plural s.
// It splits camelCase and snake_case.
func vocabulary(text string) map[string]bool {
	list := map[string]bool{}
	for _, word := range wordPattern.FindAllString(text, -1) {
		word = strings.ToLower(word)
		if len(word) < 3 || slices.Contains(fillWords, word) {
			continue
		}
		list[strings.TrimSuffix(word, "s")] = true
	}
	return list
}

// handOff hands off to the first agent whose name or description shares a word with the
// prompt. It skips agents that have handed off since the user's last message.
func handOff(p Prompt) ([]generated.Entry, bool) {
	if len(p.Handoffs) == 0 {
		return nil, false
	}
	var before []string
	for _, entry := range slices.Backward(slices.Concat(p.History, p.Inputs)) {
		if h, ok := entry.Value().(generated.AgentHandoffEntry); ok {
			before = append(before, h.PreviousAgentID)
		}
		if _, ok := entry.Value().(generated.MessageInputEntry); ok {
			break
		}
	}
	words := vocabulary(p.Text())
	for _, next := range p.Handoffs {
		if !slices.Contains(before, next.ID) && shareWord(words, next.Name+" "+next.Description) {
			return []generated.Entry{generated.NewEntry(generated.AgentHandoffEntry{NextAgentID: next.ID, NextAgentName: next.Name})}, true
		}
	}
	return nil, false
}
