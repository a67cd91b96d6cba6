package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// check refuses a document from which the generated client would silently lose
// something.
func check(doc *yaml.Node) error {
	schemas := get(doc, "components", "schemas")
	var errs []error
	fail := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }

	walk(doc, "", func(pointer string, n *yaml.Node) {
		if discriminator := value(n, "discriminator"); discriminator != nil {
			checkDiscriminator(schemas, pointer, n, fail)
		}
		component := strings.Count(pointer, "/") == 3 && strings.HasPrefix(pointer, "/components/schemas/")
		if !component && isUnion(n) && value(n, "x-go-type") == nil {
			fail("%s is a union that no named component equals: name it in the overlay, or say its x-go-type", pointer)
		}
		if strings.HasSuffix(pointer, "/properties") {
			for name, property := range pairs(n) {
				if onlyDescribed(property) {
					fail("%s/%s: the overlay describes a property that upstream does not have", pointer, name)
				}
			}
		}
	})
	for name, schema := range pairs(schemas) {
		if enum := get(schemas, name+"Type", "enum"); enum != nil {
			var listed []string
			for _, tag := range enum.Content {
				listed = append(listed, tag.Value)
			}
			mapped := keys(get(schema, "discriminator", "mapping"))
			slices.Sort(listed)
			slices.Sort(mapped)
			if !slices.Equal(listed, mapped) {
				fail("%sType lists %v, but the discriminator values of %s are %v", name, listed, name, mapped)
			}
		}
	}
	for path, item := range pairs(get(doc, "paths")) {
		for method, op := range pairs(item) {
			if isMethod(method) && strings.HasPrefix(text(value(op, "operationId")), "agents_api_") {
				fail("%s %s: the operation has no name of ours in the overlay", method, path)
			}
		}
	}
	return errors.Join(errs...)
}

// checkDiscriminator demands that the mapping and the members of a union agree:
// each value leads to a member whose own property fixes that very value, and
// each member is reached.
func checkDiscriminator(schemas *yaml.Node, pointer string, union *yaml.Node, fail func(string, ...any)) {
	discriminator := value(union, "discriminator")
	property := text(value(discriminator, "propertyName"))
	mapped := map[string]string{}
	for tag, target := range pairs(value(discriminator, "mapping")) {
		name := strings.TrimPrefix(target.Value, schemaPrefix)
		mapped[name] = tag
		fixed := fixedValue(get(schemas, name, "properties", property))
		if fixed != tag {
			fail("%s: discriminator value %q leads to %s, whose %s is fixed to %q", pointer, tag, name, property, fixed)
		}
	}
	var members []string
	for _, keyword := range []string{"oneOf", "anyOf"} {
		if list := value(union, keyword); list != nil {
			for _, member := range list.Content {
				name, ok := referenced(member)
				if !ok {
					fail("%s: a union with a discriminator has a member without a name", pointer)
					continue
				}
				members = append(members, name)
				if mapped[name] == "" {
					fail("%s: member %s has no discriminator value; its %s is fixed to %q", pointer, name, property,
						fixedValue(get(schemas, name, "properties", property)))
				}
			}
		}
	}
	for name, tag := range mapped {
		if !slices.Contains(members, name) {
			fail("%s: discriminator value %q leads to %s, which is no member", pointer, tag, name)
		}
	}
}

func fixedValue(property *yaml.Node) string {
	if enum := value(property, "enum"); enum != nil && len(enum.Content) == 1 {
		return enum.Content[0].Value
	}
	return text(value(property, "const"))
}

// onlyDescribed reports whether a schema has nothing but what an overlay adds.
func onlyDescribed(schema *yaml.Node) bool {
	names := keys(schema)
	return len(names) > 0 && !slices.ContainsFunc(names, func(key string) bool {
		return key != "description" && !strings.HasPrefix(key, "x-")
	})
}
