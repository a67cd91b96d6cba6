package emulator

import (
	"encoding/json"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

const entryObject = "entry"

// inputEntries returns the entries that a call adds.
func inputEntries(in generated.ConversationInputs, from author) []generated.Entry {
	if text, ok := in.Text(); ok {
		return []generated.Entry{from.stamp(generated.NewEntry(generated.MessageInputEntry{
			Role: generated.MessageRoleUser, Content: generated.NewTextContent(text),
		}))}
	}
	entries := make([]generated.Entry, len(in.Entries()))
	for i, entry := range in.Entries() {
		entries[i] = from.stamp(typed(entry))
	}
	return entries
}

// typed gives a message without a `type`, which the document allows, its type: with a
// role it is an input. The properties of other entries tell theirs.
func typed(entry generated.Entry) generated.Entry {
	unknown, ok := entry.Value().(generated.UnknownEntry)
	if !ok || unknown.Type != "" {
		return entry
	}
	var input generated.MessageInputEntry
	var output generated.MessageOutputEntry
	switch {
	case json.Unmarshal(unknown.Raw, &input) == nil && input.Role != "":
		return generated.NewEntry(input)
	case json.Unmarshal(unknown.Raw, &output) == nil:
		return generated.NewEntry(output)
	}
	return entry
}

// author is who entries are from: a model, and an agent and its name if there is one.
type author struct{ model, agent, name string }

// stamp fills in what the service adds to an entry: its id, the times, and who it is
// from. What is set stays.
func (a author) stamp(entry generated.Entry) generated.Entry {
	now := timestamp()
	switch v := entry.Value().(type) {
	case generated.MessageInputEntry:
		fill(&v.Object, &v.ID, messageID, &v.CreatedAt, &v.CompletedAt, now)
		return generated.NewEntry(v)
	case generated.MessageOutputEntry:
		fill(&v.Object, &v.ID, messageID, &v.CreatedAt, &v.CompletedAt, now)
		a.sign(&v.Model, &v.AgentID)
		if v.Role == "" {
			v.Role = generated.MessageRoleAssistant
		}
		if v.Content.IsZero() {
			v.Content = generated.NewTextContent("")
		}
		return generated.NewEntry(v)
	case generated.FunctionCallEntry:
		fill(&v.Object, &v.ID, functionID, &v.CreatedAt, &v.CompletedAt, now)
		a.sign(&v.Model, &v.AgentID)
		if v.ToolCallID == "" {
			v.ToolCallID = newID(toolCallID)
		}
		return generated.NewEntry(v)
	case generated.FunctionResultEntry:
		fill(&v.Object, &v.ID, resultID, &v.CreatedAt, &v.CompletedAt, now)
		return generated.NewEntry(v)
	case generated.ToolExecutionEntry:
		fill(&v.Object, &v.ID, toolExecutionID, &v.CreatedAt, &v.CompletedAt, now)
		a.sign(&v.Model, &v.AgentID)
		return generated.NewEntry(v)
	case generated.AgentHandoffEntry:
		fill(&v.Object, &v.ID, handoffID, &v.CreatedAt, &v.CompletedAt, now)
		if v.PreviousAgentID == "" {
			v.PreviousAgentID, v.PreviousAgentName = a.agent, a.name
		}
		return generated.NewEntry(v)
	default:
		return entry
	}
}

func fill(object, id *string, prefix string, created, completed *generated.Timestamp, now generated.Timestamp) {
	*object = entryObject
	if *id == "" {
		*id = newID(prefix)
	}
	if created.IsZero() {
		*created = now
	}
	if completed.IsZero() {
		*completed = now
	}
}

func (a author) sign(model, agent *string) {
	if *model == "" {
		*model = a.model
	}
	if *agent == "" {
		*agent = a.agent
	}
}

// idOf returns the id of an entry; "" for one of an unknown type.
func idOf(entry generated.Entry) string {
	switch v := entry.Value().(type) {
	case generated.MessageInputEntry:
		return v.ID
	case generated.MessageOutputEntry:
		return v.ID
	case generated.FunctionCallEntry:
		return v.ID
	case generated.FunctionResultEntry:
		return v.ID
	case generated.ToolExecutionEntry:
		return v.ID
	case generated.AgentHandoffEntry:
		return v.ID
	default:
		return ""
	}
}

func isMessage(entry generated.Entry) bool {
	switch entry.Value().(type) {
	case generated.MessageInputEntry, generated.MessageOutputEntry:
		return true
	default:
		return false
	}
}
