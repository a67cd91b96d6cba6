package main

import (
	"errors"
	"fmt"
	"go/token"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/openapi/internal/tree"
)

// failFunc records an error.
type failFunc func(format string, args ...any)

// check returns an error if the generated client would silently lose a part of the
// document, or if code cannot be generated. The map upstream holds the upstream names of
// renamed schemas.
func check(doc *yaml.Node, target *goPackage, upstream map[string]string) error {
	schemas := tree.Get(doc, "components", "schemas")
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	for path, item := range tree.Pairs(tree.Get(doc, "paths")) {
		for method, op := range tree.Pairs(item) {
			if !tree.IsMethod(method) {
				fail("%s: %q applies to the whole path and would be lost", path, method)
				continue
			}
			checkOperation(strings.ToUpper(method)+" "+path, op, fail)
		}
	}
	tree.Walk(doc, "", func(pointer string, n *yaml.Node) {
		if tree.Value(n, "discriminator") != nil {
			checkDiscriminator(schemas, pointer, n, fail)
		}
		if tree.Value(n, "x-go-type") != nil {
			checkGoType(schemas, pointer, n, fail)
		} else if component := strings.Count(pointer, "/") == 3 && strings.HasPrefix(pointer, "/components/schemas/"); !component && isUnion(n) {
			fail("%s is a union that does not equal a named component: name it in the overlay or set its x-go-type", pointer)
		}
	})
	for name, schema := range tree.Pairs(schemas) {
		if enum := tree.Get(schemas, name+"Type", "enum"); enum != nil && isUnion(schema) {
			listed := tree.Texts(enum)
			mapped := tree.Keys(tree.Get(schema, "discriminator", "mapping"))
			slices.Sort(listed)
			slices.Sort(mapped)
			if !slices.Equal(listed, mapped) {
				fail("%sType lists %v, but the discriminator values of %s are %v", name, listed, name, mapped)
			}
		}
	}
	c := checker{goPackage: target, schemas: schemas, upstream: upstream, fail: fail}
	c.document(doc)
	return errors.Join(errs...)
}

// checkOperation checks that the overlay names an operation, and that the generated client
// supports all its keywords.
func checkOperation(where string, op *yaml.Node, fail failFunc) {
	if !token.IsExported(tree.Text(tree.Value(op, "operationId"))) {
		fail("%s: the overlay must set the operationId to an exported Go name", where)
	}
	for key := range tree.Pairs(op) {
		switch key {
		case "operationId", "tags", "summary", "description", "externalDocs", "deprecated", "parameters", "requestBody", "responses":
		default:
			if !strings.HasPrefix(key, "x-") {
				fail("%s: %q would be lost", where, key)
			}
		}
	}
	for mediaType := range tree.Pairs(tree.Get(op, "requestBody", "content")) {
		if mediaType != "application/json" {
			fail("%s: the request body's media type %s would be lost", where, mediaType)
		}
	}
	for status, response := range tree.Pairs(tree.Value(op, "responses")) {
		for mediaType := range tree.Pairs(tree.Value(response, "content")) {
			if mediaType != "application/json" && mediaType != "text/event-stream" {
				fail("%s: the media type %s of response %s would be lost", where, mediaType, status)
			}
		}
	}
}

// checkDiscriminator checks that the mapping and the members of a union agree: each value
// maps to a member whose property has this fixed value, and each member has a value.
func checkDiscriminator(schemas *yaml.Node, pointer string, union *yaml.Node, fail failFunc) {
	discriminator := tree.Value(union, "discriminator")
	property := tree.Text(tree.Value(discriminator, "propertyName"))
	var members []string
	for _, member := range alternatives(union) {
		name, ok := tree.Referenced(member)
		switch {
		case !ok:
			fail("%s: a union with a discriminator has an unnamed member", pointer)
		case slices.Contains(members, name):
			fail("%s: member %s is listed twice", pointer, name)
		default:
			members = append(members, name)
		}
	}
	var mapped []string
	for tag, target := range tree.Pairs(tree.Value(discriminator, "mapping")) {
		name := strings.TrimPrefix(target.Value, tree.SchemaPrefix)
		mapped = append(mapped, name)
		if fixed := fixedValue(tree.Get(schemas, name, "properties", property)); fixed != tag {
			fail("%s: discriminator value %q maps to %s, whose %s is fixed to %q", pointer, tag, name, property, fixed)
		}
		if !slices.Contains(members, name) {
			fail("%s: discriminator value %q maps to %s, which is not a member", pointer, tag, name)
		}
	}
	for _, name := range members {
		if !slices.Contains(mapped, name) {
			fail("%s: member %s lacks a discriminator value; its %s is fixed to %q", pointer, name, property,
				fixedValue(tree.Get(schemas, name, "properties", property)))
		}
	}
}

// fixedValue returns the only value that a property allows, or "".
func fixedValue(property *yaml.Node) string {
	if enum := tree.Texts(tree.Value(property, "enum")); len(enum) == 1 {
		return enum[0]
	}
	return tree.Text(tree.Value(property, "const"))
}

// checkGoType checks that the component in an x-go-type supports everything that the schema
// allows. Upstream may extend a schema beyond a component that the overlay defines.
func checkGoType(schemas *yaml.Node, pointer string, schema *yaml.Node, fail failFunc) {
	goType := tree.Text(tree.Value(schema, "x-go-type"))
	target := tree.Value(schemas, goType)
	if target == nil {
		return
	}
	var members []string
	for _, member := range alternatives(target) {
		name, _ := tree.Referenced(member)
		members = append(members, name)
	}
	for _, alternative := range append(alternatives(schema), schema) {
		if name, ok := tree.Referenced(alternative); ok && name != goType {
			if isUnion(target) && !slices.Contains(members, name) {
				fail("%s may be %s, which is not a member of %s", pointer, name, goType)
			}
			for property := range tree.Pairs(tree.Get(schemas, name, "properties")) {
				if properties := tree.Value(target, "properties"); properties != nil && tree.Value(properties, property) == nil {
					fail("%s may have the property %s of %s, which %s lacks", pointer, property, name, goType)
				}
			}
		}
		allowed := tree.Texts(tree.Value(alternative, "enum"))
		if fixed := tree.Value(alternative, "const"); fixed != nil {
			allowed = append(allowed, fixed.Value)
		}
		for _, v := range allowed {
			if enum := tree.Value(target, "enum"); enum != nil && !slices.Contains(tree.Texts(enum), v) {
				fail("%s may be %q, which %s does not list", pointer, v, goType)
			}
		}
	}
}
