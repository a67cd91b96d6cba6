package inject

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/fault"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
)

// Injection is a fault that one request has. It belongs to the goroutine that serves the
// request. A nil Injection changes nothing.
type Injection struct {
	fault.Fault
	events int // sent so far
}

// Is reports whether the fault is of a kind.
func (s *Injection) Is(kind fault.Kind) bool { return s != nil && s.Kind == kind }

// ErrCut ends a stream whose connection the caller must reset.
var ErrCut = errors.New("connection is cut")

// Body returns what a plain response has as its content.
func (s *Injection) Body(data []byte) []byte {
	if s == nil {
		return data
	}
	switch s.Kind {
	case fault.Truncated:
		return data[:len(data)/2]
	case fault.Oversize:
		return s.grow(data)
	default:
		return s.alter(data)
	}
}

// Event returns the text that is sent for one event; none, and an error, when the stream
// ends there.
func (s *Injection) Event(ctx context.Context, name string, data []byte) (string, error) {
	whole := frame(name, data)
	if s == nil {
		return whole, nil
	}
	if whole = frame(name, s.alter(data)); s.events != s.Events {
		s.events++
		return whole, nil
	}
	s.events++
	switch s.Kind {
	case fault.StallStream:
		<-ctx.Done()
		return "", ctx.Err()
	case fault.ResetStream:
		return "", ErrCut
	case fault.MalformedEvent:
		return frame("message.output.delta", []byte(`{"type":"message.output.delta","content":`)) + whole, nil
	case fault.UnknownEvent:
		const unknown = "conversation.response.unheard_of"
		return frame(unknown, wire.Encode(map[string]any{"type": unknown, "created_at": wire.Now(), "note": "No document has this."})) + whole, nil
	case fault.DuplicateEvent:
		return whole + whole, nil
	case fault.MissingBlankLine:
		return strings.TrimSuffix(whole, "\n"), nil
	case fault.StrayLines:
		return strayLines + whole, nil
	case fault.Oversize:
		return frame(name, s.grow(data)), nil
	default:
		return whole, nil
	}
}

// strayLines are those of [fault.StrayLines].
const strayLines = ": a comment\nunheard_of: 1\nno colon\nretry: soon\nid: a\x00b\n\x00\n\uFEFFdata: {\n"

func frame(name string, data []byte) string {
	return fmt.Sprintf("event: %s\ndata: %s\n\n", name, data)
}

// alter adds and takes away properties.
func (s *Injection) alter(data []byte) []byte {
	switch s.Kind {
	case fault.UnknownFields:
		return eachObject(data, func(object map[string]any) {
			object["x_unheard_of"] = map[string]any{"value": 1, "list": []any{nil, "two"}}
		})
	case fault.MissingFields:
		missing := s.Fields
		if len(missing) == 0 {
			missing = []string{"object", "created_at", "usage", "arguments", "versions", "source", "deployment_chat"}
		}
		return wire.Rewrite(data, func(value any) any { return without(value, missing) })
	default:
		return data
	}
}

// grow adds a large property.
func (s *Injection) grow(data []byte) []byte {
	size := cmp.Or(s.Bytes, 64<<20)
	const mark = `"x_padding":"@"` // Within a text its quotes would be escaped.
	marked := eachObject(data, func(object map[string]any) { object["x_padding"] = "@" })
	before, after, ok := bytes.Cut(marked, []byte(mark)) // Of a list, the first has it all.
	if !ok {
		return data
	}
	padding := bytes.Repeat([]byte("x"), size)
	return slices.Concat(before, []byte(`"x_padding":"`), padding, []byte(`"`), after)
}

// eachObject rewrites the object that data is, or those of the list that it is. It puts one
// into an empty list, so that the change can be seen.
func eachObject(data []byte, change func(map[string]any)) []byte {
	return wire.Rewrite(data, func(value any) any {
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
