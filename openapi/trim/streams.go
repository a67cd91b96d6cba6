package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/openapi/internal/tree"
)

// mergeStreams merges every path of the form "P#stream" into "P". A client does not send
// a URL fragment, so the two are one HTTP operation: the property "stream" of the request
// selects the media type of the response. The function supports only the form that
// upstream uses, and returns an error for others.
func mergeStreams(doc *yaml.Node) error {
	paths := tree.Get(doc, "paths")
	var errs []error
	for path, item := range tree.Pairs(paths) {
		plain, fragment, found := strings.Cut(path, "#")
		if !found {
			continue
		}
		if fragment != "stream" {
			errs = append(errs, fmt.Errorf("path %s: fragment %q: must be \"stream\"", path, fragment))
			continue
		}
		for method, op := range tree.Pairs(item) {
			if !tree.IsMethod(method) {
				errs = append(errs, fmt.Errorf("path %s: cannot merge %q, which applies to the whole path", path, method))
				continue
			}
			plainOp := tree.Get(paths, plain, method)
			if plainOp == nil {
				errs = append(errs, fmt.Errorf("path %s: cannot find the operation %s %s to merge into", path, method, plain))
				continue
			}
			if err := mergeStream(tree.Get(doc, "components", "schemas"), plainOp, op); err != nil {
				errs = append(errs, fmt.Errorf("%s %s: %w", method, path, err))
			}
		}
	}
	tree.Filter(paths, func(path string, _ *yaml.Node) bool { return !strings.Contains(path, "#") })
	return errors.Join(errs...)
}

func mergeStream(schemas, plain, stream *yaml.Node) error {
	for key, v := range tree.Pairs(stream) {
		switch key {
		case "operationId", "externalDocs", "requestBody", "responses":
		default:
			if !tree.Equal(v, tree.Value(plain, key)) {
				return fmt.Errorf("%q differs from the plain operation and would be lost", key)
			}
		}
	}

	body, err := baseSchema(schemas, plain, "false")
	if err != nil {
		return fmt.Errorf("plain operation: %w", err)
	}
	streamBody, err := baseSchema(schemas, stream, "true")
	if err != nil {
		return err
	}
	if body != streamBody {
		return fmt.Errorf("the request body extends %q, but the plain operation extends %q", streamBody, body)
	}
	if !tree.Equal(tree.Value(stream, "requestBody"), tree.Value(plain, "requestBody"), "content") {
		return errors.New("the request body differs from the plain operation and would be lost")
	}
	tree.Set(tree.Get(plain, "requestBody", "content", "application/json"), "schema", tree.Reference(body))

	for status, response := range tree.Pairs(tree.Value(stream, "responses")) {
		plainResponse := tree.Get(plain, "responses", status)
		if status != "200" {
			if !tree.Equal(response, plainResponse) {
				return fmt.Errorf("response %s differs from the plain operation and would be lost", status)
			}
			continue
		}
		content := tree.Value(response, "content")
		if !slices.Equal(tree.Keys(content), []string{"text/event-stream"}) {
			return fmt.Errorf("response 200: media types must be [text/event-stream], got %v", tree.Keys(content))
		}
		if plainTypes := tree.Keys(tree.Value(plainResponse, "content")); !slices.Equal(plainTypes, []string{"application/json"}) {
			return fmt.Errorf("response 200 of the plain operation: media types must be [application/json], got %v", plainTypes)
		}
		if !tree.Equal(response, plainResponse, "content") {
			return errors.New("response 200 differs from the plain operation outside of its content and would be lost")
		}
		tree.Set(tree.Value(plainResponse, "content"), "text/event-stream", tree.Value(content, "text/event-stream"))
	}
	return nil
}

// baseSchema returns the name of the schema X of a request body that upstream defines as
// allOf: [X, {properties: {stream: {enum: [flag]}}}].
func baseSchema(schemas, op *yaml.Node, flag string) (string, error) {
	content := tree.Get(op, "requestBody", "content")
	if !slices.Equal(tree.Keys(content), []string{"application/json"}) {
		return "", fmt.Errorf("request body: media types must be [application/json], got %v", tree.Keys(content))
	}
	name, ok := tree.Referenced(tree.Get(content, "application/json", "schema"))
	if !ok {
		return "", errors.New("request body: must be a reference to a component schema")
	}
	wrapper := tree.Value(schemas, name)
	all := tree.Elements(tree.Value(wrapper, "allOf"))
	if !slices.Equal(tree.Keys(wrapper), []string{"allOf"}) || len(all) != 2 || !slices.Equal(tree.Keys(tree.Value(all[1], "properties")), []string{"stream"}) {
		return "", fmt.Errorf("schema %s: must be allOf: [base, {properties: {stream}}] without other keywords", name)
	}
	if enum := tree.Texts(tree.Get(all[1], "properties", "stream", "enum")); !slices.Equal(enum, []string{flag}) {
		return "", fmt.Errorf("schema %s: the enum of stream must be [%s]", name, flag)
	}
	base, ok := tree.Referenced(all[0])
	if !ok {
		return "", fmt.Errorf("schema %s: the first member of allOf must be a reference", name)
	}
	return base, nil
}
