package emulator

import (
	"context"
	_ "embed"
	"encoding/json"
	"slices"
	"strings"
	"sync"

	"go.yaml.in/yaml/v4"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/schema"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/openapi"
)

// knownProperties lists the properties that the emulator's code supports, by schema.
//
//go:embed known.txt
var knownProperties string

// completer adds properties to responses and events that a newer OpenAPI document has and
// the code does not support. Their values conform to their schemas.
type completer struct {
	document   map[string]any
	components map[string]any
	unknown    map[string][]string // unsupported properties by schema
}

var defaultCompleter = sync.OnceValue(func() *completer { return newCompleter(openapi.Document(), knownProperties) })

func newCompleter(document []byte, known string) *completer {
	c := &completer{unknown: map[string][]string{}}
	if err := yaml.Unmarshal(document, &c.document); err != nil {
		panic(err) // The document is embedded.
	}
	c.components = member(member(c.document, "components"), "schemas")
	properties := map[string][]string{}
	for line := range strings.Lines(known) {
		name, list, _ := strings.Cut(strings.TrimSpace(line), ": ")
		properties[name] = strings.Fields(list)
	}
	for name := range c.components {
		for property := range member(member(c.components, name), "properties") {
			if !slices.Contains(properties[name], property) {
				c.unknown[name] = append(c.unknown[name], property)
			}
		}
	}
	return c
}

func member(object map[string]any, name string) map[string]any {
	m, _ := object[name].(map[string]any)
	return m
}

// response completes the content of an operation's response.
func (c *completer) response(op *contract.Operation, data []byte) []byte {
	return c.complete(c.content(op, "application/json"), data)
}

// event completes the data of an event in an operation's stream.
func (c *completer) event(op *contract.Operation, data []byte) []byte {
	if len(c.unknown) == 0 {
		return data
	}
	_, event := c.follow(c.content(op, "text/event-stream"))
	return c.complete(member(member(event, "properties"), "data"), data)
}

func (c *completer) content(op *contract.Operation, media string) map[string]any {
	operation := member(member(member(c.document, "paths"), op.Path), strings.ToLower(op.Method))
	return member(member(member(member(member(operation, "responses"), "200"), "content"), media), "schema")
}

func (c *completer) complete(schema map[string]any, data []byte) []byte {
	if len(c.unknown) == 0 {
		return data
	}
	return wire.Rewrite(data, func(value any) any {
		c.walk(schema, value)
		return value
	})
}

// follow resolves a reference. It returns the schema and its name.
func (c *completer) follow(s map[string]any) (name string, _ map[string]any) {
	for ref, ok := s["$ref"].(string); ok; ref, ok = s["$ref"].(string) {
		name = strings.TrimPrefix(ref, "#/components/schemas/")
		s = member(c.components, name)
	}
	return name, s
}

func (c *completer) walk(s map[string]any, value any) {
	name, s := c.follow(s)
	for _, keyword := range []string{"anyOf", "oneOf"} {
		list, _ := s[keyword].([]any)
		for _, one := range list {
			if one, _ := one.(map[string]any); c.fits(one, value) {
				c.walk(one, value)
				break
			}
		}
	}
	switch v := value.(type) {
	case []any:
		for _, item := range v {
			c.walk(member(s, "items"), item)
		}
	case map[string]any:
		for property, inner := range member(s, "properties") {
			if value, ok := v[property]; ok {
				inner, _ := inner.(map[string]any)
				c.walk(inner, value)
			}
		}
		for _, property := range c.unknown[name] {
			if _, ok := v[property]; !ok {
				v[property] = c.value(name, property)
			}
		}
	}
}

// fits reports whether a value can be an instance of a schema. It compares the JSON type,
// the type property and the required properties.
func (c *completer) fits(s map[string]any, value any) bool {
	_, s = c.follow(s)
	object, isObject := value.(map[string]any)
	_, isList := value.([]any)
	if !isObject {
		return isList && s["type"] == "array"
	}
	required, _ := s["required"].([]any)
	for _, name := range required {
		if _, ok := object[name.(string)]; !ok { //nolint:forcetypeassert // Required properties are strings.
			return false
		}
	}
	kind := member(member(s, "properties"), "type")
	_, kind = c.follow(kind)
	names, _ := kind["enum"].([]any)
	names = append(names, kind["const"], kind["default"])
	return s["properties"] != nil && (object["type"] == nil || slices.Contains(names, object["type"]))
}

// value returns a value that conforms to the schema of a property.
func (c *completer) value(name, property string) any {
	text, err := schema.JSON(context.Background(), map[string]any{
		"$ref": "#/components/schemas/" + name + "/properties/" + property, "components": map[string]any{"schemas": c.components},
	}, property)
	if err != nil {
		return nil
	}
	return json.RawMessage(text)
}
