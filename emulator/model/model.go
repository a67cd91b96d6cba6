// Package model defines the models that the emulator runs instead of a language model:
// the prompt, the reply, the built-in model and scripts. Package emulator re-exports the
// names.
package model

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// Prompt is the input of a model. It shares values with the emulator, such as entries and
// tools; a model must not modify them.
type Prompt struct {
	// Conversation is the id of the conversation.
	Conversation string
	// Turn is the number of the request in the conversation, from 1.
	Turn int
	// Model is the name of the model. Agent and AgentName are the id and the name of the
	// agent, or "" without an agent.
	Model, Agent, AgentName string
	// Instructions, Tools and Args are the effective settings. Those of the request override
	// those of the conversation, which override those of the agent.
	Instructions string
	Tools        []generated.Tool
	Args         generated.CompletionArgs
	// Handoffs lists the agents to which the current agent may hand off. To hand off, the
	// last entry of the reply must be an AgentHandoffEntry.
	Handoffs []generated.Agent
	// Confirmations lists the tool call confirmations of the request. History already
	// contains their statuses.
	Confirmations []generated.ToolCallConfirmation
	// History is the entries of the conversation before the call, and Inputs the entries
	// that the call adds.
	History, Inputs []generated.Entry
}

// mustUseTool reports whether the tool_choice requires a tool call.
func (p Prompt) mustUseTool() bool {
	return p.Args.ToolChoice == generated.ToolChoiceEnumAny || p.Args.ToolChoice == generated.ToolChoiceEnumRequired
}

// Text returns the text of the user's last message, or "" without a message.
func (p Prompt) Text() string {
	for _, list := range [][]generated.Entry{p.Inputs, p.History} {
		for _, entry := range slices.Backward(list) {
			if m, ok := entry.Value().(generated.MessageInputEntry); ok && m.Role != generated.MessageRoleAssistant {
				return m.Content.Text()
			}
		}
	}
	return ""
}

// Reply is the output of a model for a prompt. The emulator sets the unset fields of the
// entries (id, times, model, agent), truncates messages according to max_tokens and stop,
// and counts the usage. An invalid reply, such as one with an input among its entries or a
// status of 99, fails the call with status 500 and the reason.
type Reply struct {
	// Text is the text of a message that follows Entries. "" adds a message only if Entries
	// is empty and Err is nil.
	Text string
	// Entries lists the outputs: messages, tool executions, function calls, handoffs.
	Entries []generated.Entry
	// Usage, if set, replaces the counted usage in the response and for the rate limits.
	Usage *generated.ConversationUsageInfo
	// Pace, if set, replaces the emulator's time between two deltas.
	Pace time.Duration
	// Err fails the call. An [*Error] defines the response; other errors have status 500. A
	// stream first sends the text and the entries, and then the error as its last event.
	// Without text and entries it fails like a plain call. A call that fails before the first
	// output is not charged.
	Err error
}

// Outputs returns the entries of a reply, with the message of its text as the last.
func (r Reply) Outputs() []generated.Entry {
	outputs := slices.Clone(r.Entries)
	if r.Text != "" || len(outputs) == 0 && r.Err == nil {
		outputs = append(outputs, message(generated.NewTextContent(r.Text)))
	}
	return outputs
}

func message(content generated.MessageContent) generated.Entry {
	return generated.NewEntry(generated.MessageOutputEntry{Content: content})
}

// Error is a failure of a model with a specific HTTP response.
type Error struct {
	// Status is the status of the response.
	Status int
	// Header is a set of additional header fields, such as a Content-Type.
	Header http.Header
	// Message is the message in the API's usual error object. Body, if set, replaces the
	// whole object and is sent unchanged.
	Message, Body string
}

// Error returns the status and the message.
func (e *Error) Error() string { return fmt.Sprintf("%d: %s", e.Status, e.Message) }
