package schema

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"unicode/utf8"
)

// A Value is a JSON value. It keeps the order of an object's members and the text of numbers.
type Value struct {
	kind       byte     // '{', '[', '"', '0', 't' for booleans, 'n'
	text       string   // of a number or boolean, or a string decoded
	names      []string // of an object's members, also if one occurs twice
	items      []Value  // an object's or an array's
	start, end int      // in the parsed text
}

// A ParseError reports text that is not one JSON value.
type ParseError struct {
	// Truncated reports whether the text ends inside a value.
	Truncated bool
	// Followed reports whether a whole object came first, and then something else.
	Followed bool
	// Empty reports whether there is nothing but white space.
	Empty bool

	offset int64
}

// Error says what is wrong in words for a model: it has none of Go's.
func (e *ParseError) Error() string {
	switch {
	case e.Empty:
		return "must be a JSON value, got nothing"
	case e.Truncated:
		return "must be a whole JSON value, but the text ends inside it"
	case e.Followed:
		return "must be one JSON value, but something follows it"
	}
	return fmt.Sprintf("must be JSON, but the text is not, near offset %d", e.offset)
}

// Parse reads text that is one JSON value, at most 10,000 levels deep. The error is a
// [*ParseError].
func Parse(text []byte) (Value, error) {
	var raw json.RawMessage
	decoder := json.NewDecoder(bytes.NewReader(text))
	if err := decoder.Decode(&raw); err != nil {
		failure := &ParseError{Empty: err == io.EOF, Truncated: err == io.ErrUnexpectedEOF}
		if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
			failure.offset = syntax.Offset
		}
		return Value{}, failure
	}
	if len(bytes.TrimSpace(text[decoder.InputOffset():])) > 0 {
		return Value{}, &ParseError{Followed: raw[0] == '{', offset: decoder.InputOffset()}
	}
	p := parser{json.NewDecoder(bytes.NewReader(text))}
	p.UseNumber()
	return p.value(), nil
}

// A parser reads tokens of text that is known to be JSON.
type parser struct{ *json.Decoder }

func (p parser) value() Value {
	token, err := p.Token()
	if err != nil {
		panic(err) // the text is JSON
	}
	return p.valueOf(token)
}

func (p parser) valueOf(token json.Token) Value {
	v := Value{end: int(p.InputOffset())}
	switch t := token.(type) {
	case json.Delim:
		v.kind, v.start = byte(t), v.end-1
		for p.More() {
			if v.kind == '{' {
				v.names = append(v.names, p.value().text)
			}
			v.items = append(v.items, p.value())
		}
		_, _ = p.Token() // the end of it, which is there
		v.end = int(p.InputOffset())
	case string:
		v.kind, v.text = '"', t
	case json.Number:
		v.kind, v.text, v.start = '0', string(t), v.end-len(t)
	case bool:
		v.kind, v.text = 't', fmt.Sprint(t)
	default:
		v.kind, v.text = 'n', "null"
	}
	return v
}

// Kind returns '{', '[', '"', '0' for numbers, 't' for booleans or 'n' for null.
func (v Value) Kind() byte { return v.kind }

// member returns the last member of a name.
func (v Value) member(name string) (Value, bool) {
	for i := len(v.names) - 1; i >= 0; i-- {
		if v.names[i] == name {
			return v.items[i], true
		}
	}
	return Value{}, false
}

// typeName returns the type as JSON Schema calls it; "integer" for a number that is one.
func (v Value) typeName() string {
	switch v.kind {
	case '{':
		return "object"
	case '[':
		return "array"
	case '"':
		return "string"
	case 't':
		return "boolean"
	case 'n':
		return "null"
	}
	if _, ok := wholeNumber(v.text); ok {
		return "integer"
	}
	return "number"
}

// shown returns the value, or its kind, for a finding.
func (v Value) shown() string {
	const most = 60
	switch v.kind {
	case '{':
		return "an object"
	case '[':
		return fmt.Sprintf("an array of %d items", len(v.items))
	case '"':
		if len(v.text) > most {
			return string(encoded(cut(v.text, most) + "…"))
		}
		return string(encoded(v.text))
	}
	return cut(v.text, most)
}

// equal reports whether two values are the same: numbers by value, objects in any order.
func (v Value) equal(w Value) bool {
	if v.kind != w.kind || len(v.items) != len(w.items) {
		return false
	}
	switch v.kind {
	case '0':
		return canonical(v.text) == canonical(w.text)
	case '{':
		for _, name := range v.names {
			a, _ := v.member(name)
			if b, ok := w.member(name); !ok || !a.equal(b) {
				return false
			}
		}
		return true
	case '[':
		for i := range v.items {
			if !v.items[i].equal(w.items[i]) {
				return false
			}
		}
		return true
	}
	return v.text == w.text
}

// encoded is json.Marshal without escapes for HTML. The value must be one that JSON has.
func encoded(v any) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// cut returns the beginning of a text, at most most bytes of whole characters.
func cut(text string, most int) string {
	if len(text) <= most {
		return text
	}
	for most > 0 && !utf8.RuneStart(text[most]) {
		most--
	}
	return text[:most]
}

// pointer adds a name or index to a JSON pointer.
func pointer(at, name string) string {
	return at + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}
