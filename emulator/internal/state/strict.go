package state

import (
	"fmt"
	"regexp"
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

// call is where a function call stands.
type call int

const (
	unknown   call = iota
	open           // its result is missing
	pending        // it waits for a confirmation
	confirmed      // its result may come, and need not
	denied
	answered
)

// calls are the function calls of a list of entries, by their tool_call_id.
type calls struct {
	order []string
	by    map[string]call
}

func callsOf(entries []generated.Entry) *calls {
	c := &calls{by: map[string]call{}}
	for _, entry := range entries {
		c.add(entry)
	}
	return c
}

func (c *calls) add(entry generated.Entry) {
	switch v := entry.Value().(type) {
	case generated.FunctionCallEntry:
		if c.by[v.ToolCallID] == unknown {
			c.order = append(c.order, v.ToolCallID)
		}
		c.by[v.ToolCallID] = standing(v)
	case generated.FunctionResultEntry:
		c.by[v.ToolCallID] = answered
	}
}

func standing(v generated.FunctionCallEntry) call {
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

// are returns the calls that stand where one of these says, in order.
func (c *calls) are(where ...call) (ids []string) {
	for _, id := range c.order {
		if slices.Contains(where, c.by[id]) {
			ids = append(ids, id)
		}
	}
	return ids
}

// checkInputs refuses inputs that do not fit the entries before them, in which the calls
// that are confirmed are marked: other inputs while results are missing, results of calls
// that there are not, that were denied or that have one, more or fewer results than calls,
// and calls with the id of another or a name that no function can have.
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
			if refused = CheckName("Function", v.Name); refused == nil && c.by[v.ToolCallID] != unknown {
				refused = wire.BadRequest("Tool calls have the same tool_call_id: "+v.ToolCallID, codeMissing)
			}
		case generated.MessageInputEntry:
			refused = c.missing()
		default: // A new conversation may have what the model did between calls, an append not.
			if len(history) > 0 {
				refused = c.missing()
			}
		}
		if refused != nil {
			return refused
		}
		c.add(input)
	}
	if len(c.are(open)) > 0 {
		return c.missing()
	}
	return nil
}

// checkCount refuses more or fewer results than calls.
func checkCount(before *calls, inputs []generated.Entry) *wire.Failure {
	results, missing := 0, len(before.are(open))
	optional := map[string]bool{}
	for _, id := range before.are(confirmed) {
		optional[id] = true
	}
	for _, input := range inputs {
		switch v := input.Value().(type) {
		case generated.FunctionResultEntry:
			if !optional[v.ToolCallID] {
				results++
			}
		case generated.FunctionCallEntry:
			if where := standing(v); where == open {
				missing++
			} else if where == confirmed {
				optional[v.ToolCallID] = true
			}
		}
	}
	if results > 0 && missing > 0 && results != missing {
		return wire.APIError(400, "Not the same number of function calls and responses", "invalid_request_message_order", codeOrder)
	}
	return nil
}

// checkResult refuses a result that no call has room for.
func (c *calls) checkResult(id string) *wire.Failure {
	says := map[call]string{
		unknown: "Unknown tool_call_ids", answered: "Tool calls already have a result", denied: "Tool calls were denied", pending: "Tool calls wait for a confirmation",
	}[c.by[id]]
	if says == "" {
		return nil
	}
	return wire.BadRequest(says+": "+wire.Short(id), codeMissing)
}

var name = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)

// CheckName refuses the name of a function or a schema that the service does not take.
func CheckName(kind, text string) *wire.Failure {
	if name.MatchString(text) {
		return nil
	}
	return wire.BadRequest(fmt.Sprintf("%s name was %s but must be a-z, A-Z, 0-9, or contain underscores and dashes, with a maximum length of 64.", kind, wire.Short(text)), "3000")
}

// missing refuses other inputs while results or confirmations are missing.
func (c *calls) missing() *wire.Failure {
	ids := c.are(open, pending)
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
