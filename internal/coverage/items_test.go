package coverage_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// item is a part of the document that traffic can exercise.
type item struct {
	kind kind
	name string
}

func (i item) String() string { return string(i.kind) + " " + i.name }

type kind string

const (
	operationKind kind = "operation"    // by operationId; streaming variants are separate
	responseKind  kind = "response"     // by operation, status and media type
	eventKind     kind = "event"        // by name
	memberKind    kind = "union member" // by direction and JSON pointer
	valueKind     kind = "enum value"   // by direction and JSON pointer
	propertyKind  kind = "property"     // by direction and JSON pointer
	parameterKind kind = "parameter"    // by operation and name
)

var kinds = []kind{operationKind, responseKind, eventKind, memberKind, valueKind, propertyKind, parameterKind}

// direction tells whether the client sends or receives a schema's values. A schema may have
// both directions. Traffic must then exercise both: a type may encode correctly and decode
// incorrectly.
type direction string

const (
	sent     direction = "sent"
	received direction = "received"
)

// at returns the name of the item at a JSON pointer.
func (d direction) at(pointer string) string { return string(d) + " " + pointer }

// items returns the items of a document, each once, in a fixed order. It returns an error
// if it does not support a part of the document, rather than skip that part silently.
func (d *document) items() ([]item, error) {
	operations, err := d.operations()
	if err != nil {
		return nil, err
	}
	s := collector{doc: d, seen: map[string]bool{}}
	for _, op := range operations {
		if err := s.operation(op); err != nil {
			return nil, fmt.Errorf("%s: %w", op.id, err)
		}
	}
	return s.items, nil
}

type collector struct {
	doc   *document
	items []item
	seen  map[string]bool // the collected schemas, by direction and JSON pointer
}

func (s *collector) add(k kind, name string) {
	if i := (item{k, name}); !slices.Contains(s.items, i) {
		s.items = append(s.items, i)
	}
}

func (s *collector) operation(op operation) error {
	s.add(operationKind, op.id)
	if op.streams {
		s.add(operationKind, streamed(op.id))
	}
	for _, p := range op.parameters {
		s.add(parameterKind, op.id+" "+p.text("name"))
		if err := s.schema(sent, parameterSchema(p)); err != nil {
			return err
		}
	}
	if op.request.value != nil {
		if err := s.schema(sent, op.request); err != nil {
			return err
		}
	}
	for _, status := range slices.Sorted(maps.Keys(op.responses)) {
		if err := s.response(op, status, op.responses[status].child("content")); err != nil {
			return err
		}
	}
	return nil
}

// response adds the responses of an operation and its streaming variant for a status. The
// streaming variant returns a stream if the document declares one for the status, and JSON
// otherwise.
func (s *collector) response(op operation, status string, content node) error {
	if len(content.object()) == 0 {
		s.add(responseKind, responseName(op.id, status, ""))
		return nil
	}
	for _, media := range content.members() {
		switch media.name() {
		case mediaJSON:
			s.add(responseKind, responseName(op.id, status, mediaJSON))
			if op.streams && !content.has(mediaEvents) {
				s.add(responseKind, responseName(streamed(op.id), status, mediaJSON))
			}
		case mediaEvents:
			s.add(responseKind, responseName(streamed(op.id), status, mediaEvents))
			event, err := s.doc.resolve(media.child("schema"))
			if err != nil {
				return err
			}
			names, err := s.doc.resolve(event.child("properties").child("event"))
			if err != nil {
				return err
			}
			for _, name := range names.child("enum").items() {
				s.add(eventKind, fmt.Sprint(name.value))
			}
		default:
			return fmt.Errorf("%s: media type is not supported", media.pointer)
		}
		if err := s.schema(received, media.child("schema")); err != nil {
			return err
		}
	}
	return nil
}

func responseName(operation, status, media string) string {
	return strings.TrimSpace(operation + " " + status + " " + media)
}

func parameterSchema(p node) node {
	if p.has("content") {
		return p.child("content").child(mediaJSON).child("schema")
	}
	return p.child("schema")
}

var (
	// annotations lists the keywords that do not constrain a value. constraints lists those
	// that constrain a value and do not contain a schema.
	annotations = keywords("title description default deprecated example examples readOnly writeOnly")
	constraints = keywords("type format required const minimum maximum exclusiveMinimum exclusiveMaximum multipleOf " +
		"minLength maxLength pattern minItems maxItems uniqueItems minProperties maxProperties")
	// supported lists the keywords that the collector follows.
	supported = keywords("$ref anyOf oneOf discriminator properties items additionalProperties enum")
)

func keywords(list string) map[string]bool {
	set := map[string]bool{}
	for word := range strings.FieldsSeq(list) {
		set[word] = true
	}
	return set
}

// schema adds the items of a schema and of all schemas that it contains or refers to.
func (s *collector) schema(d direction, n node) error {
	n, err := s.doc.resolve(n)
	if err != nil || s.seen[d.at(n.pointer)] {
		return err
	}
	s.seen[d.at(n.pointer)] = true
	if n.value == nil {
		return fmt.Errorf("%s: schema is missing", n.pointer)
	}
	for key := range n.object() {
		if !annotations[key] && !constraints[key] && !supported[key] && !strings.HasPrefix(key, "x-") {
			return fmt.Errorf("%s: %s is not supported", n.pointer, key)
		}
	}
	var within []node
	for _, union := range unions(n) {
		for _, member := range union {
			if isChoice(union) && !isNull(member) {
				s.add(memberKind, d.at(memberName(member)))
			}
			within = append(within, member)
		}
	}
	if values := n.child("enum").items(); len(values) > 1 {
		for _, v := range values {
			s.add(valueKind, d.at(valueName(n, v.value)))
		}
	}
	for _, p := range n.child("properties").members() {
		s.add(propertyKind, d.at(p.pointer))
		within = append(within, p)
	}
	for _, key := range []string{"items", "additionalProperties"} {
		if inner := n.child(key); len(inner.object()) > 0 {
			within = append(within, inner)
		}
	}
	for _, inner := range within {
		if inner.value == nil || len(inner.object()) == 0 {
			continue // An empty schema accepts any value, such as `input` of a validation error.
		}
		if err := s.schema(d, inner); err != nil {
			return err
		}
	}
	return nil
}

// unions returns the members of each union of a schema.
func unions(n node) [][]node {
	var list [][]node
	for _, key := range []string{"anyOf", "oneOf"} {
		if members := n.child(key).items(); len(members) > 0 {
			list = append(list, members)
		}
	}
	return list
}

// isChoice reports whether a union has more than one member apart from null.
func isChoice(union []node) bool {
	return len(slices.DeleteFunc(slices.Clone(union), isNull)) > 1
}

func isNull(member node) bool { return member.text("type") == "null" }

// memberName returns the JSON pointer of a union member, with its type.
func memberName(member node) string {
	name := member.text("type")
	if ref := member.text("$ref"); ref != "" {
		name = ref[strings.LastIndexByte(ref, '/')+1:]
	}
	return member.pointer + " (" + name + ")"
}

func valueName(schema node, value any) string {
	return fmt.Sprintf("%s/enum (%v)", schema.pointer, value)
}
