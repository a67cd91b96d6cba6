package emulator

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// strike is a fault that has struck a request, and how far the reply has come.
type strike struct {
	Fault
	events int // sent so far
}

// spoil returns what becomes of a plain reply's body.
func (s *strike) spoil(data []byte) []byte {
	if s == nil {
		return data
	}
	switch s.Kind {
	case FaultTruncated:
		return data[:len(data)/2]
	case FaultOversize:
		return s.grow(data)
	default:
		return s.alter(data)
	}
}

// event returns the frames that are sent in place of one event; none, and an error,
// when there the stream ends.
func (s *strike) event(ctx context.Context, name string, data []byte) (string, error) {
	whole := frameText(name, data)
	if s == nil {
		return whole, nil
	}
	if whole = frameText(name, s.alter(data)); s.events != s.Events {
		s.events++
		return whole, nil
	}
	s.events++
	switch s.Kind {
	case FaultStallStream:
		<-ctx.Done()
		return "", errGone
	case FaultResetStream:
		return "", errCut
	case FaultMalformedEvent:
		return frameText("message.output.delta", []byte(`{"type":"message.output.delta","content":`)) + whole, nil
	case FaultUnknownEvent:
		const unknown = "conversation.response.unheard_of"
		return frameText(unknown, encode(map[string]any{"type": unknown, "created_at": timestamp(), "note": "No document has this."})) + whole, nil
	case FaultDuplicateEvent:
		return whole + whole, nil
	case FaultMissingBlankLine:
		return strings.TrimSuffix(whole, "\n"), nil
	case FaultStrayLines:
		return strayLines + whole, nil
	case FaultOversize:
		return frameText(name, s.grow(data)), nil
	default:
		return whole, nil
	}
}

// strayLines are those of [FaultStrayLines].
const strayLines = ": a comment\nunheard_of: 1\nno colon\nretry: soon\nid: a\x00b\n\x00\n\uFEFFdata: {\n"

func frameText(name string, data []byte) string {
	return fmt.Sprintf("event: %s\ndata: %s\n\n", name, data)
}

// alter adds and takes away properties.
func (s *strike) alter(data []byte) []byte {
	switch s.Kind {
	case FaultUnknownFields:
		return eachObject(data, func(object map[string]any) {
			object["x_unheard_of"] = map[string]any{"value": 1, "list": []any{nil, "two"}}
		})
	case FaultMissingFields:
		missing := s.Fields
		if len(missing) == 0 {
			missing = usualFields()
		}
		return rewrite(data, func(value any) any { return without(value, missing) })
	default:
		return data
	}
}

// grow adds a large property.
func (s *strike) grow(data []byte) []byte {
	size := s.Bytes
	if size == 0 {
		size = usualOversize
	}
	const mark = `"x_padding":"@"` // Within a text its quotes would be escaped.
	marked := eachObject(data, func(object map[string]any) { object["x_padding"] = "@" })
	before, after, ok := bytes.Cut(marked, []byte(mark)) // Of a list, the first has it all.
	if !ok {
		return data
	}
	padding := bytes.Repeat([]byte("x"), size)
	return slices.Concat(before, []byte(`"x_padding":"`), padding, []byte(`"`), after)
}

// eachObject rewrites the object that data is, or those of the list that it is; one is
// put into an empty list, for there is something to be seen then.
func eachObject(data []byte, change func(map[string]any)) []byte {
	return rewrite(data, func(value any) any {
		switch v := value.(type) {
		case map[string]any:
			change(v)
		case []any:
			if len(v) == 0 {
				v = []any{map[string]any{}}
			}
			for _, item := range v {
				if object, ok := item.(map[string]any); ok {
					change(object)
				}
			}
			return v
		}
		return value
	})
}

// rewrite changes a JSON text, numbers staying as they are; what is none it returns.
func rewrite(data []byte, change func(any) any) []byte {
	decoder := json.NewDecoder(bytes.NewReader(data))
	decoder.UseNumber()
	var value any
	if err := decoder.Decode(&value); err != nil {
		return data
	}
	return encode(change(value))
}

func without(value any, missing []string) any {
	switch v := value.(type) {
	case map[string]any:
		for name, inner := range v {
			if slices.Contains(missing, name) {
				delete(v, name)
				continue
			}
			v[name] = without(inner, missing)
		}
	case []any:
		for i, inner := range v {
			v[i] = without(inner, missing)
		}
	}
	return value
}
