package contract

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// checkJSON checks that data is one JSON value that matches the schema.
func checkJSON(schema *jsonschema.Schema, data []byte, strict bool) []finding {
	value, found := decodeJSON(data, strict)
	if found != nil {
		return found
	}
	return validate(schema, value)
}

// decodeJSON decodes one JSON value. It keeps whole numbers exact. Unlike
// encoding/json, it rejects invalid UTF-8 and, if strict, duplicate keys.
func decodeJSON(data []byte, strict bool) (any, []finding) {
	invalid := func(message string) (any, []finding) {
		return nil, []finding{{rule: "json", message: message, value: string(data), hasValue: true}}
	}
	if !utf8.Valid(data) {
		return invalid("must be valid UTF-8")
	}
	if !json.Valid(data) {
		var value any
		err := json.Unmarshal(data, &value)
		if err == nil {
			err = errors.New("invalid")
		}
		return invalid("must be one JSON value (" + err.Error() + ")")
	}
	d := decoder{json: json.NewDecoder(bytes.NewReader(data))}
	d.json.UseNumber()
	value, err := d.value()
	if err != nil {
		return invalid(err.Error())
	}
	if strict && d.duplicates != nil {
		return nil, d.duplicates
	}
	return value, nil
}

// decoder decodes valid JSON token by token, to find duplicate keys. json.Valid has
// already bounded the nesting depth.
type decoder struct {
	json       *json.Decoder
	path       []string
	duplicates []finding
}

func (d *decoder) value() (any, error) {
	token, err := d.json.Token()
	if err != nil {
		return nil, err
	}
	switch token := token.(type) {
	case json.Delim:
		if token == '{' {
			return d.object()
		}
		return d.array()
	case json.Number:
		return number(string(token))
	default:
		return token, nil
	}
}

func (d *decoder) object() (any, error) {
	object := map[string]any{}
	for d.json.More() {
		token, err := d.json.Token()
		if err != nil {
			return nil, err
		}
		key, ok := token.(string)
		if !ok {
			return nil, fmt.Errorf("object key must be a string, got %v", token)
		}
		d.path = append(d.path, key)
		value, err := d.value()
		if err != nil {
			return nil, err
		}
		if _, twice := object[key]; twice {
			d.duplicates = append(d.duplicates, finding{
				path: slices.Clone(d.path), rule: "duplicate", message: "must be set only once", value: value, hasValue: true,
			})
		}
		d.path = d.path[:len(d.path)-1]
		object[key] = value
	}
	_, err := d.json.Token()
	return object, err
}

func (d *decoder) array() (any, error) {
	array := []any{}
	for d.json.More() {
		d.path = append(d.path, strconv.Itoa(len(array)))
		value, err := d.value()
		if err != nil {
			return nil, err
		}
		d.path = d.path[:len(d.path)-1]
		array = append(array, value)
	}
	_, err := d.json.Token()
	return array, err
}

// number returns short whole numbers as json.Number and all other numbers as float64.
// The schema library expands a json.Number to an exact fraction, which takes too long
// for a very large exponent.
func number(text string) (any, error) {
	const maxDigits = 40
	if len(text) <= maxDigits && !strings.ContainsAny(text, ".eE") {
		return json.Number(text), nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil, errors.New("numbers must fit in 64 bits")
	}
	return f, nil
}
