package state

import (
	"slices"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// confirm returns the entries with the confirmed calls marked. It refuses a confirmation
// of a call that does not wait for one.
func confirm(entries []generated.Entry, confirmations []generated.ToolCallConfirmation) ([]generated.Entry, *wire.Failure) {
	if len(confirmations) == 0 {
		return entries, nil
	}
	entries = slices.Clone(entries)
	for i, c := range confirmations {
		if !mark(entries, c) {
			return nil, wire.ValueError("no call of that tool_call_id waits for a confirmation", "body", "tool_confirmations", i, "tool_call_id")
		}
	}
	return entries, nil
}

// mark notes a confirmation in its call; false if no such call waits for one.
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
		entries[i] = callEntry(call)
		return true
	}
	return false
}
