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

// Injection is the fault of one request. Only the goroutine that serves the request uses it.
// The methods Is, Body and Event of a nil Injection change nothing.
type Injection struct {
	fault.Fault
	events int // events sent so far
}

// Is reports whether the fault is of a kind.
func (i *Injection) Is(kind fault.Kind) bool { return i != nil && i.Kind == kind }

// ErrCut ends a stream whose connection the caller must reset.
var ErrCut = errors.New("a fault resets the connection")

// Body returns the content of a plain response with the fault applied.
func (i *Injection) Body(data []byte) []byte {
	if i == nil {
		return data
	}
	switch i.Kind {
	case fault.Truncated:
		return data[:len(data)/2]
	case fault.Oversize:
		return i.grow(data)
	default:
		return i.alter(data)
	}
}

// Event returns the text to send for an event, with the fault applied. It returns an error
// if the fault ends the stream before the event.
func (i *Injection) Event(ctx context.Context, name string, data []byte) (string, error) {
	whole := frame(name, data)
	if i == nil {
		return whole, nil
	}
	if whole = frame(name, i.alter(data)); i.events != i.Events {
		i.events++
		return whole, nil
	}
	i.events++
	switch i.Kind {
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
		return frame(name, i.grow(data)), nil
	default:
		return whole, nil
	}
}

// strayLines is the text that [fault.StrayLines] inserts.
const strayLines = ": a comment\nunheard_of: 1\nno colon\nretry: soon\nid: a\x00b\n\x00\n\uFEFFdata: {\n"

func frame(name string, data []byte) string {
	return fmt.Sprintf("event: %s\ndata: %s\n\n", name, data)
}

// alter adds or removes properties.
func (i *Injection) alter(data []byte) []byte {
	switch i.Kind {
	case fault.UnknownFields:
		return eachObject(data, func(object map[string]any) {
			object["x_unheard_of"] = map[string]any{"value": 1, "list": []any{nil, "two"}}
		})
	case fault.MissingFields:
		missing := i.Fields
		if len(missing) == 0 {
			missing = []string{"object", "created_at", "usage", "arguments", "versions", "source", "deployment_chat"}
		}
		return wire.Rewrite(data, func(value any) any { return without(value, missing) })
	default:
		return data
	}
}

// grow adds a large property.
func (i *Injection) grow(data []byte) []byte {
	size := cmp.Or(i.Bytes, 64<<20)
	const mark = `"x_padding":"@"` // Unique, because quotes within a string are escaped.
	marked := eachObject(data, func(object map[string]any) { object["x_padding"] = "@" })
	before, after, ok := bytes.Cut(marked, []byte(mark)) // In a list, only the first object grows.
	if !ok {
		return data
	}
	padding := bytes.Repeat([]byte("x"), size)
	return slices.Concat(before, []byte(`"x_padding":"`), padding, []byte(`"`), after)
}

// eachObject changes the object in data, or each object of the list in data. It adds an
// object to an empty list, so that the change is visible.
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
		for at, inner := range v {
			v[at] = without(inner, missing)
		}
	}
	return value
}
