package model

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/schema"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// Default is the built-in model, which an emulator runs by default. It is deterministic:
// equal prompts have equal replies. It applies the first of these rules that matches:
//
//   - If the call adds function results, the reply quotes them: "The result of get_weather
//     is: 21".
//   - If the call adds confirmations, the model runs the allowed tools and names the denied
//     ones.
//   - If the name or description of a function shares a word with the prompt, the model
//     calls the function with arguments that conform to its schema. With tool_choice "any"
//     or "required" it otherwise calls the first function. With "none" it uses no tools.
//   - If the prompt asks for one of the service's tools, the model runs it and generates a
//     result. The tools are web search ("search", "news"), the code interpreter ("code",
//     "compute"), image generation ("draw", "image"), the document library ("library",
//     "document") and connectors (their id). If the tool needs a confirmation, the reply is
//     a pending function.call.
//   - If the name or description of an agent in Handoffs shares a word with the prompt, the
//     model hands off to that agent.
//   - "Reply with X", "Repeat exactly: X" and "Say X" return X.
//   - "Count to 5" returns the numbers from 1.
//   - "What is 2+2?" and "Multiply that by 3" return the result. The second uses the last
//     number in the conversation.
//   - "What is my name?" returns the name from an earlier "My name is X".
//   - Any other prompt returns a sentence that quotes it.
//
// With response_format json_object the reply is {"answer": …}. With json_schema it is a value
// that conforms to the schema. The model supports references, combinations, bounds, patterns
// and formats. It ignores the keywords not, if, contains, patternProperties and
// propertyNames, and those about dependent and unevaluated properties. Other models may
// delegate to Default; scripts do so.
//
// A schema has at most 256 KiB of JSON. A pattern in it has at most 4 KiB and compiles to at
// most 5,000 instructions. Generating a value takes at most 2^20 steps: about one for each
// byte of it, and for each keyword that is read or merged. Beyond these bounds the call fails
// with status 400; the message reports the JSON pointer and the bound.
//
// In two cases the value may not conform to the schema. After 10,000 subschemas, a schema
// that refers to itself generates null. Lists are limited to 1,000 items and strings to 65,536
// characters. Default stops when the context ends.
func Default(ctx context.Context, p Prompt) Reply {
	resumed := resume(p)
	if text, ok := resultText(p); ok {
		reply := formatted(ctx, p, text)
		reply.Entries = resumed
		return reply
	}
	if len(resumed) > 0 {
		return Reply{Entries: resumed}
	}
	if entries, ok, err := functionCall(ctx, p); ok || err != nil {
		return Reply{Entries: entries, Err: err}
	}
	for _, act := range []func(Prompt) ([]generated.Entry, bool){useTool, handOff} {
		if entries, ok := act(p); ok {
			return Reply{Entries: entries}
		}
	}
	return formatted(ctx, p, answer(p))
}

// callNames returns the names of the called functions by tool_call_id.
func callNames(p Prompt) map[string]string {
	names := map[string]string{}
	for _, entry := range slices.Concat(p.History, p.Inputs) {
		if call, ok := entry.Value().(generated.FunctionCallEntry); ok {
			names[call.ToolCallID] = call.Name
		}
	}
	return names
}

// resultText quotes the function results at the end of the inputs, or at the end of the
// history if the call adds no inputs.
func resultText(p Prompt) (string, bool) {
	names := callNames(p)
	var sentences []string
	last := p.Inputs
	if len(last) == 0 {
		last = p.History
	}
	for _, entry := range slices.Backward(last) {
		result, ok := entry.Value().(generated.FunctionResultEntry)
		if !ok {
			break
		}
		name := names[result.ToolCallID]
		if name == "" {
			name = result.ToolCallID
		}
		sentences = append(sentences, fmt.Sprintf("The result of %s is: %s", name, result.Result))
	}
	slices.Reverse(sentences)
	return strings.Join(sentences, "\n"), sentences != nil
}

// formatted returns a reply with a text in the response format of the call.
func formatted(ctx context.Context, p Prompt, text string) Reply {
	format := p.Args.ResponseFormat
	switch {
	case format.Type == generated.ResponseFormatsJSONObject:
		text = string(wire.Encode(map[string]string{"answer": text}))
	case format.Type == generated.ResponseFormatsJSONSchema && format.JSONSchema.Schema != nil:
		value, err := schema.JSON(ctx, format.JSONSchema.Schema, p.Text(), "completion_args", "response_format", "json_schema", "schema")
		if err != nil {
			return Reply{Err: badSchema(err)}
		}
		text = value
	}
	return Reply{Text: text}
}

// badSchema converts a [*schema.BoundError] to an [*Error] of status 400.
func badSchema(err error) error {
	var bound *schema.BoundError
	if errors.As(err, &bound) {
		return &Error{Status: http.StatusBadRequest, Message: bound.Error()}
	}
	return err
}

var (
	repeatPattern  = regexp.MustCompile(`(?is)^\s*(?:please[,\s]+)?(?:repeat exactly|repeat|reply with exactly|reply with only|reply with|respond with|answer with|say)\s*:?\s+(.+?)\s*$`)
	countPattern   = regexp.MustCompile(`(?i)\bcount\s+(?:from\s+1\s+)?(?:up\s+)?to\s+([0-9]+)`)
	namePattern    = regexp.MustCompile(`(?i)\bmy name is ([\p{L}'-]+)`)
	askNamePattern = regexp.MustCompile(`(?i)\bmy name\b[^.]*\?`)
)

// answer returns the text of the reply to the user's last message.
func answer(p Prompt) string {
	text := p.Text()
	if m := repeatPattern.FindStringSubmatch(text); m != nil {
		return unquote(m[1])
	}
	if m := countPattern.FindStringSubmatch(text); m != nil {
		return count(m[1])
	}
	if result, ok := calculate(text, p); ok {
		return result
	}
	if askNamePattern.MatchString(text) {
		if name := lastMatch(p, namePattern); name != "" {
			return "Your name is " + name + "."
		}
	}
	if strings.TrimSpace(text) == "" {
		return "The prompt is empty."
	}
	return fmt.Sprintf("You said %q, and this is the emulator's answer to that.", wire.Excerpt(text))
}

// count returns the numbers from 1 to a numeral, at most maxCount.
func count(to string) string {
	const maxCount = 10_000
	n, err := strconv.Atoi(to)
	if err != nil || n > maxCount {
		n = maxCount
	}
	numbers := make([]string, n)
	for i := range numbers {
		numbers[i] = strconv.Itoa(i + 1)
	}
	return strings.Join(numbers, " ")
}

// unquote removes quotation marks around the whole text.
func unquote(text string) string {
	for _, pair := range []string{`" "`, "' '", "“ ”", "« »", "` `"} {
		opening, closing, _ := strings.Cut(pair, " ")
		if inner, ok := strings.CutPrefix(text, opening); ok && strings.HasSuffix(inner, closing) {
			return strings.TrimSuffix(inner, closing)
		}
	}
	return text
}

// lastMatch returns the first group of the pattern's last match in the user's messages.
func lastMatch(p Prompt, rule *regexp.Regexp) string {
	for _, entry := range slices.Backward(slices.Concat(p.History, p.Inputs)) {
		if m, ok := entry.Value().(generated.MessageInputEntry); ok {
			if found := rule.FindStringSubmatch(m.Content.Text()); found != nil {
				return found[1]
			}
		}
	}
	return ""
}
