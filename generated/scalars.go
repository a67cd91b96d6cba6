package generated

import (
	"cmp"
	"reflect"
	"strconv"
	"strings"
	"time"
)

// This file and content.go hold hand-written types, which the OpenAPI document declares as a
// choice between a scalar and another type. The directive "openapi:holds" lists the JSON types
// that a Go type can hold; openapi/trim rejects a schema that allows others.

// CompletionArgsStop is the list of stop sequences.
//
//openapi:holds CompletionArgsStop string array
type CompletionArgsStop []string

// UnmarshalJSON decodes a list or a single string.
func (s *CompletionArgsStop) UnmarshalJSON(data []byte) error { return unmarshal(data, s) }

func (s *CompletionArgsStop) readJSON(v value) {
	if text, ok := v.string(); ok {
		*s = CompletionArgsStop{text}
		return
	}
	readAll(v, (*[]string)(s))
}

// FunctionCallEntryArguments is the JSON text of a function call's arguments,
// normally an object:
//
//	err := json.Unmarshal([]byte(call.Arguments), &arguments)
//
// It is "{}" for a decoded call without arguments.
//
//openapi:holds FunctionCallEntryArguments string object
type FunctionCallEntryArguments string

// UnmarshalJSON decodes a string that holds JSON text, or the object itself.
func (a *FunctionCallEntryArguments) UnmarshalJSON(data []byte) error { return unmarshal(data, a) }

// noArguments is the text of empty arguments.
const noArguments = "{}"

func (a *FunctionCallEntryArguments) readJSON(v value) {
	text, ok := v.arguments()
	if !ok {
		v.mismatch()
	}
	*a = FunctionCallEntryArguments(cmp.Or(text, noArguments))
}

func (e *FunctionCallEntry) readJSON(v value) {
	type plain FunctionCallEntry
	e.Arguments = noArguments
	v.into(reflect.ValueOf((*plain)(e)).Elem())
}

// StringOrInteger is a value that is a string or an integer in JSON. It is encoded as an
// integer if it is a decimal integer ("3"), otherwise as a string.
//
//openapi:holds StringOrInteger string integer
type StringOrInteger string

// MarshalJSON encodes an integer or a string.
func (s StringOrInteger) MarshalJSON() ([]byte, error) { return marshal(&s) }

// UnmarshalJSON decodes a string or a number.
func (s *StringOrInteger) UnmarshalJSON(data []byte) error { return unmarshal(data, s) }

func (s *StringOrInteger) writeJSON(w *output) {
	text := string(*s)
	if n, err := strconv.ParseInt(text, 10, 64); err == nil && strconv.FormatInt(n, 10) == text {
		w.raw(text)
		return
	}
	w.string(text)
}

func (s *StringOrInteger) readJSON(v value) {
	if text, ok := v.string(); ok {
		*s = StringOrInteger(text)
		return
	}
	if n, ok := v.int(); ok {
		*s = StringOrInteger(strconv.FormatInt(n, 10))
		return
	}
	v.mismatch()
}

// readJSON decodes an object or a bare URL string.
//
//openapi:holds ImageURL string object
func (u *ImageURL) readJSON(v value) {
	if url, ok := v.string(); ok {
		u.URL = url
		return
	}
	type plain ImageURL
	v.into(reflect.ValueOf((*plain)(u)).Elem())
}

// Timestamp is a time that is encoded in RFC 3339 format. Decoding also accepts a space instead
// of T, lower case, zones such as +0000, missing seconds, and a missing zone (UTC).
//
//openapi:holds Timestamp string
type Timestamp struct{ time.Time }

// UnmarshalJSON decodes a string. A value that is not a time sets the zero time.
func (t *Timestamp) UnmarshalJSON(data []byte) error { return unmarshal(data, t) }

func (t *Timestamp) writeJSON(w *output) {
	text, err := t.MarshalJSON()
	if err != nil {
		text, err = t.UTC().MarshalJSON() // RFC 3339 cannot express all zone offsets
	}
	if err != nil {
		w.fail(err)
		return
	}
	w.buf = append(w.buf, text...)
}

func (t *Timestamp) readJSON(v value) {
	text, ok := v.string()
	if ok {
		t.Time, ok = parseTime(text)
	}
	if !ok {
		v.mismatch()
	}
}

// timeLayouts are the accepted layouts of a date and time, zoneLayouts those of the zone.
var (
	timeLayouts = []string{"2006-01-02T15:04:05", "2006-01-02T15:04"} // time.Parse also accepts fractions of a second
	zoneLayouts = []string{"Z07:00", "Z0700", ""}
)

// parseTime parses a time in RFC 3339 format or one of its accepted variants.
func parseTime(text string) (t time.Time, ok bool) {
	t, err := time.Parse(time.RFC3339, text)
	if err == nil {
		return t, true
	}
	const separator = len("2006-01-02")
	if len(text) > separator && text[separator] == ' ' {
		text = text[:separator] + "T" + text[separator+1:]
	}
	text = strings.ToUpper(text)
	for _, layout := range timeLayouts {
		for _, zone := range zoneLayouts {
			if t, err := time.Parse(layout+zone, text); err == nil {
				return t, true
			}
		}
	}
	return time.Time{}, false
}

// readAll decodes a list.
func readAll[T any](v value, list *[]T) { v.into(reflect.ValueOf(list).Elem()) }

// writeAll encodes a list.
func writeAll[T any](w *output, list []T) {
	src := reflect.ValueOf(&list).Elem()
	planOf(src.Type()).writeAny(w, src)
}
