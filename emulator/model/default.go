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

// Default is the model of an emulator that has no other. The same prompt has
// the same reply. By the first of these that applies:
//
//   - the results of functions are quoted: "The result of get_weather is: 21";
//   - tools whose calls were just allowed are run, and those denied are regretted;
//   - a function whose name or description shares a word with the prompt is called,
//     its arguments made up to fit its schema; with tool_choice "any" or "required",
//     the first if none does; with "none", no tool is used;
//   - a tool of the service that the prompt asks for is run, what it finds made up: a web
//     search ("search", "news"), the code interpreter ("code", "compute"), image
//     generation ("draw", "image"), the document library ("library", "document"), a
//     connector (its id); it is a function.call that waits for a confirmation where the
//     tool's configuration says so;
//   - an agent that may hand over does so, to one whose name or description shares a word
//     with the prompt;
//   - "Reply with X", "Repeat exactly: X" and "Say X" have X;
//   - "Count to 5" has the numbers from 1;
//   - "What is 2+2?" and "Multiply that by 3" have the number, the second by the last
//     number in the conversation;
//   - "What is my name?" has the name of an earlier "My name is X";
//   - anything else has a sentence that quotes the prompt.
//
// With response_format json_object the reply is {"answer": …}, with json_schema a value
// made up to fit the schema: references, combinations, bounds, patterns and formats
// included, but for the keywords not, if, contains, patternProperties, propertyNames
// and those about dependent and unevaluated properties. Another model may pass prompts
// on to it, and so does a script.
//
// A schema has at most 256 KiB of JSON. A pattern in it has at most 4 KiB, and compiles to
// at most 5,000 instructions. A value takes at most 2^20 steps, about one for each byte of
// it and for each keyword that is looked at or merged. Beyond that the call fails with
// status 400, and the message has the JSON pointer and the bound. Two things are cut, so
// that the value may not fit: a schema that refers to itself has null where 10,000
// schemas have been looked at, and lists have at most 1,000 items, texts 65,536
// characters. The work ends with the context.
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
	for _, act := range []func(Prompt) ([]generated.Entry, bool){useTool, handOver} {
		if entries, ok := act(p); ok {
			return Reply{Entries: entries}
		}
	}
	return formatted(ctx, p, answer(p))
}

// callNames returns the names of the functions that were called, by tool_call_id.
func callNames(p Prompt) map[string]string {
	names := map[string]string{}
	for _, entry := range slices.Concat(p.History, p.Inputs) {
		if call, ok := entry.Value().(generated.FunctionCallEntry); ok {
			names[call.ToolCallID] = call.Name
		}
	}
	return names
}

// resultText quotes the results of functions, when those are what the call adds, or what the
// history ends with if it adds nothing.
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

// formatted gives a text the form that the call asks for.
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

// badSchema turns the error of a schema that asks for too much into a 400.
func badSchema(err error) error {
	var bound *schema.BoundError
	if errors.As(err, &bound) {
		return &Error{Status: http.StatusBadRequest, Message: bound.Error()}
	}
	return err
}

var (
	sayRule   = regexp.MustCompile(`(?is)^\s*(?:please[,\s]+)?(?:repeat exactly|repeat|reply with exactly|reply with only|reply with|respond with|answer with|say)\s*:?\s+(.+?)\s*$`)
	countRule = regexp.MustCompile(`(?i)\bcount\s+(?:from\s+1\s+)?(?:up\s+)?to\s+([0-9]+)`)
	nameRule  = regexp.MustCompile(`(?i)\bmy name is ([\p{L}'-]+)`)
	whoRule   = regexp.MustCompile(`(?i)\bmy name\b[^.]*\?`)
)

// answer is what the model says to the user's last message.
func answer(p Prompt) string {
	text := p.Text()
	if m := sayRule.FindStringSubmatch(text); m != nil {
		return unquote(m[1])
	}
	if m := countRule.FindStringSubmatch(text); m != nil {
		return count(m[1])
	}
	if result, ok := calculate(text, p); ok {
		return result
	}
	if whoRule.MatchString(text) {
		if name := lastMatch(p, nameRule); name != "" {
			return "Your name is " + name + "."
		}
	}
	if strings.TrimSpace(text) == "" {
		return "There is nothing to answer."
	}
	return fmt.Sprintf("You said %q, and this is the emulator's answer to that.", wire.Excerpt(text))
}

// count writes the numbers from 1, of which there may be no more than is bearable.
func count(to string) string {
	const most = 10_000
	n, err := strconv.Atoi(to)
	if err != nil || n > most {
		n = most
	}
	numbers := make([]string, n)
	for i := range numbers {
		numbers[i] = strconv.Itoa(i + 1)
	}
	return strings.Join(numbers, " ")
}

// unquote takes away quotation marks around a whole text.
func unquote(text string) string {
	for _, pair := range []string{`" "`, "' '", "“ ”", "« »", "` `"} {
		opening, closing, _ := strings.Cut(pair, " ")
		if inner, ok := strings.CutPrefix(text, opening); ok && strings.HasSuffix(inner, closing) {
			return strings.TrimSuffix(inner, closing)
		}
	}
	return text
}

// lastMatch returns the first group of a rule's last match in the user's messages.
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
