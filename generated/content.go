package generated

import "strings"

// MessageContent is the content of a message: text or a list of chunks. In a stream,
// the content of a delta is text or one chunk. The zero value is unset.
//
//openapi:holds MessageContent string array object
type MessageContent struct {
	text   string
	chunks []ContentChunk
	kind   contentKind
}

type contentKind uint8

const (
	unsetContent contentKind = iota
	textContent
	chunkContent
	chunkListContent
)

// NewTextContent returns content that is text.
func NewTextContent(text string) MessageContent {
	return MessageContent{text: text, kind: textContent}
}

// NewChunkContent returns content that is a list of chunks. An empty list is sent as [].
func NewChunkContent(chunks ...ContentChunk) MessageContent {
	return MessageContent{chunks: chunks, kind: chunkListContent}
}

// NewDeltaContent returns the content of a delta that is one chunk.
func NewDeltaContent(chunk ContentChunk) MessageContent {
	return MessageContent{chunks: []ContentChunk{chunk}, kind: chunkContent}
}

// IsZero reports whether the content is unset.
func (c MessageContent) IsZero() bool { return c.kind == unsetContent }

// Text returns the text, or the concatenated text of the text chunks. It skips all
// other chunks, such as thinking.
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

// PlainText returns the text and reports whether the content is text rather than chunks.
func (c MessageContent) PlainText() (string, bool) { return c.text, c.kind == textContent }

// Chunks returns the chunks. It returns text as one text chunk.
func (c MessageContent) Chunks() []ContentChunk {
	if c.kind == textContent {
		return []ContentChunk{NewContentChunk(TextChunk{Text: c.text})}
	}
	return c.chunks
}

// String returns the content as JSON, truncated to about 1,000 bytes.
func (c MessageContent) String() string { return printed(&c) }

// MarshalJSON encodes a string, a list of chunks, one chunk, or null if unset.
func (c MessageContent) MarshalJSON() ([]byte, error) { return marshal(&c) }

// UnmarshalJSON decodes a string, a list of chunks or one chunk.
func (c *MessageContent) UnmarshalJSON(data []byte) error { return unmarshal(data, c) }

func (c *MessageContent) writeJSON(w *output) {
	switch c.kind {
	case textContent:
		w.string(c.text)
	case chunkContent:
		c.chunks[0].writeJSON(w)
	case chunkListContent:
		writeAll(w, c.chunks)
	default:
		w.raw("null")
	}
}

func (c *MessageContent) readJSON(v value) {
	*c = MessageContent{}
	switch v.kind() {
	case '"':
		c.kind = textContent
		c.text, _ = v.string()
	case '[':
		c.kind = chunkListContent
		readAll(v, &c.chunks)
	case '{':
		c.kind = chunkContent
		c.chunks = make([]ContentChunk, 1)
		c.chunks[0].readJSON(v)
	default:
		v.mismatch()
	}
}

// ConversationInputs holds the inputs that a call adds to a conversation: text, which is
// one user message, or a list of entries. The zero value is unset.
//
//openapi:holds ConversationInputs string array
type ConversationInputs struct {
	text    string
	entries []Entry
	kind    inputsKind
}

type inputsKind uint8

const (
	unsetInputs inputsKind = iota
	textInputs
	entryInputs
)

// NewTextInputs returns inputs that are text.
func NewTextInputs(text string) ConversationInputs {
	return ConversationInputs{text: text, kind: textInputs}
}

// NewEntryInputs returns inputs that are a list of entries. An empty list is sent as [].
func NewEntryInputs(entries []Entry) ConversationInputs {
	return ConversationInputs{entries: entries, kind: entryInputs}
}

// IsZero reports whether the inputs are unset.
func (in ConversationInputs) IsZero() bool { return in.kind == unsetInputs }

// Text returns the text and reports whether the inputs are text.
func (in ConversationInputs) Text() (string, bool) { return in.text, in.kind == textInputs }

// Entries returns the entries; nil if the inputs are text or unset.
func (in ConversationInputs) Entries() []Entry { return in.entries }

// String returns the inputs as JSON, truncated to about 1,000 bytes.
func (in ConversationInputs) String() string { return printed(&in) }

// MarshalJSON encodes a string, a list, or null if unset.
func (in ConversationInputs) MarshalJSON() ([]byte, error) { return marshal(&in) }

// UnmarshalJSON decodes a string or a list of entries.
func (in *ConversationInputs) UnmarshalJSON(data []byte) error { return unmarshal(data, in) }

func (in *ConversationInputs) writeJSON(w *output) {
	switch in.kind {
	case textInputs:
		w.string(in.text)
	case entryInputs:
		writeAll(w, in.entries)
	default:
		w.raw("null")
	}
}

func (in *ConversationInputs) readJSON(v value) {
	*in = ConversationInputs{}
	switch v.kind() {
	case '"':
		in.kind = textInputs
		in.text, _ = v.string()
	case '[':
		in.kind = entryInputs
		readAll(v, &in.entries)
	default:
		v.mismatch()
	}
}
