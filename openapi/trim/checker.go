package main

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/oapi-codegen/oapi-codegen/v2/pkg/codegen"
	"gopkg.in/yaml.v3"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/openapi/internal/tree"
)

// A checker rejects schemas for which the generated code would not compile or could not hold all
// allowed values. Each error names the place and the overlay action that fixes it.
type checker struct {
	goPackage *goPackage
	schemas   *yaml.Node
	roots     []*yaml.Node
	upstream  map[string]string // the upstream names of renamed schemas
	fail      failFunc
}

// reject records an error with an overlay action, whose target is the place.
func (c *checker) reject(place []string, action, format string, args ...any) {
	c.fail("%s %s: add to the overlay {target: %q, %s}", pointer(place), fmt.Sprintf(format, args...), c.target(place), action)
}

func (c *checker) document(doc *yaml.Node) {
	c.roots = []*yaml.Node{tree.Value(doc, "paths"), c.schemas}
	c.names(doc)
	for name, schema := range tree.Pairs(c.schemas) {
		place := []string{"components", "schemas", name}
		if !c.goPackage.excluded[name] {
			c.schema(place, schema)
			c.recursion(place, name, schema)
		} else if types := c.goPackage.holds[name]; types != nil {
			c.checkHolds(place, schema, name, types)
		}
	}
	for path, item := range tree.Pairs(tree.Value(doc, "paths")) {
		for method, op := range tree.Pairs(item) {
			if tree.IsMethod(method) {
				c.operation([]string{"paths", path, method}, op)
			}
		}
	}
}

func (c *checker) operation(place []string, op *yaml.Node) {
	names := map[string]string{}
	for i, parameter := range tree.Elements(tree.Value(op, "parameters")) {
		name, in := tree.Text(tree.Value(parameter, "name")), tree.Text(tree.Value(parameter, "in"))
		at := below(place, "parameters", "[?@.name=='"+name+"']", strconv.Itoa(i))
		if in != "path" && in != "query" {
			c.reject(at, "remove: true", "is a parameter in the %s, which the client cannot send", in)
			continue
		}
		if other := names[goName(name, parameter)]; other != "" {
			c.reject(at, "update: {x-go-name: …}", "has the Go name of the parameter %s", other)
		}
		names[goName(name, parameter)] = name
		if schema := tree.Value(parameter, "schema"); schema != nil {
			c.schema(below(at, "schema"), schema)
		}
	}
	if body := tree.Get(op, "requestBody", "content", "application/json", "schema"); body != nil {
		at := below(place, "requestBody", "content", "application/json", "schema")
		name, isReference := tree.Referenced(body)
		if !isReference || tree.Value(resolve(c.schemas, body), "properties") == nil || c.goPackage.excluded[name] {
			c.reject(at, "update: {$ref: '#/components/schemas/…'}", "must be a reference to a component with properties, so that the client can encode it; an update of $.components.schemas can add the component")
		}
	}
	for status, response := range tree.Pairs(tree.Value(op, "responses")) {
		if schema := tree.Get(response, "content", "application/json", "schema"); schema != nil {
			c.schema(below(place, "responses", status, "content", "application/json", "schema"), schema)
		}
	}
}

