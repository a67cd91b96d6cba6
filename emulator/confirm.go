package emulator

import (
	"slices"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// confirm returns the entries with the calls that were confirmed marked so. It
// refuses a confirmation of what does not wait for one.
func confirm(entries []generated.Entry, confirmations []generated.ToolCallConfirmation) ([]generated.Entry, *failure) {
	if len(confirmations) == 0 {
		return entries, nil
	}
	entries = slices.Clone(entries)
	for i, c := range confirmations {
		at := slices.IndexFunc(entries, func(entry generated.Entry) bool {
			call, ok := entry.Value().(generated.FunctionCallEntry)
			return ok && call.ToolCallID == c.ToolCallID && call.ConfirmationStatus == generated.ConfirmationStatusPending
		})
		if at < 0 {
			return nil, valueError("no call of that tool_call_id waits for a confirmation", "body", "tool_confirmations", i, "tool_call_id")
		}
		call, _ := entries[at].Value().(generated.FunctionCallEntry)
		call.ConfirmationStatus = generated.ConfirmationStatusAllowed
		if c.Confirmation == generated.ToolConfirmationDeny {
			call.ConfirmationStatus = generated.ConfirmationStatusDenied
		}
		entries[at] = generated.NewEntry(call)
	}
	return entries, nil
}
