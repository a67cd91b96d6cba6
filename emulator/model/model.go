// Package model has what takes the place of a language model in the emulator: the prompt
// that a model gets, the reply that it returns, the built-in model and scripts. Package
// emulator has the same names.
package model

import (
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// Prompt is all that a model reads. It shares values with the emulator, such as entries and
// tools: a model must not modify them.
type Prompt struct {
	// Conversation is the id of the conversation.
	Conversation string
	// Turn is the number of the request in the conversation, from 1.
	Turn int
	// Model is the name of the model; Agent and AgentName are the id and the name of the agent,
	// "" without one.
	Model, Agent, AgentName string
	// Instructions, Tools and Args are those of the request, on top of those of the
	// conversation, on top of those of the agent.
	Instructions string
	Tools        []generated.Tool
	Args         generated.CompletionArgs
	// Handoffs are the agents to which it may hand the conversation over, by returning
	// an entry that says so as its last.
	Handoffs []generated.Agent
	// Confirmations are the answers to tool calls that came with the call; those calls
	// are marked in History.
	Confirmations []generated.ToolCallConfirmation
	// History is what the conversation held before the call; Inputs what the call adds.
	History, Inputs []generated.Entry
}

// mustUseTool reports whether the call says that a tool is to be used in any case.
func (p Prompt) mustUseTool() bool {
	return p.Args.ToolChoice == generated.ToolChoiceEnumAny || p.Args.ToolChoice == generated.ToolChoiceEnumRequired
}

// Text returns the text of the last message of the user; "" without one.
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

// Reply is what a model makes of a prompt. The emulator fills in what is unset of the
// entries (id, times, model, agent), cuts messages by max_tokens and stop, and counts
// the usage. A reply that no service could send, such as one with an input among its entries
// or a status of 99, fails the call with status 500 and the reason.
type Reply struct {
	// Text is a message, added to Entries; "" adds none, unless Entries is empty.
	Text string
	// Entries are the outputs: messages, tool executions, function calls, handoffs.
	Entries []generated.Entry
	// Usage, when set, is reported and charged in place of what was counted.
	Usage *generated.ConversationUsageInfo
	// Pace, when set, is the time between two deltas, in place of the emulator's.
	Pace time.Duration
	// Err makes the call fail: an [*Error] as it says, any other with status 500. A
	// stream sends text and entries first, and then the error as its last event; without
	// any it fails as a plain call does. What fails before an output is charged nothing.
	Err error
}

// Outputs returns the entries of a reply, with its text as the last.
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

// Error is a failure of a model that has a form of its own on the wire.
type Error struct {
	// Status is that of the reply.
	Status int
	// Header is added to that of the reply, such as a Content-Type.
	Header http.Header
	// Message is what the service's usual error object says; Body, when set, is sent
	// instead of that object, as it is.
	Message, Body string
}

// Error returns the status and the message.
func (e *Error) Error() string { return fmt.Sprintf("%d: %s", e.Status, e.Message) }
