package state

import (
	"slices"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// codeMissing is the code of inputs that do not fit the calls of a conversation; codeOrder
// that of another number of results than of calls.
const (
	codeMissing = "3001"
	codeOrder   = "3230"
)

// calls are the function calls of a list of entries, in order, by their tool_call_id.
type calls struct {
	open      []string // whose results are missing
	pending   []string // that wait for a confirmation
	confirmed []string // whose results may come
	answered  []string
}

func (c *calls) add(entry generated.Entry) {
	switch v := entry.Value().(type) {
	case generated.FunctionCallEntry:
		switch v.ConfirmationStatus {
		case "":
			c.open = append(c.open, v.ToolCallID)
		case generated.ConfirmationStatusPending:
			c.pending = append(c.pending, v.ToolCallID)
		default:
			c.confirmed = append(c.confirmed, v.ToolCallID)
		}
	case generated.FunctionResultEntry:
		c.answered = append(c.answered, v.ToolCallID)
		for _, list := range []*[]string{&c.open, &c.confirmed} {
			if i := slices.Index(*list, v.ToolCallID); i >= 0 {
				*list = slices.Delete(*list, i, i+1)
				break
			}
		}
	}
}

// checkInputs refuses inputs that do not fit the entries before them, in which the calls
// that are confirmed are marked: other inputs while results are missing, results of calls
// that there are not or that have one, and more or fewer results than calls.
func checkInputs(history, inputs []generated.Entry) *wire.Failure {
	var c calls
	for _, entry := range history {
		c.add(entry)
	}
	results, missing := 0, len(c.open)
	confirmed := slices.Clone(c.confirmed) // Their results may come, and need not.
	for _, input := range inputs {
		switch v := input.Value().(type) {
		case generated.FunctionResultEntry:
			if !slices.Contains(confirmed, v.ToolCallID) {
				results++
			}
		case generated.FunctionCallEntry:
			switch v.ConfirmationStatus {
			case "":
				missing++
			case generated.ConfirmationStatusPending:
			default:
				confirmed = append(confirmed, v.ToolCallID)
			}
		}
	}
	if results > 0 && missing > 0 && results != missing {
		return wire.APIError(400, "Not the same number of function calls and responses", "invalid_request_message_order", codeOrder)
	}
	for _, input := range inputs {
		switch v := input.Value().(type) {
		case generated.FunctionResultEntry:
			switch {
			case slices.Contains(c.open, v.ToolCallID), slices.Contains(c.confirmed, v.ToolCallID):
			case slices.Contains(c.answered, v.ToolCallID):
				return wire.BadRequest("Tool calls already have a result: "+v.ToolCallID, codeMissing)
			default:
				return wire.BadRequest("Unknown tool_call_ids: "+v.ToolCallID, codeMissing)
			}
		case generated.FunctionCallEntry:
		default: // A new conversation may have text between calls, an append not.
			if _, message := input.Value().(generated.MessageInputEntry); message || len(history) > 0 {
				if refused := c.missing(); refused != nil {
					return refused
				}
			}
		}
		c.add(input)
	}
	if len(c.open) > 0 {
		return c.missing()
	}
	return nil
}

// missing refuses other inputs while results or confirmations are missing.
func (c *calls) missing() *wire.Failure {
	ids := slices.Concat(c.open, c.pending)
	if len(ids) == 0 {
		return nil
	}
	return wire.BadRequest("Cannot append other inputs while function results are still missing: "+strings.Join(ids, ", "), codeMissing)
}

// checkAppend refuses to append nothing, unless the last entry is a handoff that the caller
// has carried out, or results or confirmations are missing, which checkInputs reports.
func checkAppend(history, inputs []generated.Entry, confirmations []generated.ToolCallConfirmation) *wire.Failure {
	if len(inputs) > 0 || len(confirmations) > 0 {
		return nil
	}
	var c calls
	for _, entry := range history {
		c.add(entry)
	}
	if refused := c.missing(); refused != nil {
		return refused
	}
	if len(history) > 0 {
		if _, ok := history[len(history)-1].Value().(generated.AgentHandoffEntry); ok {
			return nil
		}
	}
	return wire.BadRequest("Cannot append an empty list of inputs, except after a handoff that the client executes", codeMissing)
}
