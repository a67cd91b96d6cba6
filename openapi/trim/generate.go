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

// A checker refuses what the generator would make code of that does not compile, or that
// cannot hold what the schema allows. Each refusal names the place and the action of the
// overlay that answers it.
type checker struct {
	goPackage *goPackage
	schemas   *yaml.Node
	roots     []*yaml.Node
	upstream  map[string]string // names of renamed schemas upstream, where the overlay finds them
	fail      failFunc
}

// refuse fails with an action, whose target is the place.
func (c *checker) refuse(place []string, action, format string, args ...any) {
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
		} else if room := c.goPackage.holds[name]; room != nil {
			c.fits(place, schema, name, room)
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
			c.refuse(at, "remove: true", "is a parameter in the %s, which the client cannot send", in)
			continue
		}
		if other := names[goName(name, parameter)]; other != "" {
			c.refuse(at, "update: {x-go-name: …}", "has the Go name of the parameter %s", other)
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
			c.refuse(at, "update: {$ref: '#/components/schemas/…'}", "is not a component with properties, which the client could encode; name one, to be made beside it by update of $.components.schemas")
		}
	}
	for status, response := range tree.Pairs(tree.Value(op, "responses")) {
		if schema := tree.Get(response, "content", "application/json", "schema"); schema != nil {
			c.schema(below(place, "responses", status, "content", "application/json", "schema"), schema)
		}
	}
}

// schema checks one schema and those within it.
func (c *checker) schema(place []string, schema *yaml.Node) {
	if goType := tree.Text(tree.Value(schema, "x-go-type")); goType != "" {
		room, ok := c.room(goType)
		if !ok {
			c.refuse(place, "update: {x-go-type: …}", "has the Go type %s, which does not exist", goType)
			return
		}
		c.fits(place, schema, goType, room)
		return
	}
	if name, ok := tree.Referenced(schema); ok {
		if c.goPackage.excluded[name] && !c.goPackage.declared[goName(name, nil)] {
			c.refuse(place, "update: {x-go-type: "+c.placeholderType(name)+"}", "refers to %s, of which no Go type is made", name)
		}
		return
	}
	component := len(place) == 3
	of := kinds(c.schemas, schema)
	switch options := choices(schema); {
	case component && tree.Value(schema, "discriminator") != nil:
		if property := tree.Text(tree.Get(schema, "discriminator", "propertyName")); property != "type" {
			c.refuse(place, "update: {x-go-type: JSON}", "is told apart by %q, where the templates know \"type\" alone", property)
		}
		return
	case len(options) > 1 && objectMembers(schema) == len(options) && slices.Equal(of, []string{"object"}):
		if component {
			c.refuse(place, "update: {discriminator: {propertyName: type, mapping: {…}}}", "is a union without a discriminator")
		}
		return // another check names a union that is not a component
	case len(options) > 1 && len(of) == 1:
		c.refuse(place, "update: {x-go-type: "+c.suggest(schema)+"}", "is a choice between schemas of the type %s, for which no Go type exists", of[0])
		return
	case len(options) > 1 || len(of) > 1:
		c.refuse(place, "update: {x-go-type: "+c.suggest(schema)+"}", "is a choice between %s, for which no Go type exists", cmp.Or(join(of), "anything"))
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
			c.refuse(below(place, "additionalProperties"), "remove: true", "stands beside properties, and Go's type would have two codecs; Raw() has what is undeclared")
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

// fits fails where a schema allows what a Go type cannot hold.
func (c *checker) fits(place []string, schema *yaml.Node, goType string, room []string) {
	of := kinds(c.schemas, schema)
	if len(of) == 0 {
		return // it allows anything, and says nothing
	}
	var beyond []string
	for _, kind := range of {
		if slices.Contains(room, kind) || kind == "integer" && slices.Contains(room, "number") {
			continue
		}
		beyond = append(beyond, kind)
	}
	if len(beyond) > 0 {
		c.refuse(place, "update: {x-go-type: "+c.suggest(schema)+"}", "may be %s, which %s cannot hold", join(beyond), goType)
	}
}

// suggest names the Go type that a schema can have: a text, a number, the hand-written type of
// just these kinds of scalar, or JSON, which holds anything.
func (c *checker) suggest(schema *yaml.Node) string {
	of := kinds(c.schemas, schema)
	switch {
	case slices.Equal(of, []string{"string"}):
		return "string"
	case len(of) > 0 && !slices.ContainsFunc(of, func(kind string) bool { return kind != "integer" && kind != "number" }):
		return "float64"
	case len(of) == 2 && slices.Contains(of, "string") && slices.Contains(of, "integer") && c.goPackage.holds["StringOrInteger"] != nil:
		return "StringOrInteger"
	}
	return "JSON"
}

// placeholderType names the Go type that other places have in place of a component.
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

// recursion fails where a type would hold itself.
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
					c.refuse(below(place, "properties", property), "update: {x-go-type-skip-optional-pointer: false}", "leads back to %s, which would hold itself", name)
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

// names fails where two things in the package would have one name.
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
		own := goName(name, schema)
		if tree.Value(schema, "discriminator") != nil {
			for _, made := range []string{own + "Variant", "Unknown" + own, "New" + own} {
				taken[made] = "made for the union " + name
			}
		}
		for _, constant := range tree.Texts(tree.Value(schema, "enum")) {
			taken[own+codegen.SchemaNameToTypeName(constant)] = "a constant of " + name
		}
	}
	for name, schema := range tree.Pairs(c.schemas) {
		own := goName(name, schema)
		if c.goPackage.excluded[name] {
			continue
		}
		if other, ok := taken[own]; ok {
			c.refuse([]string{"components", "schemas", name}, "update: {x-rename: …}", "has the Go name %s, which is %s", own, other)
		}
		taken[own] = "that of the schema " + name
	}
}

// fields fails where two fields of a struct, or a field and a method, would have one name.
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
		own := goName(name, property)
		if other, ok := taken[own]; ok {
			c.refuse(below(place, "properties", name), "update: {x-go-name: …}", "has the Go name %s, which is %s", own, other)
		}
		taken[own] = "that of the property " + name
	}
}

func below(place []string, keys ...string) []string { return append(slices.Clone(place), keys...) }

// resolve follows a reference to a component.
func resolve(schemas, schema *yaml.Node) *yaml.Node {
	if name, ok := tree.Referenced(schema); ok {
		return tree.Value(schemas, name)
	}
	return schema
}

// join lists types of JSON.
func join(kinds []string) string {
	if len(kinds) < 2 {
		return strings.Join(kinds, "")
	}
	return strings.Join(kinds[:len(kinds)-1], ", ") + " and " + kinds[len(kinds)-1]
}
