package main

import (
	"fmt"

	"gopkg.in/yaml.v3"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/openapi/internal/tree"
)

// undescribed returns the tags, operations, parameters, responses, schemas and properties
// without a description. They are not errors, so that a field that upstream adds does not
// block an update.
func undescribed(document []byte) ([]string, error) {
	var doc yaml.Node
	if err := yaml.Unmarshal(document, &doc); err != nil {
		return nil, err
	}
	root := doc.Content[0]
	var gaps []string
	require := func(n *yaml.Node, key, format string, args ...any) {
		if tree.Text(tree.Value(n, key)) == "" {
			gaps = append(gaps, fmt.Sprintf(format, args...)+": missing "+key)
		}
	}

	for _, tag := range tree.Elements(tree.Value(root, "tags")) {
		require(tag, "description", "tag %s", tree.Text(tree.Value(tag, "name")))
	}
	for _, item := range tree.Pairs(tree.Value(root, "paths")) {
		for method, op := range tree.Pairs(item) {
			if !tree.IsMethod(method) {
				continue
			}
			id := tree.Text(tree.Value(op, "operationId"))
			require(op, "summary", "operation %s", id)
			if tree.Text(tree.Value(op, "deprecated")) == "true" {
				require(op, "x-deprecated-reason", "deprecated operation %s", id)
			}
			for _, parameter := range tree.Elements(tree.Value(op, "parameters")) {
				require(parameter, "description", "parameter %s of %s", tree.Text(tree.Value(parameter, "name")), id)
			}
			for status, response := range tree.Pairs(tree.Value(op, "responses")) {
				require(response, "description", "response %s of %s", status, id)
			}
		}
	}
	for name, schema := range tree.Pairs(tree.Get(root, "components", "schemas")) {
		require(schema, "description", "schema %s", name)
		for property, v := range tree.Pairs(tree.Value(schema, "properties")) {
			require(v, "description", "property %s.%s", name, property)
		}
	}
	return gaps, nil
}
