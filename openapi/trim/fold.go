package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

// foldStreams merges every path of the form "P#stream" into "P". A URL fragment
// is never sent, so the two are one operation on the wire: the body's "stream"
// flag chooses between its two response media types. Only the shape that
// upstream is known to use is folded; any other is an error.
func foldStreams(doc *yaml.Node) error {
	paths := get(doc, "paths")
	var errs []error
	for path, item := range pairs(paths) {
		plain, fragment, found := strings.Cut(path, "#")
		if !found {
			continue
		}
		if fragment != "stream" {
			errs = append(errs, fmt.Errorf("path %s: unknown fragment %q, only #stream can be folded", path, fragment))
			continue
		}
		for method, op := range pairs(item) {
			if !isMethod(method) {
				errs = append(errs, fmt.Errorf("path %s: %q of a whole path cannot be folded", path, method))
				continue
			}
			twin := get(paths, plain, method)
			if twin == nil {
				errs = append(errs, fmt.Errorf("path %s: no plain operation %s %s to fold into", path, method, plain))
				continue
			}
			if err := foldStream(get(doc, "components", "schemas"), twin, op); err != nil {
				errs = append(errs, fmt.Errorf("%s %s: %w", method, path, err))
			}
		}
	}
	filter(paths, func(path string, _ *yaml.Node) bool { return !strings.Contains(path, "#") })
	return errors.Join(errs...)
}

func foldStream(schemas, plain, stream *yaml.Node) error {
	for key, v := range pairs(stream) {
		switch key {
		case "operationId", "externalDocs", "requestBody", "responses":
		default:
			if !equal(v, value(plain, key)) {
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
	if !equal(value(stream, "requestBody"), value(plain, "requestBody"), "content") {
		return errors.New("request body differs from the plain operation's and would be lost")
	}
	set(get(plain, "requestBody", "content", "application/json"), "schema", reference(body))

	for status, response := range pairs(value(stream, "responses")) {
		twin := get(plain, "responses", status)
		if status != "200" {
			if !equal(response, twin) {
				return fmt.Errorf("response %s differs from the plain operation's and would be lost", status)
			}
			continue
		}
		content := value(response, "content")
		if !slices.Equal(keys(content), []string{"text/event-stream"}) {
			return fmt.Errorf("response 200 has the media types %v, want text/event-stream alone", keys(content))
		}
		if plainTypes := keys(value(twin, "content")); !slices.Equal(plainTypes, []string{"application/json"}) {
			return fmt.Errorf("response 200 of the plain operation has the media types %v, want application/json alone", plainTypes)
		}
		if !equal(response, twin, "content") {
			return errors.New("response 200 differs from the plain operation's in more than its content, which would be lost")
		}
		set(value(twin, "content"), "text/event-stream", value(content, "text/event-stream"))
	}
	return nil
}

// streamlessBody names the schema X of a request body that upstream writes as
// allOf: [X, {properties: {stream: {enum: [flag]}}}].
func streamlessBody(schemas, op *yaml.Node, flag string) (string, error) {
	content := get(op, "requestBody", "content")
	if !slices.Equal(keys(content), []string{"application/json"}) {
		return "", fmt.Errorf("request body has the media types %v, want application/json alone", keys(content))
	}
	name, ok := referenced(get(content, "application/json", "schema"))
	if !ok {
		return "", errors.New("request body is not a reference to a component schema")
	}
	wrapper := value(schemas, name)
	all := elements(value(wrapper, "allOf"))
	if !slices.Equal(keys(wrapper), []string{"allOf"}) || len(all) != 2 || !slices.Equal(keys(value(all[1], "properties")), []string{"stream"}) {
		return "", fmt.Errorf("schema %s is not allOf: [base, {properties: {stream}}] and nothing else", name)
	}
	if enum := values(get(all[1], "properties", "stream", "enum")); !slices.Equal(enum, []string{flag}) {
		return "", fmt.Errorf("schema %s: stream is not fixed to %s", name, flag)
	}
	base, ok := referenced(all[0])
	if !ok {
		return "", fmt.Errorf("schema %s: the first member of allOf is not a reference", name)
	}
	return base, nil
}