// schema checks a schema and its subschemas.
func (c *checker) schema(place []string, schema *yaml.Node) {
	if goType := tree.Text(tree.Value(schema, "x-go-type")); goType != "" {
		types, ok := c.jsonTypes(goType)
		if !ok {
			c.reject(place, "update: {x-go-type: …}", "has the Go type %s, which does not exist", goType)
			return
		}
		c.checkHolds(place, schema, goType, types)
		return
	}
	if name, ok := tree.Referenced(schema); ok {
		if c.goPackage.excluded[name] && !c.goPackage.declared[goName(name, nil)] {
			c.reject(place, "update: {x-go-type: "+c.placeholderType(name)+"}", "refers to %s, which does not have a Go type", name)
		}
		return
	}
	component := len(place) == 3
	types := kinds(c.schemas, schema)
	switch options := choices(schema); {
	case component && tree.Value(schema, "discriminator") != nil:
		if property := tree.Text(tree.Get(schema, "discriminator", "propertyName")); property != "type" {
			c.reject(place, "update: {x-go-type: JSON}", "has the discriminator %q, but the templates only support \"type\"", property)
		}
		return
	case len(options) > 1 && objectMembers(schema) == len(options) && slices.Equal(types, []string{"object"}):
		if component {
			c.reject(place, "update: {discriminator: {propertyName: type, mapping: {…}}}", "is a union without a discriminator")
		}
		return // function check reports a union that is not a component
	case len(options) > 1 && len(types) == 1:
		c.reject(place, "update: {x-go-type: "+c.suggest(schema)+"}", "is a choice between schemas of type %s, which does not have a Go type", types[0])
		return
	case len(options) > 1 || len(types) > 1:
		c.reject(place, "update: {x-go-type: "+c.suggest(schema)+"}", "is a choice between %s, which does not have a Go type", cmp.Or(join(types), "any types"))
		return
	case len(options) == 1:
		keyword := "anyOf"
		if tree.Value(schema, "oneOf") != nil {
			keyword = "oneOf"
		}
		index := slices.Index(tree.Elements(tree.Value(schema, keyword)), options[0])
		c.schema(below(place, keyword, strconv.Itoa(index)), options[0])
		return
	}
	properties := tree.Value(schema, "properties")
	if extra := tree.Value(schema, "additionalProperties"); extra != nil && extra.Kind == yaml.MappingNode || properties != nil && tree.Text(extra) == "true" {
		if len(tree.Keys(properties)) > 0 {
			c.reject(below(place, "additionalProperties"), "remove: true", "is combined with properties, which the generator does not support; Raw returns undeclared properties")
		} else {
			c.schema(below(place, "additionalProperties"), extra)
		}
	}
	for name, property := range tree.Pairs(properties) {
		c.schema(below(place, "properties", name), property)
	}
	if items := tree.Value(schema, "items"); items != nil {
		c.schema(below(place, "items"), items)
	}
	for i, part := range tree.Elements(tree.Value(schema, "allOf")) {
		c.schema(below(place, "allOf", strconv.Itoa(i)), part)
	}
	c.fields(place, schema)
}

// checkHolds rejects a schema that allows a JSON type that a Go type cannot hold.
func (c *checker) checkHolds(place []string, schema *yaml.Node, goType string, holds []string) {
	types := kinds(c.schemas, schema)
	if len(types) == 0 {
		return // the schema does not restrict the type
	}
	var excess []string
	for _, kind := range types {
		if slices.Contains(holds, kind) || kind == "integer" && slices.Contains(holds, "number") {
			continue
		}
		excess = append(excess, kind)
	}
	if len(excess) > 0 {
		c.reject(place, "update: {x-go-type: "+c.suggest(schema)+"}", "may be %s, which %s cannot hold", join(excess), goType)
	}
}

// suggest returns a Go type for a schema: string, float64, StringOrInteger, or JSON, which holds
// any value.
func (c *checker) suggest(schema *yaml.Node) string {
	types := kinds(c.schemas, schema)
	switch {
	case slices.Equal(types, []string{"string"}):
		return "string"
	case len(types) > 0 && !slices.ContainsFunc(types, func(kind string) bool { return kind != "integer" && kind != "number" }):
		return "float64"
	case len(types) == 2 && slices.Contains(types, "string") && slices.Contains(types, "integer") && c.goPackage.holds["StringOrInteger"] != nil:
		return "StringOrInteger"
	}
	return "JSON"
}

// placeholderType returns the Go type that other references to a component have.
func (c *checker) placeholderType(component string) string {
	found := c.suggest(tree.Value(c.schemas, component))
	for _, root := range c.roots {
		tree.Walk(root, "", func(_ string, n *yaml.Node) {
			goType := tree.Text(tree.Value(n, "x-go-type"))
			for _, option := range append(alternatives(n), n) {
				if name, ok := tree.Referenced(option); ok && name == component && goType != "" {
					found = goType
				}
			}
		})
	}
	return found
}

