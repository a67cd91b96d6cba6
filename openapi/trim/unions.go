package main

import (
	"slices"

	"gopkg.in/yaml.v3"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/openapi/internal/tree"
)

// nameUnions replaces every inline union that says the same as a named one by a
// reference to it, so that one Go type serves them all. Upstream writes the list
// of tools out in each place; the overlay names it once, by copying one of them.
// A place that upstream changes later stops being equal, stays inline, and is
// then refused by check.
func nameUnions(doc *yaml.Node) error {
	schemas := tree.Get(doc, "components", "schemas")
	tree.Walk(doc, "", func(_ string, n *yaml.Node) {
		for i := range n.Content {
			if n.Kind == yaml.MappingNode && i%2 == 0 {
				continue
			}
			child := n.Content[i]
			for name, schema := range tree.Pairs(schemas) {
				if child != schema && isUnion(child) && isUnion(schema) && tree.Equal(child, schema, "description", "discriminator", "x-secret") {
					n.Content[i] = tree.Reference(name)
					if description := tree.Value(child, "description"); description != nil {
						tree.Set(n.Content[i], "description", description)
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
	return tree.Value(n, "discriminator") != nil || objectMembers(n) > 1
}

func objectMembers(n *yaml.Node) int {
	count := 0
	for _, member := range alternatives(n) {
		if _, ok := tree.Referenced(member); ok {
			count++
		}
	}
	return count
}

// alternatives lists what a schema chooses between.
func alternatives(n *yaml.Node) []*yaml.Node {
	return append(slices.Clone(tree.Elements(tree.Value(n, "oneOf"))), tree.Elements(tree.Value(n, "anyOf"))...)
}
