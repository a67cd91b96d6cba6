package coverage_test

import (
	"encoding/json"
	"fmt"
	"reflect"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// kept checks that a value has all that its JSON had, in types that are known.
func (s *stage) kept(came []byte, value any) {
	s.Helper()
	if dump := fmt.Sprintf("%#v", value); strings.Contains(dump, "generated.Unknown") {
		s.Errorf("not understood: %s", dump)
	}
	var want any
	if err := json.Unmarshal(came, &want); err != nil {
		s.Fatal(err)
	}
	if have := bare(reflect.ValueOf(value)); !reflect.DeepEqual(prune(have), prune(want)) {
		s.Errorf("of %s the client has kept %v", came, have)
	}
}

// bare is the JSON value of what is in the fields of a value. Its own MarshalJSON does
// not tell: a union that was decoded is written as it came, understood or not.
func bare(v reflect.Value) any {
	if v.Kind() == reflect.Interface || v.Kind() == reflect.Pointer {
		if v.IsNil() {
			return nil
		}
		return bare(v.Elem())
	}
	switch x := v.Interface().(type) {
	case generated.Entry:
		return bare(reflect.ValueOf(x.Value()))
	case generated.ContentChunk:
		return bare(reflect.ValueOf(x.Value()))
	case generated.Tool:
		return bare(reflect.ValueOf(x.Value()))
	case generated.ConnectorAuth:
		if x.IsZero() {
			return nil
		}
		return bare(reflect.ValueOf(x.Value()))
	case generated.MessageContent:
		if text, ok := x.PlainText(); ok {
			return text
		}
		list := bare(reflect.ValueOf(x.Chunks()))
		if chunks, _ := list.([]any); strings.HasPrefix(written(x), "{") {
			return chunks[0]
		}
		return list
	case generated.Timestamp:
		if x.IsZero() {
			return nil
		}
		return reread(x)
	case json.Marshaler:
		if v.Kind() != reflect.Struct { // those are written as their fields are
			return reread(x)
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
			object[name] = bare(v.Field(i))
		}
		delete(object, "-")
		return object
	case reflect.Slice:
		list := make([]any, v.Len())
		for i := range list {
			list[i] = bare(v.Index(i))
		}
		return list
	default:
		return reread(v.Interface())
	}
}

// written is a value as JSON; what comes from a reply always has that form.
func written(value any) string {
	text, err := json.Marshal(value)
	if err != nil {
		panic(err)
	}
	return string(text)
}

func reread(value any) any {
	var plain any
	if err := json.Unmarshal([]byte(written(value)), &plain); err != nil {
		panic(err)
	}
	return plain
}

// prune takes away properties that say no more than their absence: what is unset has
// the zero value in Go.
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

// essence is what a reply has in common with that of the same call, made again.
func essence(response *generated.ConversationResponse) string {
	outputs := essential(prune(bare(reflect.ValueOf(response.Outputs))))
	return fmt.Sprintf("%s %d tokens, stored: %t", written(outputs), response.Usage.TotalTokens, response.ConversationID != "")
}

// essential is a JSON value without what is new in each call. A single text chunk is its
// text, which a stream does not tell from it.
func essential(value any) any {
	switch v := value.(type) {
	case map[string]any:
		for _, name := range []string{"id", "object", "created_at", "completed_at", "tool_call_id", "file_id"} {
			delete(v, name)
		}
		for name, inner := range v {
			v[name] = essential(inner)
		}
		if list, _ := v["content"].([]any); len(list) == 1 {
			if chunk, _ := list[0].(map[string]any); chunk["type"] == "text" {
				v["content"] = chunk["text"]
			}
		}
	case []any:
		for i := range v {
			v[i] = essential(v[i])
		}
	}
	return value
}
