package main

import (
	"fmt"

	"gopkg.in/yaml.v3"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/openapi/internal/tree"
)

// undescribed names everything in a document that lacks words of ours: a tag, an
// operation, its parameters and responses, a schema, a property. A run does
// not fail for it, because a field that upstream adds must not hold up the rest.
func undescribed(document []byte) ([]string, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(document, &doc); err != nil {
		return nil, err
	}
	root := doc.Content[0]
	var gaps []string
	want := func(n *yaml.Node, key, format string, args ...any) {
		if tree.Text(tree.Value(n, key)) == "" {
			gaps = append(gaps, fmt.Sprintf(format, args...)+" has no "+key)
		}
	}

	for _, tag := range tree.Elements(tree.Value(root, "tags")) {
		want(tag, "description", "tag %s", tree.Text(tree.Value(tag, "name")))
	}
	for _, item := range tree.Pairs(tree.Value(root, "paths")) {
		for method, op := range tree.Pairs(item) {
			if !tree.IsMethod(method) {
				continue
			}
			id := tree.Text(tree.Value(op, "operationId"))
			want(op, "summary", "operation %s", id)
			if tree.Text(tree.Value(op, "deprecated")) == "true" {
				want(op, "x-deprecated-reason", "deprecated operation %s", id)
			}
			for _, parameter := range tree.Elements(tree.Value(op, "parameters")) {
				want(parameter, "description", "parameter %s of %s", tree.Text(tree.Value(parameter, "name")), id)
			}
			for status, response := range tree.Pairs(tree.Value(op, "responses")) {
				want(response, "description", "response %s of %s", status, id)
			}
		}
	}
	for name, schema := range tree.Pairs(tree.Get(root, "components", "schemas")) {
		want(schema, "description", "schema %s", name)
		for property, v := range tree.Pairs(tree.Value(schema, "properties")) {
			want(v, "description", "property %s.%s", name, property)
		}
	}
	return gaps, nil
}
