package wire

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// Encode encodes JSON in the form of the real API: in one line, with <, > and & unescaped.
// It panics if the value cannot be encoded. Package engine rejects such values in a model's
// reply.
func Encode(value any) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(value); err != nil {
		panic(fmt.Errorf("emulator: cannot encode response: %w", err))
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// object returns the members of value as a JSON object. It adds the members in zeros, which
// the generated types omit if they are 0.
func object(value any, zeros ...string) map[string]any {
	var raw map[string]json.RawMessage
	_ = json.Unmarshal(Encode(value), &raw) // Encode returns an object for a struct.
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

// Response returns the content of a conversation response, with all token counts.
func Response(response generated.ConversationResponse) any {
	members := object(response)
	members["usage"] = usage(response.Usage)
	return members
}

func usage(info generated.ConversationUsageInfo) any {
	return object(info, "prompt_tokens", "completion_tokens", "total_tokens")
}

// Event returns the name and the data of an event. The data includes the type, the time and
// the indices.
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

// WithoutDuplicates returns text without duplicate names in its objects. It keeps the last
// member of each name. If it removes members, it sorts all members by name.
func WithoutDuplicates(text []byte) []byte {
	if hasDuplicates(json.NewDecoder(bytes.NewReader(text))) {
		return Rewrite(text, func(value any) any { return value })
	}
	return text
}

// hasDuplicates reads one value, and reports whether an object in it has duplicate names.
func hasDuplicates(decoder *json.Decoder) bool {
	token, _ := decoder.Token() // The text is valid JSON.
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

// Rewrite decodes data, changes the value and encodes it again. It keeps the digits of
// numbers. If data is not JSON, it returns data unchanged.
func Rewrite(data []byte, change func(any) any) []byte {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return data
	}
	return Encode(change(value))
}
