package main

import (
	"fmt"

	"gopkg.in/yaml.v3"
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
		if text(value(n, key)) == "" {
			gaps = append(gaps, fmt.Sprintf(format, args...)+" has no "+key)
		}
	}

	for _, tag := range elements(value(root, "tags")) {
		want(tag, "description", "tag %s", text(value(tag, "name")))
	}
	for _, item := range pairs(value(root, "paths")) {
		for method, op := range pairs(item) {
			if !isMethod(method) {
				continue
			}
			id := text(value(op, "operationId"))
			want(op, "summary", "operation %s", id)
			if text(value(op, "deprecated")) == "true" {
				want(op, "x-deprecated-reason", "deprecated operation %s", id)
			}
			for _, parameter := range elements(value(op, "parameters")) {
				want(parameter, "description", "parameter %s of %s", text(value(parameter, "name")), id)
			}
			for status, response := range pairs(value(op, "responses")) {
				want(response, "description", "response %s of %s", status, id)
			}
		}
	}
	for name, schema := range pairs(get(root, "components", "schemas")) {
		want(schema, "description", "schema %s", name)
		for property, v := range pairs(value(schema, "properties")) {
			want(v, "description", "property %s.%s", name, property)
		}
	}
	return gaps, nil
}
