package schema

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// Checker checks the schemas of one request. Compiling is slow, so it checks at most
// maxChecked bytes in total and accepts the remaining schemas unchecked.
type Checker struct{ checked int }

const (
	maxChecked = 128 << 10 // bytes
	maxDepth   = 200       // nesting depth of the JSON
)

// Check returns an error if a value is not a JSON Schema (draft 2020-12), contains an invalid
// regular expression, or refers to a location outside of the schema. The error starts with a
// JSON pointer, of which pointer is the prefix.
func (c *Checker) Check(schema generated.JSON, pointer string) error {
	source, err := generated.EncodeJSON(schema)
	if c.checked += len(source); err != nil || c.checked > maxChecked || len(source) == 0 {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(source)))
	if err != nil {
		return err
	}
	if deeper(value, maxDepth) {
		return fmt.Errorf("%s: must be nested at most %d deep", pointer, maxDepth)
	}
	return compile(value, pointer)
}

// deeper reports whether the nesting depth of a value exceeds limit.
func deeper(value any, limit int) bool {
	if limit < 0 {
		return true
	}
	inner := func(value any) bool { return deeper(value, limit-1) }
	switch v := value.(type) {
	case []any:
		return slices.ContainsFunc(v, inner)
	case map[string]any:
		for _, value := range v {
			if inner(value) {
				return true
			}
		}
	}
	return false
}

// CheckStrict reports the first part of a schema that strict mode does not support: a part
// that allows any value, or an object with additional properties.
func CheckStrict(schema generated.JSON, pointer string) error {
	source, err := generated.EncodeJSON(schema)
	if err != nil || len(source) > maxSchemaBytes {
		return err
	}
	return checkClosed(decode(source), pointer)
}

// constraints lists the keywords of which a closed schema has at least one.
var constraints = []string{"type", "enum", "const", "$ref", "anyOf", "oneOf", "properties"}

func checkClosed(value any, pointer string) error {
	schema, ok := value.(*object)
	all, _ := schema.get("allOf").([]any)
	if ok && !slices.ContainsFunc(constraints, schema.has) && slices.ContainsFunc(all, func(one any) bool { return checkClosed(one, "") == nil }) {
		return nil // One closed part of allOf closes the schema.
	}
	if !ok || !slices.ContainsFunc(constraints, schema.has) {
		return fmt.Errorf("%s: strict mode needs a type", pointer)
	}
	types, _ := schema.get("type").([]any)
	if (typeOf(schema) == "object" || slices.Contains(types, any("object")) || schema.has("properties")) && schema.get("additionalProperties") != false {
		return fmt.Errorf("%s: strict mode needs additionalProperties: false", pointer)
	}
	if (typeOf(schema) == "array" || slices.Contains(types, any("array"))) && !schema.has("items") && !schema.has("prefixItems") {
		return fmt.Errorf("%s: strict mode needs items", pointer)
	}
	parts := &object{values: map[string]any{}} // subschemas by relative JSON pointer
	for _, keyword := range []string{"properties", "patternProperties", "$defs", "definitions"} {
		inner, _ := schema.get(keyword).(*object)
		for _, name := range inner.keys() {
			parts.set(keyword+"/"+pointerEscape.Replace(name), inner.get(name))
		}
	}
	if items := schema.get("items"); schema.has("items") && items != false {
		parts.set("items", items)
	}
	for _, keyword := range []string{"anyOf", "oneOf", "prefixItems"} {
		list, _ := schema.get(keyword).([]any)
		for i, one := range list {
			parts.set(keyword+"/"+strconv.Itoa(i), one)
		}
	}
	for _, name := range parts.keys() {
		if err := checkClosed(parts.get(name), pointer+"/"+name); err != nil {
			return err
		}
	}
	return nil
}
