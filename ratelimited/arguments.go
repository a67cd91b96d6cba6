package ratelimited

import (
	"fmt"
	"regexp"
	"strings"
	"unicode"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// firstInvalid returns the first finding; nil if there is none.
func firstInvalid(findings ...*RequestError) *RequestError {
	for _, finding := range findings {
		if finding != nil {
			return finding
		}
	}
	return nil
}

// checkID refuses what would make a path lead to another operation.
func checkID(field, id string) *RequestError {
	switch {
	case id == "":
		return &RequestError{Field: field, Value: id, Rule: "must not be empty"}
	case id == "." || id == "..":
		return &RequestError{Field: field, Value: id, Rule: "must not be a path segment with a meaning of its own"}
	case strings.ContainsFunc(id, unicode.IsControl):
		return &RequestError{Field: field, Value: id, Rule: "must not contain control characters"}
	}
	return nil
}

// checkAgentID also refuses the one id that leads to another operation.
func checkAgentID(id string) *RequestError {
	if id == "pages" {
		return &RequestError{Field: "agent_id", Value: id, Rule: "must be an agent's id: that path is the list's"}
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

// checkInputs refuses inputs that are unset or have nothing in them.
func checkInputs(inputs generated.ConversationInputs) *RequestError {
	if inputs.IsZero() {
		return &RequestError{Field: "inputs", Value: nil, Rule: "must be set: ratelimited.Text(…) or ratelimited.Entries(…)"}
	}
	if text, ok := inputs.Text(); ok {
		return checkNotEmpty("inputs", text)
	}
	if len(inputs.Entries()) == 0 {
		return &RequestError{Field: "inputs", Value: []generated.Entry{}, Rule: "must have at least one entry"}
	}
	for i, entry := range inputs.Entries() {
		if entry.IsZero() {
			return &RequestError{Field: fmt.Sprintf("inputs[%d]", i), Value: nil, Rule: "must hold an entry: make it with ratelimited.User(…) or generated.NewEntry(…)"}
		}
		if finding := checkMessage(fmt.Sprintf("inputs[%d].content", i), entry); finding != nil {
			return finding
		}
	}
	return nil
}

// checkMessage rejects a message whose content, or a chunk of it, is unset: it would be sent
// as null. An entry of a response is sent as it was received.
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
		return &RequestError{Field: field, Value: nil, Rule: "must be set: generated.NewTextContent(…) or generated.NewChunkContent(…)"}
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
			return &RequestError{Field: inside, Value: nil, Rule: "must hold a chunk: make it with generated.NewContentChunk(…)"}
		}
		if thought, ok := chunk.Value().(generated.ThinkChunk); ok {
			if finding := checkChunks(inside+".thinking", thought.Thinking); finding != nil {
				return finding
			}
		}
	}
	return nil
}

// checkModelOrAgent demands one of the two, and no more.
func checkModelOrAgent(model, agentID string) *RequestError {
	switch {
	case model == "" && agentID == "":
		return &RequestError{Field: "model", Value: "", Rule: "must be set, or else agent_id"}
	case model != "" && agentID != "":
		return &RequestError{Field: "agent_id", Value: agentID, Rule: fmt.Sprintf("must not be set beside model (%q): a conversation has one of the two", model)}
	}
	return nil
}

func checkRange(field string, value *int, least, most int) *RequestError {
	if value != nil && (*value < least || *value > most) {
		return &RequestError{Field: field, Value: *value, Rule: fmt.Sprintf("must be %d to %d", least, most)}
	}
	return nil
}

func checkAtLeast(field string, value *int, least int) *RequestError {
	if value != nil && *value < least {
		return &RequestError{Field: field, Value: *value, Rule: fmt.Sprintf("must be at least %d", least)}
	}
	return nil
}

// aliasPattern is the document's.
var aliasPattern = regexp.MustCompile(`^[a-z]([a-z0-9_-]*[a-z0-9])?$`)

func checkAlias(alias string) *RequestError {
	if len(alias) > 64 || !aliasPattern.MatchString(alias) {
		return &RequestError{Field: "alias", Value: alias, Rule: "must be 1 to 64 of a-z, 0-9, _ and -, begin with a letter and end with a letter or digit"}
	}
	return nil
}

// notEmpty returns a list parameter, or nil if the list is empty: it would be sent as
// "name=", which the service refuses.
func notEmpty[T any](list *[]T) *[]T {
	if list != nil && len(*list) == 0 {
		return nil
	}
	return list
}