// recursion rejects a property that would make a Go type contain itself.
func (c *checker) recursion(place []string, name string, schema *yaml.Node) {
	var reach func(schema *yaml.Node, seen []string) bool
	reach = func(schema *yaml.Node, seen []string) bool {
		for property, v := range tree.Pairs(tree.Value(schema, "properties")) {
			if tree.Text(tree.Value(v, "x-go-type")) != "" || tree.Text(tree.Value(v, "x-go-type-skip-optional-pointer")) == "false" {
				continue
			}
			if options := choices(v); len(options) == 1 {
				v = options[0]
			}
			to, ok := tree.Referenced(v)
			if !ok || slices.Contains(seen, to) {
				continue
			}
			if to == name || reach(tree.Value(c.schemas, to), append(slices.Clone(seen), to)) {
				if len(seen) == 0 {
					c.reject(below(place, "properties", property), "update: {x-go-type-skip-optional-pointer: false}", "makes the Go type %s contain itself", name)
				}
				return true
			}
		}
		return false
	}
	if tree.Value(schema, "discriminator") == nil {
		reach(schema, nil)
	}
}

// names rejects a schema whose Go name is already used in the package.
func (c *checker) names(doc *yaml.Node) {
	taken := map[string]string{}
	for name := range c.goPackage.declared {
		taken[name] = "a hand-written name"
	}
	for _, item := range tree.Pairs(tree.Value(doc, "paths")) {
		for method, op := range tree.Pairs(item) {
			if id := tree.Text(tree.Value(op, "operationId")); tree.IsMethod(method) {
				taken[id+"Params"] = "the parameters of " + id
			}
		}
	}
	for name, schema := range tree.Pairs(c.schemas) {
		typeName := goName(name, schema)
		if tree.Value(schema, "discriminator") != nil {
			for _, generated := range []string{typeName + "Variant", "Unknown" + typeName, "New" + typeName} {
				taken[generated] = "generated for the union " + name
			}
		}
		for _, constant := range tree.Texts(tree.Value(schema, "enum")) {
			taken[typeName+codegen.SchemaNameToTypeName(constant)] = "a constant of " + name
		}
	}
	for name, schema := range tree.Pairs(c.schemas) {
		typeName := goName(name, schema)
		if c.goPackage.excluded[name] {
			continue
		}
		if other, ok := taken[typeName]; ok {
			c.reject([]string{"components", "schemas", name}, "update: {x-rename: …}", "has the Go name %s, which is %s", typeName, other)
		}
		taken[typeName] = "the name of the schema " + name
	}
}

// fields rejects a property whose Go name is already the name of a field or a method.
func (c *checker) fields(place []string, schema *yaml.Node) {
	taken := map[string]string{"String": "a method", "MarshalJSON": "a method", "UnmarshalJSON": "a method"}
	if tree.Value(schema, "x-raw") != nil {
		taken["Raw"], taken["Mismatches"] = "a method", "a method"
	}
	if len(place) == 3 {
		for _, method := range c.goPackage.methods[goName(place[2], schema)] {
			taken[method] = "a hand-written method"
		}
	}
	for name, property := range tree.Pairs(tree.Value(schema, "properties")) {
		fieldName := goName(name, property)
		if other, ok := taken[fieldName]; ok {
			c.reject(below(place, "properties", name), "update: {x-go-name: …}", "has the Go name %s, which is %s", fieldName, other)
		}
		taken[fieldName] = "the name of the property " + name
	}
}

// below appends keys to a copy of a place.
func below(place []string, keys ...string) []string { return append(slices.Clone(place), keys...) }

// resolve follows a reference to a component.
func resolve(schemas, schema *yaml.Node) *yaml.Node {
	if name, ok := tree.Referenced(schema); ok {
		return tree.Value(schemas, name)
	}
	return schema
}

// join lists JSON types in a text.
func join(kinds []string) string {
	if len(kinds) < 2 {
		return strings.Join(kinds, "")
	}
	return strings.Join(kinds[:len(kinds)-1], ", ") + " and " + kinds[len(kinds)-1]
}
