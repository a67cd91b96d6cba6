package main

import (
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/openapi/internal/tree"
)

// kinds returns the JSON types that a schema allows, without null. It returns nil if the schema
// allows any type.
func kinds(schemas, schema *yaml.Node) []string {
	return kindsOf(schemas, schema, nil)
}

func kindsOf(schemas, schema *yaml.Node, within []*yaml.Node) []string {
	if schema == nil || slices.Contains(within, schema) {
		return nil
	}
	within = append(slices.Clone(within), schema)
	if name, ok := tree.Referenced(schema); ok {
		return kindsOf(schemas, tree.Value(schemas, name), within)
	}
	var all []string
	add := func(kind string) {
		if kind != "null" && !slices.Contains(all, kind) {
			all = append(all, kind)
		}
	}
	switch declared := tree.Value(schema, "type"); {
	case declared != nil && declared.Kind == yaml.ScalarNode:
		add(declared.Value)
		return all
	case declared != nil:
		for _, kind := range tree.Texts(declared) {
			add(kind)
		}
		return all
	}
	if options := alternatives(schema); len(options) > 0 {
		for _, option := range options {
			types := kindsOf(schemas, option, within)
			if len(types) == 0 && !isNull(option) {
				return nil
			}
			for _, kind := range types {
				add(kind)
			}
		}
		return all
	}
	for _, part := range tree.Elements(tree.Value(schema, "allOf")) {
		for _, kind := range kindsOf(schemas, part, within) {
			add(kind)
		}
	}
	fixed := tree.Elements(tree.Value(schema, "enum"))
	if constant := tree.Value(schema, "const"); constant != nil {
		fixed = append(slices.Clone(fixed), constant)
	}
	for _, v := range fixed {
		add(kindOfValue(v))
	}
	if tree.Value(schema, "properties") != nil {
		add("object")
	}
	if tree.Value(schema, "items") != nil {
		add("array")
	}
	return all
}

// isNull reports whether a schema only allows null.
func isNull(schema *yaml.Node) bool {
	constant := tree.Value(schema, "const")
	return tree.Text(tree.Value(schema, "type")) == "null" || constant != nil && kindOfValue(constant) == "null"
}

func kindOfValue(v *yaml.Node) string {
	switch v.Kind { //nolint:exhaustive // the other kinds are scalars
	case yaml.MappingNode:
		return "object"
	case yaml.SequenceNode:
		return "array"
	}
	switch v.ShortTag() {
	case "!!int":
		return "integer"
	case "!!float":
		return "number"
	case "!!bool":
		return "boolean"
	case "!!null":
		return "null"
	}
	return "string"
}

// choices returns the alternatives of a schema, without null.
func choices(schema *yaml.Node) []*yaml.Node {
	return slices.DeleteFunc(alternatives(schema), isNull)
}

// jsonTypes returns the JSON types that a Go type can hold; ok is false if the Go type does not
// exist.
func (c *checker) jsonTypes(goType string) (types []string, ok bool) {
	switch {
	case strings.HasPrefix(goType, "[]"):
		_, ok := c.jsonTypes(goType[2:])
		return []string{"array"}, ok
	case strings.HasPrefix(goType, "map[string]"):
		return []string{"object"}, true
	case c.goPackage.holds[goType] != nil:
		return c.goPackage.holds[goType], true
	case goType == "any":
		return allTypes, true
	}
	if scalar, ok := map[string][]string{
		"string": {"string"}, "bool": {"boolean"}, "int": {"integer"}, "int64": {"integer"}, "float64": {"integer", "number"},
	}[goType]; ok {
		return scalar, true
	}
	for name, schema := range tree.Pairs(c.schemas) {
		if goName(name, schema) != goType || c.goPackage.excluded[name] {
			continue
		}
		if types := kindsOf(c.schemas, schema, nil); len(types) > 0 {
			return types, true
		}
		return allTypes, true
	}
	return nil, c.goPackage.declared[goType]
}

// allTypes holds all JSON types except null.
var allTypes = []string{"string", "integer", "number", "boolean", "array", "object"}
