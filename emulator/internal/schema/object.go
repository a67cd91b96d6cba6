package schema

import (
	"bytes"
	"encoding/json"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
)

// object is a JSON object that keeps the order of its members. A nil object is empty and
// read-only.
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

// keys returns the names of the members in order.
func (o *object) keys() []string {
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

// without returns a copy without the member of a name. "" removes no member.
func (o *object) without(name string) *object {
	c := &object{values: make(map[string]any, o.len())}
	for _, n := range o.keys() {
		if n != name || name == "" {
			c.set(n, o.values[n])
		}
	}
	return c
}

// MarshalJSON encodes the members in order.
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

// decode decodes JSON. It keeps the order of members and the digits of numbers. It returns
// nil for text that is not JSON.
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
			o.set(name.(string), value) //nolint:forcetypeassert // The decoder returns names as strings.
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

// numberOf returns the number of a keyword, or fallback if the schema does not set it.
func numberOf(schema *object, keyword string, fallback float64) float64 {
	if n, ok := schema.get(keyword).(json.Number); ok {
		if x, err := n.Float64(); err == nil {
			return x
		}
	}
	return fallback
}

// countOf returns the number of a keyword, limited to the range from 0 to maxItems.
func countOf(schema *object, keyword string, fallback float64) int {
	return int(max(0, min(numberOf(schema, keyword, fallback), maxItems)))
}
