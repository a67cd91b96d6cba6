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
