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
		if !mark(entries, c) {
			return nil, valueError("no call of that tool_call_id waits for a confirmation", "body", "tool_confirmations", i, "tool_call_id")
		}
	}
	return entries, nil
}

// mark notes a confirmation in the call that it is for; false if none waits for it.
func mark(entries []generated.Entry, c generated.ToolCallConfirmation) bool {
	for i, entry := range entries {
		call, ok := entry.Value().(generated.FunctionCallEntry)
		if !ok || call.ToolCallID != c.ToolCallID || call.ConfirmationStatus != generated.ConfirmationStatusPending {
			continue
		}
		call.ConfirmationStatus = generated.ConfirmationStatusAllowed
		if c.Confirmation == generated.ToolConfirmationDeny {
			call.ConfirmationStatus = generated.ConfirmationStatusDenied
		}
		entries[i] = generated.NewEntry(call)
		return true
	}
	return false
}
