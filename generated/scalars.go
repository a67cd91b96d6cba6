package generated

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// This file is written by hand: the types of values that the document gives as
// a choice between scalars, or between a scalar and something else, for which
// there is no good generated form. Everything else in the package is generated.

// ConversationInputs is what a call adds to a conversation: either a text, which
// stands for one user message, or a list of entries. The zero value is unset.
type ConversationInputs struct {
	text    string
	entries []Entry
	kind    inputsKind
}

type inputsKind uint8

const (
	noInputs inputsKind = iota
	textInputs
	entryInputs
)

// NewTextInputs makes inputs of a text.
func NewTextInputs(text string) ConversationInputs {
	return ConversationInputs{text: text, kind: textInputs}
}

// NewEntryInputs makes inputs of a list of entries. An empty list is sent as such.
func NewEntryInputs(entries []Entry) ConversationInputs {
	return ConversationInputs{entries: entries, kind: entryInputs}
}

// IsZero reports whether the inputs are unset.
func (in ConversationInputs) IsZero() bool { return in.kind == noInputs }

// Text returns the text, and whether the inputs are one.
func (in ConversationInputs) Text() (string, bool) { return in.text, in.kind == textInputs }

// Entries returns the entries; nil when the inputs are a text or unset.
func (in ConversationInputs) Entries() []Entry { return in.entries }

// MarshalJSON writes a string, a list, or null when unset.
func (in ConversationInputs) MarshalJSON() ([]byte, error) {
	switch in.kind {
	case textInputs:
		return json.Marshal(in.text)
	case entryInputs:
		return marshalList(in.entries)
	default:
		return []byte("null"), nil
	}
}

// UnmarshalJSON reads what MarshalJSON writes.
func (in *ConversationInputs) UnmarshalJSON(data []byte) error {
	*in = ConversationInputs{}
	switch first(data) {
	case '"':
		in.kind = textInputs
		return json.Unmarshal(data, &in.text)
	case '[':
		in.kind = entryInputs
		return json.Unmarshal(data, &in.entries)
	case 'n':
		return nil
	default:
		return fmt.Errorf("inputs: want a string or a list of entries, have %s", start(data))
	}
}

// MessageContent is the content of a message: a text or a list of chunks. In a
// stream, a delta's content is a text or one chunk. The zero value is unset.
type MessageContent struct {
	text   string
	chunks []ContentChunk
	kind   contentKind
}

type contentKind uint8

const (
	noContent contentKind = iota
	textContent
	chunkContent
	chunkListContent
)

// NewTextContent makes content of a text.
func NewTextContent(text string) MessageContent {
	return MessageContent{text: text, kind: textContent}
}

// NewChunkContent makes content of a list of chunks. An empty list is sent as such.
func NewChunkContent(chunks ...ContentChunk) MessageContent {
	return MessageContent{chunks: chunks, kind: chunkListContent}
}

// NewDeltaContent makes the content of a delta that is one chunk.
func NewDeltaContent(chunk ContentChunk) MessageContent {
	return MessageContent{chunks: []ContentChunk{chunk}, kind: chunkContent}
}

// IsZero reports whether the content is unset.
func (c MessageContent) IsZero() bool { return c.kind == noContent }

// Text returns the text of the content: the text itself, or that of its text
// chunks, joined. What the model thought, and chunks of other types, are left out.
func (c MessageContent) Text() string {
	if c.kind == textContent || len(c.chunks) == 0 {
		return c.text
	}
	var text strings.Builder
	for _, chunk := range c.chunks {
		if t, ok := chunk.Value().(TextChunk); ok {
			text.WriteString(t.Text)
		}
	}
	return text.String()
}

// PlainText returns the text, and whether the content is one rather than chunks.
func (c MessageContent) PlainText() (string, bool) { return c.text, c.kind == textContent }

// Chunks returns the chunks; a text is one text chunk.
func (c MessageContent) Chunks() []ContentChunk {
	if c.kind == textContent {
		return []ContentChunk{NewContentChunk(TextChunk{Text: c.text})}
	}
	return c.chunks
}

