package main

import (
	"slices"

	"gopkg.in/yaml.v3"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/openapi/internal/tree"
)

// nameUnions replaces every inline union that equals a named one with a reference, so
// that they share one Go type. For example, upstream repeats the list of tools, and the
// overlay names it by copying one occurrence. If upstream changes one occurrence, it
// remains inline, and function check rejects it.
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

// isUnion reports whether a schema is a choice between several objects. A nullable schema
// and a choice between scalars are not unions.
func isUnion(n *yaml.Node) bool {
	return tree.Value(n, "discriminator") != nil || objectMembers(n) > 1
}

// objectMembers returns the number of alternatives that are references.
func objectMembers(n *yaml.Node) int {
	count := 0
	for _, member := range alternatives(n) {
		if _, ok := tree.Referenced(member); ok {
			count++
		}
	}
	return count
}

// alternatives returns the members of oneOf and anyOf.
func alternatives(n *yaml.Node) []*yaml.Node {
	return append(slices.Clone(tree.Elements(tree.Value(n, "oneOf"))), tree.Elements(tree.Value(n, "anyOf"))...)
}
