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

// A Value is a JSON value. It preserves the order of an object's members and the text of numbers.
type Value struct {
	kind       byte     // '{', '[', '"', '0' for numbers, 't' for booleans, 'n' for null
	text       string   // the text of a number or boolean, or a decoded string
	names      []string // the names of an object's members, including duplicates
	items      []Value  // the values of an object or array
	start, end int      // the position in the parsed text
	source     string   // the parsed text, if this is the whole value
}

// A ParseError reports text that is not one JSON value.
type ParseError struct {
	// Whether the text ends inside a value.
	Truncated bool
	// Whether the text is a complete object with other text after it.
	Followed bool
	// Whether the text is only white space.
	Empty bool
	// Whether the value is nested too deeply.
	Deep bool

	offset int64
}

// Error returns a text for a model. It does not contain error texts of Go.
func (e *ParseError) Error() string {
	switch {
	case e.Empty:
		return "must be a JSON value, got an empty text"
	case e.Deep:
		return fmt.Sprintf("must be nested at most %d levels deep", maxDepth)
	case e.Truncated:
		return "must be a complete JSON value, but the text ends inside it"
	case e.Followed:
		return "must be one JSON value, but other text follows it"
	}
	return fmt.Sprintf("must be valid JSON, but is invalid near offset %d", e.offset)
}

// maxDepth bounds the nesting of values, because each level needs stack and time.
const maxDepth = 500

// Parse parses one JSON value, at most 500 levels deep. The error is a [*ParseError]. The value
// refers to a copy of the text.
func Parse(text []byte) (Value, error) {
	if isDeep(text) {
		return Value{}, &ParseError{Deep: true}
	}
	if !json.Valid(text) {
		return Value{}, parseError(text)
	}
	p := parser{text: string(text)}
	v := p.value()
	v.source = p.text
	return v, nil
}

// isDeep reports whether a JSON text nests arrays and objects too deeply.
func isDeep(text []byte) bool {
	depth, inString := 0, false
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '"':
			inString = !inString
		case c == '\\' && inString:
			i++
		case inString:
		case c == '[' || c == '{':
			if depth++; depth > maxDepth {
				return true
			}
		case c == ']' || c == '}':
			depth--
		}
	}
	return false
}

// parseError returns the error of a text that is not one JSON value.
func parseError(text []byte) error {
	var raw json.RawMessage
	decoder := json.NewDecoder(bytes.NewReader(text))
	if err := decoder.Decode(&raw); err != nil {
		failure := &ParseError{Empty: err == io.EOF, Truncated: err == io.ErrUnexpectedEOF}
		if syntax := (*json.SyntaxError)(nil); errors.As(err, &syntax) {
			failure.offset = syntax.Offset
		}
		return failure
	}
	return &ParseError{Followed: raw[0] == '{', offset: decoder.InputOffset()}
}

// A parser parses valid JSON.
type parser struct {
	text string
	at   int
}

// next skips white space and returns the next byte without consuming it.
func (p *parser) next() byte {
	for p.text[p.at] == ' ' || p.text[p.at] == '\n' || p.text[p.at] == '\t' || p.text[p.at] == '\r' {
		p.at++
	}
	return p.text[p.at]
}

func (p *parser) value() Value {
	v := Value{kind: p.next(), start: p.at}
	switch v.kind {
	case '{', '[':
		p.at++
		for p.next() != '}' && p.next() != ']' {
			if p.next() == ',' {
				p.at++
			}
			if v.kind == '{' {
				p.next()
				v.names = append(v.names, p.string())
				p.next()
				p.at++ // the colon
			}
			v.items = append(v.items, p.value())
		}
		p.at++
	case '"':
		v.text = p.string()
	default:
		end := strings.IndexAny(p.text[p.at:], " \n\t\r,]}")
		if end < 0 {
			end = len(p.text) - p.at
		}
		v.text = p.text[p.at : p.at+end]
		p.at += end
		switch v.kind {
		case 't', 'f':
			v.kind = 't'
		case 'n':
		default:
			v.kind = '0'
		}
	}
	v.end = p.at
	return v
}

// string parses the string at the current position.
func (p *parser) string() string {
	start := p.at
	isPlain := true
	for p.at++; p.text[p.at] != '"'; p.at++ {
		if c := p.text[p.at]; c == '\\' || c >= utf8.RuneSelf {
			isPlain = false
			if c == '\\' {
				p.at++
			}
		}
	}
	p.at++
	if isPlain {
		return p.text[start+1 : p.at-1]
	}
	var decoded string
	_ = json.Unmarshal([]byte(p.text[start:p.at]), &decoded) // the text is valid, so this cannot fail
	return decoded
}

// Kind returns '{', '[', '"', '0' for numbers, 't' for booleans or 'n' for null.
func (v Value) Kind() byte { return v.kind }

// member returns the last member with a name.
func (v Value) member(name string) (Value, bool) {
	for i := len(v.names) - 1; i >= 0; i-- {
		if v.names[i] == name {
			return v.items[i], true
		}
	}
	return Value{}, false
}

// typeName returns the JSON Schema type of the value. It is "integer" for every integral number.
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
	const maxBytes = 60
	switch v.kind {
	case '{':
		return "an object"
	case '[':
		return fmt.Sprintf("an array of %d items", len(v.items))
	case '"':
		if len(v.text) > maxBytes {
			return string(encoded(cut(v.text, maxBytes) + "…"))
		}
		return string(encoded(v.text))
	}
	return cut(v.text, maxBytes)
}

// equal reports whether two values are equal. Numbers are compared by value, and objects without
// regard to order.
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

// encoded returns a value as JSON without HTML escapes. It panics if the value cannot be encoded.
func encoded(v any) []byte {
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		panic(err)
	}
	return bytes.TrimSuffix(b.Bytes(), []byte("\n"))
}

// cut returns the beginning of a text, at most most bytes without splitting a character.
func cut(text string, maxBytes int) string {
	if len(text) <= maxBytes {
		return text
	}
	for maxBytes > 0 && !utf8.RuneStart(text[maxBytes]) {
		maxBytes--
	}
	return text[:maxBytes]
}

// inside returns the [pointer] of a part, for a finding. It does not extend pointers beyond
// maxPointer.
func inside(at, name string) string {
	if len(at) > maxPointer {
		return at
	}
	return pointer(at, name)
}

// maxPointer bounds the JSON pointer of a finding, in bytes.
const maxPointer = 200

// pointer appends a name or an index to a JSON pointer.
func pointer(at, name string) string {
	if strings.ContainsAny(name, "~/") {
		name = pointerEscapes.Replace(name)
	}
	return at + "/" + name
}

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")