// MarshalJSON writes a string, a list of chunks, one chunk, or null when unset.
func (c MessageContent) MarshalJSON() ([]byte, error) {
	switch c.kind {
	case textContent:
		return json.Marshal(c.text)
	case chunkContent:
		return json.Marshal(c.chunks[0])
	case chunkListContent:
		return marshalList(c.chunks)
	default:
		return []byte("null"), nil
	}
}

// UnmarshalJSON reads what MarshalJSON writes.
func (c *MessageContent) UnmarshalJSON(data []byte) error {
	*c = MessageContent{}
	switch first(data) {
	case '"':
		c.kind = textContent
		return unmarshalString(data, &c.text)
	case '[':
		c.kind = chunkListContent
		return json.Unmarshal(data, &c.chunks)
	case '{':
		c.kind = chunkContent
		c.chunks = make([]ContentChunk, 1)
		return json.Unmarshal(data, &c.chunks[0])
	case 'n':
		return nil
	default:
		return fmt.Errorf("content: want a string, a chunk or a list of chunks, have %s", start(data))
	}
}

// CompletionArgsStop lists the texts at which the model stops.
type CompletionArgsStop []string

// UnmarshalJSON reads a list or a single string.
func (s *CompletionArgsStop) UnmarshalJSON(data []byte) error {
	if first(data) != '"' {
		return json.Unmarshal(data, (*[]string)(s))
	}
	*s = make(CompletionArgsStop, 1)
	return json.Unmarshal(data, &(*s)[0])
}

// FunctionCallEntryArguments is the JSON text of a function call's arguments,
// normally an object:
//
//	err := json.Unmarshal([]byte(call.Arguments), &arguments)
type FunctionCallEntryArguments string

// UnmarshalJSON reads a string that holds JSON text, or the object itself.
func (a *FunctionCallEntryArguments) UnmarshalJSON(data []byte) error {
	switch first(data) {
	case '"', 0:
		return json.Unmarshal(data, (*string)(a))
	case 'n':
		return nil
	default:
		*a = FunctionCallEntryArguments(data)
		return nil
	}
}

// StringOrInteger is a value that is a string or an integer on the wire. It is
// written as an integer where it is one in decimal notation ("3"), else as a string.
type StringOrInteger string

// MarshalJSON writes an integer or a string.
func (s StringOrInteger) MarshalJSON() ([]byte, error) {
	if n, err := strconv.ParseInt(string(s), 10, 64); err == nil && strconv.FormatInt(n, 10) == string(s) {
		return []byte(s), nil
	}
	return json.Marshal(string(s))
}

// UnmarshalJSON reads a string or a number.
func (s *StringOrInteger) UnmarshalJSON(data []byte) error {
	switch c := first(data); {
	case c == '"':
		return json.Unmarshal(data, (*string)(s))
	case c == 'n':
		return nil
	case c == '-' || '0' <= c && c <= '9':
		*s = StringOrInteger(data)
		return nil
	default:
		return fmt.Errorf("want a string or an integer, have %s", start(data))
	}
}

// UnmarshalJSON reads an object, or a string that is the URL alone.
func (u *ImageURL) UnmarshalJSON(data []byte) error {
	if first(data) == '"' {
		return json.Unmarshal(data, &u.URL)
	}
	type plain ImageURL
	return json.Unmarshal(data, (*plain)(u))
}

// Timestamp is a time in RFC 3339 form. One without a zone, which some servers
// send, is read as UTC.
type Timestamp struct{ time.Time }

// UnmarshalJSON reads a string in RFC 3339 form, with or without its zone.
func (t *Timestamp) UnmarshalJSON(data []byte) error {
	if first(data) != '"' && first(data) != 'n' || len(data) < 2 {
		return fmt.Errorf("want a time as a string, have %s", start(data))
	}
	err := t.Time.UnmarshalJSON(data)
	if err == nil {
		return nil
	}
	// Nothing in a time needs escaping: what is escaped all the same is refused.
	naive, failed := time.Parse(`"2006-01-02T15:04:05.999999999"`, string(data))
	if failed != nil {
		return err
	}
	t.Time = naive
	return nil
}

