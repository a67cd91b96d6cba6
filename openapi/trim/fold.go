package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/openapi/internal/tree"
)

// foldStreams merges every path of the form "P#stream" into "P". A URL fragment
// is never sent, so the two are one operation on the wire: the body's "stream"
// flag chooses between its two response media types. Only the shape that
// upstream is known to use is folded; any other is an error.
func foldStreams(doc *yaml.Node) error {
	paths := tree.Get(doc, "paths")
	var errs []error
	for path, item := range tree.Pairs(paths) {
		plain, fragment, found := strings.Cut(path, "#")
		if !found {
			continue
		}
		if fragment != "stream" {
			errs = append(errs, fmt.Errorf("path %s: unknown fragment %q, only #stream can be folded", path, fragment))
			continue
		}
		for method, op := range tree.Pairs(item) {
			if !tree.IsMethod(method) {
				errs = append(errs, fmt.Errorf("path %s: %q of a whole path cannot be folded", path, method))
				continue
			}
			twin := tree.Get(paths, plain, method)
			if twin == nil {
				errs = append(errs, fmt.Errorf("path %s: no plain operation %s %s to fold into", path, method, plain))
				continue
			}
			if err := foldStream(tree.Get(doc, "components", "schemas"), twin, op); err != nil {
				errs = append(errs, fmt.Errorf("%s %s: %w", method, path, err))
			}
		}
	}
	tree.Filter(paths, func(path string, _ *yaml.Node) bool { return !strings.Contains(path, "#") })
	return errors.Join(errs...)
}

func foldStream(schemas, plain, stream *yaml.Node) error {
	for key, v := range tree.Pairs(stream) {
		switch key {
		case "operationId", "externalDocs", "requestBody", "responses":
		default:
			if !tree.Equal(v, tree.Value(plain, key)) {
				return fmt.Errorf("%q differs from the plain operation's and would be lost", key)
			}
		}
	}

	body, err := streamlessBody(schemas, plain, "false")
	if err != nil {
		return fmt.Errorf("plain operation: %w", err)
	}
	streamBody, err := streamlessBody(schemas, stream, "true")
	if err != nil {
		return err
	}
	if body != streamBody {
		return fmt.Errorf("request body is built on %q, the plain operation's on %q", streamBody, body)
	}
	if !tree.Equal(tree.Value(stream, "requestBody"), tree.Value(plain, "requestBody"), "content") {
		return errors.New("request body differs from the plain operation's and would be lost")
	}
	tree.Set(tree.Get(plain, "requestBody", "content", "application/json"), "schema", tree.Reference(body))

	for status, response := range tree.Pairs(tree.Value(stream, "responses")) {
		twin := tree.Get(plain, "responses", status)
		if status != "200" {
			if !tree.Equal(response, twin) {
				return fmt.Errorf("response %s differs from the plain operation's and would be lost", status)
			}
			continue
		}
		content := tree.Value(response, "content")
		if !slices.Equal(tree.Keys(content), []string{"text/event-stream"}) {
			return fmt.Errorf("response 200 has the media types %v, want text/event-stream alone", tree.Keys(content))
		}
		if plainTypes := tree.Keys(tree.Value(twin, "content")); !slices.Equal(plainTypes, []string{"application/json"}) {
			return fmt.Errorf("response 200 of the plain operation has the media types %v, want application/json alone", plainTypes)
		}
		if !tree.Equal(response, twin, "content") {
			return errors.New("response 200 differs from the plain operation's in more than its content, which would be lost")
		}
		tree.Set(tree.Value(twin, "content"), "text/event-stream", tree.Value(content, "text/event-stream"))
	}
	return nil
}

// streamlessBody names the schema X of a request body that upstream writes as
// allOf: [X, {properties: {stream: {enum: [flag]}}}].
func streamlessBody(schemas, op *yaml.Node, flag string) (string, error) {
	content := tree.Get(op, "requestBody", "content")
	if !slices.Equal(tree.Keys(content), []string{"application/json"}) {
		return "", fmt.Errorf("request body has the media types %v, want application/json alone", tree.Keys(content))
	}
	name, ok := tree.Referenced(tree.Get(content, "application/json", "schema"))
	if !ok {
		return "", errors.New("request body is not a reference to a component schema")
	}
	wrapper := tree.Value(schemas, name)
	all := tree.Elements(tree.Value(wrapper, "allOf"))
	if !slices.Equal(tree.Keys(wrapper), []string{"allOf"}) || len(all) != 2 || !slices.Equal(tree.Keys(tree.Value(all[1], "properties")), []string{"stream"}) {
		return "", fmt.Errorf("schema %s is not allOf: [base, {properties: {stream}}] and nothing else", name)
	}
	if enum := tree.Texts(tree.Get(all[1], "properties", "stream", "enum")); !slices.Equal(enum, []string{flag}) {
		return "", fmt.Errorf("schema %s: stream is not fixed to %s", name, flag)
	}
	base, ok := tree.Referenced(all[0])
	if !ok {
		return "", fmt.Errorf("schema %s: the first member of allOf is not a reference", name)
	}
	return base, nil
}
