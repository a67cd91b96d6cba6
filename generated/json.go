package generated

import (
	"bytes"
	"cmp"
	"encoding"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
)

// JSON is a free-form value such as metadata, a JSON Schema or the info of a tool execution.
// Nil and empty text mean unset.
//
// In a request, a string, a []byte or a [json.RawMessage] is JSON text and is sent unchanged.
// Any other value is sent as [json.Marshal] encodes it:
//
//	f := generated.Function{Name: "weather", Parameters: `{"type": "object", "properties": {"city": {"type": "string"}}}`}
//
// In a response, the value is a [JSONText], which holds the received text. Sending the JSONText
// back preserves all digits and the order of properties. [DecodeJSON] decodes it.
//
//openapi:holds JSON string integer number boolean array object
type JSON = any

// JSONText is JSON text that is encoded unchanged. Empty text is encoded as null.
type JSONText string

// MarshalJSON returns the text.
func (t JSONText) MarshalJSON() ([]byte, error) { return []byte(cmp.Or(t, "null")), nil }

// UnmarshalJSON stores a copy of data.
func (t *JSONText) UnmarshalJSON(data []byte) error {
	*t = JSONText(data)
	return nil
}

// DecodeJSON decodes a free-form value into *target, as [json.Unmarshal] does: numbers in a
// map[string]any become float64 and lose digits beyond 2^53. An unset value leaves target
// unchanged.
func DecodeJSON(value JSON, target any) error {
	if IsUnset(value) {
		return nil
	}
	text, err := EncodeJSON(value)
	if err != nil {
		return err
	}
	return json.Unmarshal(text, target)
}

// EncodeJSON returns the text that is sent for a free-form value; nil if the value is unset. It
// returns an error if the value is text that is not JSON, or if [json.Marshal] cannot encode the
// value.
func EncodeJSON(value JSON) (json.RawMessage, error) {
	if IsUnset(value) {
		return nil, nil
	}
	text, isText := textOf(value)
	switch {
	case !isText:
		return encodeJSON(value)
	case !json.Valid(text):
		return nil, fmt.Errorf("%w: %w", errNotJSON, json.Unmarshal(text, new(json.RawMessage)))
	}
	return bytes.ToValidUTF8(text, []byte("\ufffd")), nil // like encoding/json
}

var errNotJSON = errors.New("the text is not JSON")

// textOf returns the JSON text of a free-form value if the value is a string or bytes.
func textOf(value JSON) (text []byte, ok bool) {
	switch v := value.(type) {
	case json.RawMessage:
		return v, true
	case JSONText:
		return []byte(v), true
	case json.Marshaler, encoding.TextMarshaler:
		return nil, false
	}
	switch v := reflect.ValueOf(value); {
	case v.Kind() == reflect.String:
		return []byte(v.String()), true
	case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Uint8:
		return v.Bytes(), true
	}
	return nil, false
}

// IsUnset reports whether a free-form value is unset and therefore not sent. Unset values are
// nil, nil maps, nil pointers, nil slices and empty text.
func IsUnset(value JSON) bool { return isUnset(reflect.ValueOf(&value).Elem()) }

// isUnset is like IsUnset, for a field of type JSON.
func isUnset(src reflect.Value) bool {
	if src.IsNil() {
		return true
	}
	v := src.Elem()
	for v.Kind() == reflect.Pointer && !v.IsNil() {
		v = v.Elem()
	}
	switch v.Kind() {
	case reflect.Pointer, reflect.Map:
		return v.IsNil()
	case reflect.String:
		return v.Len() == 0
	case reflect.Slice:
		return v.IsNil() || v.Len() == 0 && v.Type().Elem().Kind() == reflect.Uint8
	default:
		return false
	}
}
