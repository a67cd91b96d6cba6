package contract

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// Operation is one operation of the document. Callers must not change its fields.
type Operation struct {
	// ID is the operationId.
	ID string
	// Method is the HTTP method in upper case.
	Method string
	// Path is the path template, such as /v1/agents/{agent_id}.
	Path string
	// Statuses lists the declared status codes in ascending order.
	Statuses []int

	contract     *Contract
	segments     []segment
	parameters   []parameter // path and query
	body         map[string]*jsonschema.Schema
	bodyRequired bool
	responses    map[string]map[string]*jsonschema.Schema // status, media type
}

// RequestMediaTypes returns the media types of the request body. The result is empty if
// the operation declares no request body.
func (op *Operation) RequestMediaTypes() []string { return slices.Sorted(maps.Keys(op.body)) }

// ResponseMediaTypes returns the media types of the response body for a status code. The
// result is empty if the status is not declared or has no body.
func (op *Operation) ResponseMediaTypes(status int) []string {
	media, _ := op.response(status)
	return slices.Sorted(maps.Keys(media))
}

func (op *Operation) response(status int) (map[string]*jsonschema.Schema, bool) {
	code := strconv.Itoa(status)
	for _, key := range []string{code, code[:1] + "XX", "default"} {
		if media, ok := op.responses[key]; ok {
			return media, true
		}
	}
	return nil, false
}

// builder reads the operations of a document.
type builder struct {
	contract  *Contract
	doc       *document
	schemas   *schemas
	eventsRef string
}

var methods = []string{"get", "put", "post", "delete", "options", "head", "patch", "trace"}

func (b *builder) build() error {
	for _, path := range b.doc.top().child("paths").members() {
		for _, method := range methods {
			if !path.has(method) {
				continue
			}
			op, err := b.operation(path, path.child(method))
			if err != nil {
				return fmt.Errorf("%s %s: %w", strings.ToUpper(method), path.name(), err)
			}
			b.contract.operations = append(b.contract.operations, op)
		}
	}
	return nil
}

func (b *builder) operation(path, n node) (*Operation, error) {
	op := &Operation{
		ID:        n.text("operationId"),
		Method:    strings.ToUpper(n.name()),
		Path:      path.name(),
		contract:  b.contract,
		responses: map[string]map[string]*jsonschema.Schema{},
	}
	if op.ID == "" {
		return nil, errors.New("operationId is missing")
	}
	var err error
	if op.segments, err = parseTemplate(op.Path); err != nil {
		return nil, err
	}
	for _, p := range slices.Concat(path.child("parameters").items(), n.child("parameters").items()) {
		if err := b.parameter(op, p); err != nil {
			return nil, err
		}
	}
	for _, s := range op.segments {
		if s.param && !slices.ContainsFunc(op.parameters, func(p parameter) bool { return p.in == "path" && p.name == s.name }) {
			return nil, fmt.Errorf("path parameter %q is not declared", s.name)
		}
	}
	if n.has("requestBody") {
		body, err := n.child("requestBody").resolve()
		if err != nil {
			return nil, err
		}
		op.bodyRequired = body.flag("required")
		if op.body, err = b.content(body); err != nil {
			return nil, err
		}
	}
	for _, response := range n.child("responses").members() {
		status := response.name()
		if code, err := strconv.Atoi(status); err == nil {
			op.Statuses = append(op.Statuses, code)
		}
		response, err := response.resolve()
		if err != nil {
			return nil, err
		}
		if op.responses[status], err = b.content(response); err != nil {
			return nil, err
		}
	}
	slices.Sort(op.Statuses)
	return op, nil
}

const (
	mediaJSON   = "application/json"
	mediaEvents = "text/event-stream"
)

// content compiles the schemas of a body, by media type. The schema of an event stream
// is nil, because [Contract.events] checks its events one by one.
func (b *builder) content(holder node) (map[string]*jsonschema.Schema, error) {
	compiled := map[string]*jsonschema.Schema{}
	for _, media := range holder.child("content").members() {
		name := media.name()
		schema := media.child("schema")
		switch name {
		case mediaJSON:
			if schema.value == nil {
				return nil, fmt.Errorf("%s: schema is missing", media.pointer)
			}
			s, err := b.schemas.compile(schema)
			if err != nil {
				return nil, err
			}
			compiled[name] = s
		case mediaEvents:
			if err := b.eventStream(schema); err != nil {
				return nil, err
			}
			compiled[name] = nil
		default:
			return nil, fmt.Errorf("%s: media type must be %s or %s, got %q", media.pointer, mediaJSON, mediaEvents, name)
		}
	}
	return compiled, nil
}

// eventStream compiles the event schema. All operations must use the same one.
func (b *builder) eventStream(schema node) error {
	target, err := schema.resolve()
	if err != nil {
		return err
	}
	if b.contract.events != nil {
		if target.pointer != b.eventsRef {
			return fmt.Errorf("all event streams must have the same schema, got %s and %s", b.eventsRef, target.pointer)
		}
		return nil
	}
	b.eventsRef = target.pointer
	b.contract.events, err = b.schemas.compile(target)
	return err
}
