package schema

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"golang.org/x/text/language"
	"golang.org/x/text/message"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

var metaschema = sync.OnceValue(func() *jsonschema.Schema {
	return jsonschema.NewCompiler().MustCompile("https://json-schema.org/draft/2020-12/schema")
})

// Check reports where a value is not a JSON Schema (draft 2020-12): a JSON pointer, below
// that of the schema, and the reason. It does not look into one that is larger than a
// response may be made of; see [JSON].
func Check(schema generated.JSON, pointer string) error {
	source, err := generated.EncodeJSON(schema)
	if err != nil || len(source) > maxSchemaBytes || len(source) == 0 {
		return err
	}
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(string(source)))
	if err != nil {
		return err
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(metaschema().Validate(value), &invalid) {
		return nil
	}
	for len(invalid.Causes) > 0 {
		invalid = invalid.Causes[0]
	}
	at := strings.Builder{}
	for _, token := range invalid.InstanceLocation {
		at.WriteString("/" + pointerEscape.Replace(wire.Short(token)))
	}
	return fmt.Errorf("%s%s: %s", pointer, &at, invalid.ErrorKind.LocalizedString(message.NewPrinter(language.English)))
}

// CheckStrict reports the first part of a schema that strict mode cannot take: one that
// allows any value, or an object with additional properties.
func CheckStrict(schema generated.JSON, pointer string) error {
	source, err := generated.EncodeJSON(schema)
	if err != nil || len(source) > maxSchemaBytes {
		return err
	}
	return checkClosed(decode(source), pointer)
}

// constraints are the keywords of which a closed schema has one.
var constraints = []string{"type", "enum", "const", "$ref", "anyOf", "oneOf", "properties"}

func checkClosed(value any, pointer string) error {
	schema, ok := value.(*object)
	all, _ := schema.get("allOf").([]any)
	if ok && !slices.ContainsFunc(constraints, schema.has) && slices.ContainsFunc(all, func(one any) bool { return checkClosed(one, "") == nil }) {
		return nil // One part closes the whole.
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
	parts := &object{values: map[string]any{}} // by pointer
	for _, keyword := range []string{"properties", "patternProperties", "$defs", "definitions"} {
		inner, _ := schema.get(keyword).(*object)
		for _, name := range inner.each() {
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
	for _, name := range parts.each() {
		if err := checkClosed(parts.get(name), pointer+"/"+name); err != nil {
			return err
		}
	}
	return nil
}
