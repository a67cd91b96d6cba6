package coverage_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// checkDecoded checks that a value contains all data of its JSON, without unknown types.
func (s *env) checkDecoded(received []byte, value any) {
	s.Helper()
	if dump := fmt.Sprintf("%#v", value); strings.Contains(dump, "generated.Unknown") {
		s.Errorf("value has an unknown type: %s", dump)
	}
	var want any
	if err := json.Unmarshal(received, &want); err != nil {
		s.Fatal(err)
	}
	if got := fieldsJSON(reflect.ValueOf(value)); !reflect.DeepEqual(prune(got), prune(want)) {
		s.Errorf("the client decoded %s to %v", received, got)
	}
}

// fieldsJSON returns the JSON value of a value's fields. MarshalJSON is not enough: a decoded
// union encodes to its original JSON, even if its type does not have all the fields.
func fieldsJSON(v reflect.Value) any {
	if v.Kind() == reflect.Interface || v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil
		}
		return fieldsJSON(v.Elem())
	}
	switch x := v.Interface().(type) {
	case generated.Entry:
		return fieldsJSON(reflect.ValueOf(x.Value()))
	case generated.ContentChunk:
		return fieldsJSON(reflect.ValueOf(x.Value()))
	case generated.Tool:
		return fieldsJSON(reflect.ValueOf(x.Value()))
	case generated.ConnectorAuth:
		if x.IsZero() {
			return nil
		}
		return fieldsJSON(reflect.ValueOf(x.Value()))
	case generated.MessageContent:
		if text, ok := x.PlainText(); ok {
			return text
		}
		list := fieldsJSON(reflect.ValueOf(x.Chunks()))
		if chunks, _ := list.([]any); strings.HasPrefix(encode(x), "{") {
			return chunks[0]
		}
		return list
	case generated.Timestamp:
		if x.IsZero() {
			return nil
		}
		return roundTrip(x)
	case json.Marshaler:
		if v.Kind() != reflect.Struct { // A struct is encoded field by field below.
			return roundTrip(x)
		}
	}
	switch v.Kind() {
	case reflect.Struct:
		object := map[string]any{}
		for i := range v.NumField() {
			if !v.Type().Field(i).IsExported() {
				continue
			}
			name, _, _ := strings.Cut(v.Type().Field(i).Tag.Get("json"), ",")
			object[name] = fieldsJSON(v.Field(i))
		}
		delete(object, "-")
		return object
	case reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = fieldsJSON(v.Index(i))
		}
		return list
	default:
		return roundTrip(v.Interface())
	}
}

// encode returns a value as JSON. It panics on error: decoded values always encode.
func encode(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func roundTrip(value any) any {
	var plain any
	if err := json.Unmarshal([]byte(encode(value)), &plain); err != nil {
		panic(err)
	}
	return plain
}

// prune removes null and zero properties, because the Go types do not distinguish them from
// missing ones.
func prune(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for name, inner := range v {
			if v[name] = prune(inner); isZero(v[name]) {
				delete(v, name)
			}
		}
	case []any:
		for i := range v {
			v[i] = prune(v[i])
		}
	}
	return value
}

func isZero(value any) bool {
	if value == nil {
		return true
	}
	v := reflect.ValueOf(value)
	return v.IsZero() || (v.Kind() == reflect.Map || v.Kind() == reflect.Slice) && v.Len() == 0
}

// summary returns the parts of a response that do not change if the call is repeated.
func summary(response *generated.ConversationResponse) string {
	outputs := stable(prune(fieldsJSON(reflect.ValueOf(response.Outputs))))
	return fmt.Sprintf("%s %d tokens, stored: %t", encode(outputs), response.Usage.TotalTokens, response.ConversationID != "")
}

// stable removes the parts of a JSON value that differ between calls. It replaces a single
// text chunk by its text, because a stream sends both in the same form.
func stable(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for _, name := range []string{"id", "object", "created_at", "completed_at", "tool_call_id", "file_id"} {
			delete(v, name)
		}
		for name, inner := range v {
			v[name] = stable(inner)
		}
		if list, _ := v["content"].([]any); len(list) == 1 {
			if chunk, _ := list[0].(map[string]any); chunk["type"] == "text" {
				v["content"] = chunk["text"]
			}
		}
	case []any:
		for i := range v {
			v[i] = stable(v[i])
		}
	}
	return value
}
