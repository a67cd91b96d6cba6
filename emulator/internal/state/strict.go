package state

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// codeMissing is the code for inputs that do not match the calls of a conversation.
// codeOrder is the code for a number of results that differs from the number of calls.
const (
	codeMissing = "3001"
	codeOrder   = "3230"
)

// callStatus is the status of a function call.
type callStatus int

const (
	unknown   callStatus = iota
	open                 // waits for its result
	pending              // waits for a confirmation
	confirmed            // allowed; a result is optional
	denied
	answered
)

// calls is the function calls in a list of entries, by tool_call_id.
type calls struct {
	order    []string
	statuses map[string]callStatus
}

func callsOf(entries []generated.Entry) *calls {
	c := &calls{statuses: map[string]callStatus{}}
	for _, entry := range entries {
		c.add(entry)
	}
	return c
}

func (c *calls) add(entry generated.Entry) {
	switch v := entry.Value().(type) {
	case generated.FunctionCallEntry:
		if c.statuses[v.ToolCallID] == unknown {
			c.order = append(c.order, v.ToolCallID)
		}
		c.statuses[v.ToolCallID] = statusOf(v)
	case generated.FunctionResultEntry:
		c.statuses[v.ToolCallID] = answered
	}
}

func statusOf(v generated.FunctionCallEntry) callStatus {
	switch v.ConfirmationStatus {
	case "":
		return open
	case generated.ConfirmationStatusPending:
		return pending
	case generated.ConfirmationStatusDenied:
		return denied
	default:
		return confirmed
	}
}

// withStatus returns the ids of the calls that have one of the statuses, in order.
func (c *calls) withStatus(statuses ...callStatus) (ids []string) {
	for _, id := range c.order {
		if slices.Contains(statuses, c.statuses[id]) {
			ids = append(ids, id)
		}
	}
	return ids
}

// checkInputs rejects inputs that do not match the history:
//
//   - other inputs while results are missing;
//   - results of calls that are unknown, denied, pending or already have a result;
//   - more or fewer results than calls;
//   - calls with the id of another call or an invalid name.
//
// The history must contain the updated statuses of confirmed calls.
func checkInputs(history, inputs []generated.Entry) *wire.Failure {
	c := callsOf(history)
	if refused := checkCount(c, inputs); refused != nil {
		return refused
	}
	for _, input := range inputs {
		var refused *wire.Failure
		switch v := input.Value().(type) {
		case generated.FunctionResultEntry:
			refused = c.checkResult(v.ToolCallID)
		case generated.FunctionCallEntry:
			if refused = CheckName("Function", v.Name); refused == nil && c.statuses[v.ToolCallID] != unknown {
				refused = wire.BadRequest("Tool calls have the same tool_call_id: "+v.ToolCallID, codeMissing)
			}
		case generated.MessageInputEntry:
			refused = c.missing()
		default: // Only the inputs of a new conversation may have outputs between a call and its result.
			if len(history) > 0 {
				refused = c.missing()
			}
		}
		if refused != nil {
			return refused
		}
		c.add(input)
	}
	if len(c.withStatus(open)) > 0 {
		return c.missing()
	}
	return nil
}

// checkCount rejects a number of results that differs from the number of open calls.
func checkCount(before *calls, inputs []generated.Entry) *wire.Failure {
	results, missing := 0, len(before.withStatus(open))
	optional := map[string]bool{}
	for _, id := range before.withStatus(confirmed) {
		optional[id] = true
	}
	for _, input := range inputs {
		switch v := input.Value().(type) {
		case generated.FunctionResultEntry:
			if !optional[v.ToolCallID] {
				results++
			}
		case generated.FunctionCallEntry:
			if status := statusOf(v); status == open {
				missing++
			} else if status == confirmed {
				optional[v.ToolCallID] = true
			}
		}
	}
	if results > 0 && missing > 0 && results != missing {
		return wire.APIError(400, "Not the same number of function calls and responses", "invalid_request_message_order", codeOrder)
	}
	return nil
}

// checkResult rejects a result of a call that does not accept one.
func (c *calls) checkResult(id string) *wire.Failure {
	message := map[callStatus]string{
		unknown: "Unknown tool_call_ids", answered: "Tool calls already have a result", denied: "Tool calls were denied", pending: "Tool calls wait for a confirmation",
	}[c.statuses[id]]
	if message == "" {
		return nil
	}
	return wire.BadRequest(message+": "+wire.Short(id), codeMissing)
}

var namePattern = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)

// CheckName rejects a name of a function or a schema that the real API does not accept.
func CheckName(kind, text string) *wire.Failure {
	if namePattern.MatchString(text) {
		return nil
	}
	return wire.BadRequest(fmt.Sprintf("%s name was %s but must be a-z, A-Z, 0-9, or contain underscores and dashes, with a maximum length of 64.", kind, wire.Short(text)), "3000")
}

// missing returns a failure if results or confirmations are missing.
func (c *calls) missing() *wire.Failure {
	ids := c.withStatus(open, pending)
	if len(ids) == 0 {
		return nil
	}
	return wire.BadRequest("Cannot append other inputs while function results are still missing: "+strings.Join(ids, ", "), codeMissing)
}

// checkAppend rejects an empty append. It allows one after a handoff that the client
// executes. If results or confirmations are missing, it reports them instead.
func checkAppend(history, inputs []generated.Entry, confirmations []generated.ToolCallConfirmation) *wire.Failure {
	if len(inputs) > 0 || len(confirmations) > 0 {
		return nil
	}
	if refused := callsOf(history).missing(); refused != nil {
		return refused
	}
	if len(history) > 0 {
		if _, ok := history[len(history)-1].Value().(generated.AgentHandoffEntry); ok {
			return nil
		}
	}
	return wire.BadRequest("Cannot append an empty list of inputs, except after a handoff that the client executes", codeMissing)
}
