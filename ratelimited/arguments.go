package ratelimited

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// firstInvalid returns the first error that is not nil; nil without one.
func firstInvalid(findings ...*RequestError) *RequestError {
	for _, finding := range findings {
		if finding != nil {
			return finding
		}
	}
	return nil
}

// checkID rejects ids that would change the path to another operation.
func checkID(field, id string) *RequestError {
	switch {
	case id == "":
		return &RequestError{Field: field, Value: id, Rule: "must not be empty"}
	case id == "." || id == "..":
		return &RequestError{Field: field, Value: id, Rule: "must not be a dot segment of a path"}
	case strings.ContainsFunc(id, unicode.IsControl):
		return &RequestError{Field: field, Value: id, Rule: "must not contain control characters"}
	}
	return nil
}

// checkAgentID also rejects "pages", because /v1/agents/pages is the path of a list.
func checkAgentID(id string) *RequestError {
	if id == "pages" {
		return &RequestError{Field: "agent_id", Value: id, Rule: "must be an agent's id: /v1/agents/pages is the path of a list"}
	}
	return checkID("agent_id", id)
}

func checkNotEmpty(field, value string) *RequestError {
	if value == "" {
		return &RequestError{Field: field, Value: value, Rule: "must not be empty"}
	}
	return nil
}

// isEmpty reports whether inputs are a list without entries.
func isEmpty(inputs generated.ConversationInputs) bool {
	_, isText := inputs.Text()
	return !inputs.IsZero() && !isText && len(inputs.Entries()) == 0
}

// checkInputs rejects unset and empty inputs.
func checkInputs(inputs generated.ConversationInputs) *RequestError {
	if inputs.IsZero() {
		return &RequestError{Field: "inputs", Value: nil, Rule: "is required: use ratelimited.Text or ratelimited.Entries"}
	}
	if text, ok := inputs.Text(); ok {
		return checkNotEmpty("inputs", text)
	}
	if len(inputs.Entries()) == 0 {
		return &RequestError{Field: "inputs", Value: []generated.Entry{}, Rule: "must have at least one entry"}
	}
	for i, entry := range inputs.Entries() {
		if entry.IsZero() {
			return &RequestError{Field: fmt.Sprintf("inputs[%d]", i), Value: nil, Rule: "is required: use ratelimited.User or generated.NewEntry"}
		}
		if finding := checkMessage(fmt.Sprintf("inputs[%d].content", i), entry); finding != nil {
			return finding
		}
	}
	return nil
}

// checkMessage rejects a message with unset content or an unset chunk, which would be sent as null.
// Entries of a response are sent as they were received.
func checkMessage(field string, entry generated.Entry) *RequestError {
	var content generated.MessageContent
	switch e := entry.Value().(type) {
	case generated.MessageInputEntry:
		content = e.Content
	case generated.MessageOutputEntry:
		content = e.Content
	default:
		return nil
	}
	if content.IsZero() && entry.Raw() == nil {
		return &RequestError{Field: field, Value: nil, Rule: "is required: use generated.NewTextContent or generated.NewChunkContent"}
	}
	if _, ok := content.PlainText(); ok {
		return nil
	}
	return checkChunks(field, content.Chunks())
}

func checkChunks(field string, chunks []generated.ContentChunk) *RequestError {
	for i, chunk := range chunks {
		inside := fmt.Sprintf("%s[%d]", field, i)
		if chunk.IsZero() {
			return &RequestError{Field: inside, Value: nil, Rule: "is required: use generated.NewContentChunk"}
		}
		if thought, ok := chunk.Value().(generated.ThinkChunk); ok {
			if finding := checkChunks(inside+".thinking", thought.Thinking); finding != nil {
				return finding
			}
		}
	}
	return nil
}

// checkModelOrAgent requires either a model or an agent, not both.
func checkModelOrAgent(model, agentID string) *RequestError {
	switch {
	case model == "" && agentID == "":
		return &RequestError{Field: "model", Rule: "or agent_id is required"}
	case model != "" && agentID != "":
		return &RequestError{Field: "agent_id", Value: agentID, Rule: fmt.Sprintf("must not be set together with model (%q)", model)}
	}
	return nil
}

func checkRange(field string, value *int, minimum, maximum int) *RequestError {
	if value != nil && (*value < minimum || *value > maximum) {
		return &RequestError{Field: field, Value: *value, Rule: fmt.Sprintf("must be %d to %d", minimum, maximum)}
	}
	return nil
}

func checkAtLeast(field string, value *int, minimum int) *RequestError {
	if value != nil && *value < minimum {
		return &RequestError{Field: field, Value: *value, Rule: fmt.Sprintf("must be at least %d", minimum)}
	}
	return nil
}

// aliasPattern is the pattern of the OpenAPI document.
var aliasPattern = regexp.MustCompile(`^[a-z]([a-z0-9_-]*[a-z0-9])?$`)

func checkAlias(alias string) *RequestError {
	if len(alias) > 64 || !aliasPattern.MatchString(alias) {
		return &RequestError{Field: "alias", Value: alias, Rule: "must be 1 to 64 of a-z, 0-9, _ and -, begin with a letter and end with a letter or digit"}
	}
	return nil
}

// nilIfEmpty returns a list parameter, or nil if the list is empty: it would be sent as "name=", which the
// server rejects.
func nilIfEmpty[T any](list *[]T) *[]T {
	if list != nil && len(*list) == 0 {
		return nil
	}
	return list
}
