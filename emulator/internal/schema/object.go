package schema

import (
	"bytes"
	"encoding/json"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
)

// object is a JSON object that keeps the order of its members. A nil object is empty and
// may be read.
type object struct {
	names  []string
	values map[string]any
}

func (o *object) get(name string) any {
	if o == nil {
		return nil
	}
	return o.values[name]
}

func (o *object) has(name string) bool {
	if o == nil {
		return false
	}
	_, ok := o.values[name]
	return ok
}

func (o *object) len() int {
	if o == nil {
		return 0
	}
	return len(o.names)
}

// each returns the names in order.
func (o *object) each() []string {
	if o == nil {
		return nil
	}
	return o.names
}

func (o *object) set(name string, value any) {
	if _, ok := o.values[name]; !ok {
		o.names = append(o.names, name)
	}
	o.values[name] = value
}

// with returns a copy without one member; "" removes none.
func (o *object) without(name string) *object {
	c := &object{values: make(map[string]any, o.len())}
	for _, n := range o.each() {
		if n != name || name == "" {
			c.set(n, o.values[n])
		}
	}
	return c
}

// MarshalJSON writes the members in order.
func (o *object) MarshalJSON() ([]byte, error) {
	text := []byte{'{'}
	for i, name := range o.names {
		if i > 0 {
			text = append(text, ',')
		}
		text = append(append(text, wire.Encode(name)...), ':')
		text = append(text, wire.Encode(o.values[name])...)
	}
	return append(text, '}'), nil
}

// decode reads JSON with the order of its members and the digits of its numbers. It
// returns nil for text that is not JSON.
func decode(text []byte) any {
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.UseNumber()
	value, err := decodeValue(decoder)
	if err != nil {
		return nil
	}
	return value
}

func decodeValue(decoder *json.Decoder) (any, error) {
	token, err := decoder.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		o := &object{values: map[string]any{}}
		for decoder.More() {
			name, err := decoder.Token()
			if err != nil {
				return nil, err
			}
			value, err := decodeValue(decoder)
			if err != nil {
				return nil, err
			}
			o.set(name.(string), value) //nolint:forcetypeassert // The decoder returns no other name.
		}
		_, err = decoder.Token()
		return o, err
	case json.Delim('['):
		list := []any{}
		for decoder.More() {
			value, err := decodeValue(decoder)
			if err != nil {
				return nil, err
			}
			list = append(list, value)
		}
		_, err = decoder.Token()
		return list, err
	default:
		return token, nil
	}
}

// numberOf returns the number that a keyword has, or else another.
func numberOf(schema *object, keyword string, otherwise float64) float64 {
	if n, ok := schema.get(keyword).(json.Number); ok {
		if x, err := n.Float64(); err == nil {
			return x
		}
	}
	return otherwise
}

// countOf returns a number of items or properties, within bounds.
func countOf(schema *object, keyword string, otherwise float64) int {
	return int(max(0, min(numberOf(schema, keyword, otherwise), maxItems)))
}
