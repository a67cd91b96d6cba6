package state

import (
	"cmp"
	"encoding/json"
	"reflect"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// Inputs returns the entries that a call adds, without ids and times.
func Inputs(in generated.ConversationInputs) []generated.Entry {
	if text, ok := in.Text(); ok {
		return []generated.Entry{generated.NewEntry(generated.MessageInputEntry{
			Role: generated.MessageRoleUser, Content: generated.NewTextContent(text),
		})}
	}
	entries := make([]generated.Entry, len(in.Entries()))
	for i, entry := range in.Entries() {
		entries[i] = typed(entry)
	}
	return entries
}

// StampAll stamps each of the entries, in place, and returns them.
func (a Author) StampAll(entries []generated.Entry) []generated.Entry {
	for i, entry := range entries {
		entries[i] = a.Stamp(entry)
	}
	return entries
}

// typed sets the type of a message without one, which the document allows. A message with
// a role is an input. Other entries without a type are decoded by their properties.
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

// Author is the model that creates entries. Agent and Name are the id and the name of its
// agent, or "".
type Author struct{ Model, Agent, Name string }

// prefixes maps the types of entries to the prefixes of their ids.
var prefixes = map[reflect.Type]string{
	reflect.TypeFor[generated.MessageInputEntry]():   wire.MessageID,
	reflect.TypeFor[generated.MessageOutputEntry]():  wire.MessageID,
	reflect.TypeFor[generated.FunctionCallEntry]():   wire.FunctionCallID,
	reflect.TypeFor[generated.FunctionResultEntry](): wire.FunctionResultID,
	reflect.TypeFor[generated.ToolExecutionEntry]():  wire.ToolExecutionID,
	reflect.TypeFor[generated.AgentHandoffEntry]():   wire.HandoffID,
}

// Stamp sets the fields of an entry that the service adds and that are not set: the id, the
// times and the author.
func (a Author) Stamp(entry generated.Entry) generated.Entry {
	value := entry.Value()
	switch v := value.(type) {
	case generated.MessageOutputEntry:
		v.Role = cmp.Or(v.Role, generated.MessageRoleAssistant)
		if v.Content.IsZero() {
			v.Content = generated.NewTextContent("")
		}
		value = v
	case generated.FunctionCallEntry:
		v.ToolCallID = cmp.Or(v.ToolCallID, wire.NewToolCallID())
		value = v
	case generated.AgentHandoffEntry:
		if v.PreviousAgentID == "" {
			v.PreviousAgentID, v.PreviousAgentName = a.Agent, a.Name
		}
		value = v
	}
	now := wire.Now()
	return edited(generated.NewEntry(value), func(field reflect.Value, name string) any {
		_, call := value.(generated.FunctionCallEntry)
		if !field.IsZero() || call && name == "CompletedAt" {
			return nil
		}
		return map[string]any{
			"ID": wire.NewID(prefixes[reflect.TypeOf(value)]), "Object": "entry", "CreatedAt": now, "CompletedAt": now,
			"Model": a.Model, "AgentID": a.Agent,
		}[name]
	})
}

// Completed returns an output with its times. An interrupted output, and a function call, do
// not have an end time. whole reports whether the output is complete.
func Completed(entry generated.Entry, created generated.Timestamp, whole bool) generated.Entry {
	var completed generated.Timestamp
	if _, call := entry.Value().(generated.FunctionCallEntry); whole && !call {
		completed = wire.Now()
	}
	return edited(entry, func(_ reflect.Value, name string) any {
		return map[string]any{"CreatedAt": created, "CompletedAt": completed}[name]
	})
}

// edited returns an entry with the field values that edit returns. nil keeps the value. It
// returns an entry of an unknown type unchanged.
func edited(entry generated.Entry, edit func(field reflect.Value, name string) any) generated.Entry {
	value := reflect.ValueOf(entry.Value())
	if _, ok := prefixes[reflect.TypeOf(entry.Value())]; !ok {
		return entry
	}
	v := reflect.New(value.Type()).Elem()
	v.Set(value)
	for i := range v.NumField() {
		if value := edit(v.Field(i), v.Type().Field(i).Name); value != nil {
			v.Field(i).Set(reflect.ValueOf(value))
		}
	}
	if call, ok := v.Interface().(generated.FunctionCallEntry); ok {
		return callEntry(call)
	}
	return generated.NewEntry(v.Interface().(generated.EntryVariant)) //nolint:forcetypeassert // v has the type of the entry.
}

// callEntry returns a call as an entry. A call without an end time has completed_at null, as
// in the real API. The generated type would omit it.
func callEntry(call generated.FunctionCallEntry) generated.Entry {
	entry := generated.NewEntry(call)
	if !call.CompletedAt.IsZero() {
		return entry
	}
	text := wire.Encode(entry)
	var withNull generated.Entry // an Entry keeps the JSON text that it is decoded from
	if err := json.Unmarshal(append(text[:len(text)-1], `,"completed_at":null}`...), &withNull); err != nil {
		return entry
	}
	return withNull
}

// idOf returns the id of an entry, or "" for an entry of an unknown type.
func idOf(entry generated.Entry) string {
	v := reflect.ValueOf(entry.Value())
	if _, ok := prefixes[reflect.TypeOf(entry.Value())]; !ok {
		return ""
	}
	return v.FieldByName("ID").String()
}
