package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// Encode writes JSON as the service does: in one line, with <, > and & unescaped. It
// panics for a value that JSON cannot express, which a model's reply has none of: see package
// engine.
func Encode(value any) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic(fmt.Errorf("emulator: response is not JSON: %w", err))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// object returns the members of a JSON object, with those of these names that the
// generated types omit because they are 0.
func object(value any, zeros ...string) map[string]any {
	var raw map[string]json.RawMessage
	_ = json.Unmarshal(Encode(value), &raw) // Encode returned an object.
	members := make(map[string]any, len(raw)+len(zeros))
	for name, value := range raw {
		members[name] = value
	}
	for _, name := range zeros {
		if members[name] == nil {
			members[name] = 0
		}
	}
	return members
}

// Response returns the response of a call that ran a model, with all token counts.
func Response(response generated.ConversationResponse) any {
	members := object(response)
	members["usage"] = usage(response.Usage)
	return members
}

func usage(info generated.ConversationUsageInfo) any {
	return object(info, "prompt_tokens", "completion_tokens", "total_tokens")
}

// Event returns the name and the data of an event, with its type, the time and its indices.
func Event(event any) (name generated.StreamEventType, data []byte) {
	v := reflect.ValueOf(event)
	name = eventTypes[v.Type()]
	members := object(event)
	members["type"], members["created_at"] = name, Now()
	for field, property := range map[string]string{"OutputIndex": "output_index", "ContentIndex": "content_index"} {
		if f := v.FieldByName(field); f.IsValid() && f.IsZero() {
			members[property] = 0
		}
	}
	if done, ok := event.(generated.ResponseDoneEvent); ok {
		members["usage"] = usage(done.Usage)
	}
	return name, Encode(members)
}

var eventTypes = map[reflect.Type]generated.StreamEventType{
	reflect.TypeFor[generated.ResponseStartedEvent]():      generated.StreamEventTypeConversationResponseStarted,
	reflect.TypeFor[generated.ResponseErrorEvent]():        generated.StreamEventTypeConversationResponseError,
	reflect.TypeFor[generated.ResponseDoneEvent]():         generated.StreamEventTypeConversationResponseDone,
	reflect.TypeFor[generated.MessageOutputEvent]():        generated.StreamEventTypeMessageOutputDelta,
	reflect.TypeFor[generated.FunctionCallEvent]():         generated.StreamEventTypeFunctionCallDelta,
	reflect.TypeFor[generated.ToolExecutionStartedEvent](): generated.StreamEventTypeToolExecutionStarted,
	reflect.TypeFor[generated.ToolExecutionDeltaEvent]():   generated.StreamEventTypeToolExecutionDelta,
	reflect.TypeFor[generated.ToolExecutionDoneEvent]():    generated.StreamEventTypeToolExecutionDone,
	reflect.TypeFor[generated.AgentHandoffStartedEvent]():  generated.StreamEventTypeAgentHandoffStarted,
	reflect.TypeFor[generated.AgentHandoffDoneEvent]():     generated.StreamEventTypeAgentHandoffDone,
}

// WithoutDuplicates returns JSON in whose objects each name is there once. Where one is
// there twice, in a function's schema say, the last counts; then the order of the members is
// that of the names.
func WithoutDuplicates(text []byte) []byte {
	if hasDuplicates(json.NewDecoder(bytes.NewReader(text))) {
		return Rewrite(text, func(value any) any { return value })
	}
	return text
}

// hasDuplicates reads one value.
func hasDuplicates(decoder *json.Decoder) bool {
	token, _ := decoder.Token() // The text is JSON.
	opening, _ := token.(json.Delim)
	seen := map[json.Token]bool{}
	for opening != 0 && decoder.More() {
		if opening == '{' {
			name, _ := decoder.Token()
			if seen[name] {
				return true
			}
			seen[name] = true
		}
		if hasDuplicates(decoder) {
			return true
		}
	}
	if opening != 0 {
		_, _ = decoder.Token()
	}
	return false
}

// Rewrite changes a JSON text, with its numbers as they are. It returns text that is not
// JSON unchanged.
func Rewrite(data []byte, change func(any) any) []byte {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return data
	}
	return Encode(change(value))
}
