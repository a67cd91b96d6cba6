package state

import (
	"slices"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// confirm returns entries with the statuses of the confirmed calls updated. It rejects a
// confirmation of a call that is not pending.
func confirm(entries []generated.Entry, confirmations []generated.ToolCallConfirmation) ([]generated.Entry, *wire.Failure) {
	if len(confirmations) == 0 {
		return entries, nil
	}
	entries = slices.Clone(entries)
	for i, c := range confirmations {
		if !mark(entries, c) {
			return nil, wire.ValueError("must be the tool_call_id of a pending call", "body", "tool_confirmations", i, "tool_call_id")
		}
	}
	return entries, nil
}

// mark updates the status of the call that c confirms, in place. It returns false if no
// pending call has the tool_call_id.
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
