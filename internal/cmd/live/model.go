package main

import (
	"context"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// emulatedModel is the emulator's model for the questions: it makes the expected calls, and otherwise
// behaves like the default model.
func emulatedModel(ctx context.Context, p emulator.Prompt) emulator.Reply {
	call := func(name string, status generated.ConfirmationStatus) generated.Entry {
		return generated.NewEntry(generated.FunctionCallEntry{Name: name, Arguments: `{"city":"Paris"}`, ConfirmationStatus: status})
	}
	switch text := p.Text(); {
	case p.Turn > 1 || len(p.History) > 0:
	case strings.Contains(text, "both functions at once"):
		return emulator.Reply{Entries: []generated.Entry{call("weather", ""), call("time", "")}}
	case strings.Contains(text, "Search the web") && strings.Contains(text, "at once"):
		return emulator.Reply{Entries: []generated.Entry{call("web_search", generated.ConfirmationStatusPending), call("weather", "")}}
	case strings.HasPrefix(text, "hand over") && len(p.Handoffs) > 0:
		return emulator.Reply{Entries: []generated.Entry{generated.NewEntry(generated.AgentHandoffEntry{NextAgentID: p.Handoffs[0].ID, NextAgentName: p.Handoffs[0].Name})}}
	}
	return emulator.DefaultModel(ctx, p)
}
