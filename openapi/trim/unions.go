package main

import (
	"slices"

	"gopkg.in/yaml.v3"
)

// nameUnions replaces every inline union that says the same as a named one by a
// reference to it, so that one Go type serves them all. Upstream writes the list
// of tools out in each place; the overlay names it once, by copying one of them.
// A place that upstream changes later stops being equal, stays inline, and is
// then refused by check.
func nameUnions(doc *yaml.Node) error {
	schemas := get(doc, "components", "schemas")
	walk(doc, "", func(_ string, n *yaml.Node) {
		for i := range n.Content {
			if n.Kind == yaml.MappingNode && i%2 == 0 {
				continue
			}
			child := n.Content[i]
			for name, schema := range pairs(schemas) {
				if child != schema && isUnion(child) && isUnion(schema) && equal(child, schema, "description", "discriminator", "x-secret") {
					n.Content[i] = reference(name)
					if description := value(child, "description"); description != nil {
						set(n.Content[i], "description", description)
					}
				}
			}
		}
	})
	return nil
}

// isUnion reports whether a schema chooses between several objects. A schema
// that is merely nullable, or a choice between scalars, is not a union.
func isUnion(n *yaml.Node) bool {
	return value(n, "discriminator") != nil || objectMembers(n) > 1
}

func objectMembers(n *yaml.Node) int {
	count := 0
	for _, member := range alternatives(n) {
		if _, ok := referenced(member); ok {
			count++
		}
	}
	return count
}

// alternatives lists what a schema chooses between.
func alternatives(n *yaml.Node) []*yaml.Node {
	return append(slices.Clone(elements(value(n, "oneOf"))), elements(value(n, "anyOf"))...)
}
