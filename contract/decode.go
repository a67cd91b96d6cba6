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

// checkJSON checks that data is one JSON value and that the schema takes it.
func checkJSON(schema *jsonschema.Schema, data []byte, strict bool) []finding {
	value, found := decodeJSON(data, strict)
	if found != nil {
		return found
	}
	return validate(schema, value)
}

// decodeJSON reads one JSON value, numbers exactly where they are whole. Unlike
// encoding/json it refuses what is not UTF-8 and, if strict, duplicate keys.
func decodeJSON(data []byte, strict bool) (any, []finding) {
	fault := func(message string) (any, []finding) {
		return nil, []finding{{rule: "json", message: message, value: string(data), has: true}}
	}
	if !utf8.Valid(data) {
		return fault("want UTF-8")
	}
	if !json.Valid(data) {
		var value any
		err := json.Unmarshal(data, &value)
		if err == nil {
			err = errors.New("invalid")
		}
		return fault("want one JSON value (" + err.Error() + ")")
	}
	d := decoder{json: json.NewDecoder(bytes.NewReader(data))}
	d.json.UseNumber()
	value, err := d.value()
	if err != nil {
		return fault(err.Error())
	}
	if strict && d.duplicates != nil {
		return nil, d.duplicates
	}
	return value, nil
}

// decoder reads valid JSON token by token, which is what shows duplicate keys. Its
// depth is bounded by json.Valid.
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
			return nil, fmt.Errorf("%v is not a key", token)
		}
		d.path = append(d.path, key)
		value, err := d.value()
		if err != nil {
			return nil, err
		}
		if _, twice := object[key]; twice {
			d.duplicates = append(d.duplicates, finding{
				path: slices.Clone(d.path), rule: "duplicate", message: "want the property once", value: value, has: true,
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

// number keeps whole numbers as they are written and makes floats of the others. The
// schema library takes a number as a fraction, digit by digit, and is lost where its
// exponent is very large: no such number may reach it.
func number(text string) (any, error) {
	const most = 40
	if len(text) <= most && !strings.ContainsAny(text, ".eE") {
		return json.Number(text), nil
	}
	f, err := strconv.ParseFloat(text, 64)
	if err != nil {
		return nil, errors.New("want numbers that fit into 64 bits")
	}
	return f, nil
}
