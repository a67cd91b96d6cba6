package coverage_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// item is one thing that the document has and that traffic may exercise.
type item struct {
	kind kind
	name string
}

func (i item) String() string { return string(i.kind) + " " + i.name }

type kind string

const (
	operationKind kind = "operation"    // by operationId, streamed twins apart
	replyKind     kind = "reply"        // by operation, status and media type
	eventKind     kind = "event"        // by its name
	memberKind    kind = "union member" // by its way and where it is
	valueKind     kind = "enum value"   // by its way and where it is
	propertyKind  kind = "property"     // by its way and where it is
	parameterKind kind = "parameter"    // by operation and name
)

var kinds = []kind{operationKind, replyKind, eventKind, memberKind, valueKind, propertyKind, parameterKind}

// way is whether a schema is of what is sent to the server or of what is received. One
// that is of both has to be exercised both ways: what the client writes well it may
// read badly.
type way string

const (
	sent     way = "sent"
	received way = "received"
)

// at is the name of what is at a place in the document.
func (w way) at(place string) string { return string(w) + " " + place }

// survey lists what a document has, each once, in a fixed order. It fails on a part
// that it would not look into, rather than leave that out in silence.
func (d *document) survey() ([]item, error) {
	operations, err := d.operations()
	if err != nil {
		return nil, err
	}
	s := surveyor{doc: d, seen: map[string]bool{}}
	for _, op := range operations {
		if err := s.operation(op); err != nil {
			return nil, fmt.Errorf("%s: %w", op.id, err)
		}
	}
	return s.items, nil
}

type surveyor struct {
	doc   *document
	items []item
	seen  map[string]bool // schemas by their way and where they are
}

func (s *surveyor) add(k kind, name string) {
	if i := (item{k, name}); !slices.Contains(s.items, i) {
		s.items = append(s.items, i)
	}
}

func (s *surveyor) operation(op operation) error {
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
	for _, status := range slices.Sorted(maps.Keys(op.replies)) {
		if err := s.reply(op, status, op.replies[status].child("content")); err != nil {
			return err
		}
	}
	return nil
}

// reply lists what an operation and its streamed twin may answer with a status: a
// stream is the twin's alone, and where there is one, JSON is not.
func (s *surveyor) reply(op operation, status string, content node) error {
	if len(content.object()) == 0 {
		s.add(replyKind, replyName(op.id, status, ""))
		return nil
	}
	for _, media := range content.members() {
		switch media.name() {
		case mediaJSON:
			s.add(replyKind, replyName(op.id, status, mediaJSON))
			if op.streams && !content.has(mediaEvents) {
				s.add(replyKind, replyName(streamed(op.id), status, mediaJSON))
			}
		case mediaEvents:
			s.add(replyKind, replyName(streamed(op.id), status, mediaEvents))
			event, err := s.doc.follow(media.child("schema"))
			if err != nil {
				return err
			}
			names, err := s.doc.follow(event.child("properties").child("event"))
			if err != nil {
				return err
			}
			for _, name := range names.child("enum").items() {
				s.add(eventKind, fmt.Sprint(name.value))
			}
		default:
			return fmt.Errorf("%s: media type is not looked into", media.pointer)
		}
		if err := s.schema(received, media.child("schema")); err != nil {
			return err
		}
	}
	return nil
}

func replyName(operation, status, media string) string {
	return strings.TrimSpace(operation + " " + status + " " + media)
}

func parameterSchema(p node) node {
	if p.has("content") {
		return p.child("content").child(mediaJSON).child("schema")
	}
	return p.child("schema")
}

var (
	// says are the keywords that constrain nothing, rules those that constrain a value
	// and have no schema within.
	says  = keywords("title description default deprecated example examples readOnly writeOnly")
	rules = keywords("type format required const minimum maximum exclusiveMinimum exclusiveMaximum multipleOf " +
		"minLength maxLength pattern minItems maxItems uniqueItems minProperties maxProperties")
	// looked are those that are looked into.
	looked = keywords("$ref anyOf oneOf discriminator properties items additionalProperties enum")
)

func keywords(list string) map[string]bool {
	set := map[string]bool{}
	for word := range strings.FieldsSeq(list) {
		set[word] = true
	}
	return set
}

// schema lists what is in a schema and in all that it refers to.
func (s *surveyor) schema(w way, n node) error {
	n, err := s.doc.follow(n)
	if err != nil || s.seen[w.at(n.pointer)] {
		return err
	}
	s.seen[w.at(n.pointer)] = true
	if n.value == nil {
		return fmt.Errorf("%s: no schema", n.pointer)
	}
	for key := range n.object() {
		if !says[key] && !rules[key] && !looked[key] && !strings.HasPrefix(key, "x-") {
			return fmt.Errorf("%s: %s is not looked into", n.pointer, key)
		}
	}
	var within []node
	for _, union := range unions(n) {
		for _, member := range union {
			if counts(union) && !isNull(member) {
				s.add(memberKind, w.at(memberName(member)))
			}
			within = append(within, member)
		}
	}
	if values := n.child("enum").items(); len(values) > 1 {
		for _, v := range values {
			s.add(valueKind, w.at(valueName(n, v.value)))
		}
	}
	for _, p := range n.child("properties").members() {
		s.add(propertyKind, w.at(p.pointer))
		within = append(within, p)
	}
	for _, key := range []string{"items", "additionalProperties"} {
		if inner := n.child(key); len(inner.object()) > 0 {
			within = append(within, inner)
		}
	}
	for _, inner := range within {
		if inner.value == nil || len(inner.object()) == 0 {
			continue // anything goes: `input:` of a validation error
		}
		if err := s.schema(w, inner); err != nil {
			return err
		}
	}
	return nil
}

// unions returns the members of a schema's unions.
func unions(n node) [][]node {
	var list [][]node
	for _, key := range []string{"anyOf", "oneOf"} {
		if members := n.child(key).items(); len(members) > 0 {
			list = append(list, members)
		}
	}
	return list
}

// counts reports whether a union is a choice: one of a schema and null is none.
func counts(union []node) bool {
	return len(slices.DeleteFunc(slices.Clone(union), isNull)) > 1
}

func isNull(member node) bool { return member.text("type") == "null" }

// memberName is where a member is, and what it is.
func memberName(member node) string {
	what := member.text("type")
	if ref := member.text("$ref"); ref != "" {
		what = ref[strings.LastIndexByte(ref, '/')+1:]
	}
	return member.pointer + " (" + what + ")"
}

func valueName(schema node, value any) string {
	return fmt.Sprintf("%s/enum (%v)", schema.pointer, value)
}