// UnmarshalJSON reads a string. Those that are known need no memory of their own:
// every event of a stream has one.
func (t *StreamEventType) UnmarshalJSON(data []byte) error {
	return unmarshalEnum(data, t, StreamEventTypeMessageOutputDelta, StreamEventTypeFunctionCallDelta, StreamEventTypeToolExecutionDelta)
}

// UnmarshalJSON reads a string. Those that are known need no memory of their own:
// every piece of a message has one.
func (r *MessageRole) UnmarshalJSON(data []byte) error {
	return unmarshalEnum(data, r, MessageRoleAssistant, MessageRoleUser)
}

// unmarshalEnum reads a JSON string that is likely to be one of a few.
func unmarshalEnum[T ~string](data []byte, value *T, likely ...T) error {
	for _, known := range likely {
		if len(data) == len(known)+2 && string(data[1:len(data)-1]) == string(known) {
			*value = known
			return nil
		}
	}
	var text string
	if err := json.Unmarshal(data, &text); err != nil {
		return err
	}
	*value = T(text)
	return nil
}

// decoder returns a function that decodes a variant. The variant escapes into an
// interface afterwards, which copies it: so what it is decoded into is used again.
func decoder[T any]() func(data []byte) (T, error) {
	pool := sync.Pool{New: func() any { return new(T) }}
	return func(data []byte) (T, error) {
		p := pool.Get().(*T)
		err := json.Unmarshal(data, p)
		v := *p
		*p = *new(T)
		pool.Put(p)
		return v, err
	}
}

// first returns the first byte of a JSON value; 0 if there is none.
func first(data []byte) byte {
	if len(data) == 0 {
		return 0
	}
	return data[0]
}

// typeOf returns the "type" of a JSON object; empty when it has none, or one
// that is not a plain string. The data is known to be JSON, so that it is enough
// to follow quotes and brackets: this runs for every entry and chunk of a reply,
// and a decoder would read each of them twice.
func typeOf(data []byte) string {
	const key = `"type"`
	depth := 0
	for i := 0; i < len(data); i++ {
		switch data[i] {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"':
			end := endOfString(data, i)
			isKey := depth == 1 && string(data[i:end]) == key
			i = end - 1
			if !isKey {
				continue
			}
			rest := bytes.TrimLeft(data[end:], " \t\r\n")
			if len(rest) == 0 || rest[0] != ':' {
				continue // a value that says "type"
			}
			rest = bytes.TrimLeft(rest[1:], " \t\r\n")
			if len(rest) == 0 || rest[0] != '"' {
				return ""
			}
			return string(rest[1:max(1, endOfString(rest, 0)-1)])
		}
	}
	return ""
}

// endOfString returns the index after the string that begins at data[i].
func endOfString(data []byte, i int) int {
	for i++; i < len(data); i++ {
		switch data[i] {
		case '\\':
			i++
		case '"':
			return i + 1
		}
	}
	return len(data)
}

// unmarshalString reads a JSON string. One without escapes, as nearly all are, is
// its own text.
func unmarshalString(data []byte, s *string) error {
	if bytes.IndexByte(data, '\\') >= 0 || len(data) < 2 || !utf8.Valid(data) {
		return json.Unmarshal(data, s)
	}
	*s = string(data[1 : len(data)-1])
	return nil
}

// marshalList writes a nil list as an empty one, never as null.
func marshalList[T any](list []T) ([]byte, error) {
	if list == nil {
		return []byte("[]"), nil
	}
	return json.Marshal(list)
}

func rawOrNull(raw json.RawMessage) []byte {
	if len(raw) == 0 {
		return []byte("null")
	}
	return raw
}

// start is the beginning of a JSON text, for an error message.
func start(data []byte) string {
	const most = 40
	data = bytes.TrimSpace(data)
	if len(data) > most {
		return string(data[:most]) + "…"
	}
	return string(data)
}
