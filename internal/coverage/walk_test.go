package coverage_test

import (
	"encoding/json"
	"fmt"
	"slices"
)

// marks are the items that were exercised.
type marks map[item]bool

// missing returns what of a survey is exercised in none of several.
func missing(survey []item, exercised ...marks) []item {
	return slices.DeleteFunc(slices.Clone(survey), func(i item) bool {
		return slices.ContainsFunc(exercised, func(m marks) bool { return m[i] })
	})
}

// walker marks what of a schema a value exercises.
type walker struct {
	doc   *document
	marks marks
	way   way
}

func (m marks) add(k kind, name string) { m[item{k, name}] = true }

func (w walker) mark(k kind, place string) { w.marks.add(k, w.way.at(place)) }

// walk goes through a value that is valid against the schema.
func (w walker) walk(schema node, value any) error {
	schema, err := w.doc.follow(schema)
	if err != nil {
		return err
	}
	for _, union := range unions(schema) {
		member, err := w.member(schema, union, value)
		if err != nil {
			return err
		}
		if counts(union) && !isNull(member) {
			w.mark(memberKind, memberName(member))
		}
		if err := w.walk(member, value); err != nil {
			return err
		}
	}
	if schema.has("enum") {
		w.mark(valueKind, valueName(schema, value))
	}
	switch value := value.(type) {
	case map[string]any:
		return w.object(schema, value)
	case []any:
		for _, element := range value {
			if err := w.walk(schema.child("items"), element); err != nil {
				return err
			}
		}
	}
	return nil
}

func (w walker) object(schema node, object map[string]any) error {
	properties := schema.child("properties")
	for name, value := range object {
		inner := schema.child("additionalProperties")
		if properties.has(name) {
			inner = properties.child(name)
			if value != nil { // null says that it is not there
				w.mark(propertyKind, inner.pointer)
			}
		}
		if err := w.walk(inner, value); err != nil {
			return err
		}
	}
	return nil
}

// member returns the member of a union that a value is of: the one that the
// discriminator names, or the first that accepts the value, as a reader finds it that
// tries them in turn. So "web_search", a connector's name and a string, does not count
// for the string.
func (w walker) member(schema node, union []node, value any) (node, error) {
	if discriminator := schema.child("discriminator"); discriminator.value != nil {
		object, _ := value.(map[string]any)
		kind, _ := object[discriminator.text("propertyName")].(string)
		ref := discriminator.child("mapping").text(kind)
		for _, member := range union {
			if ref != "" && member.text("$ref") == ref {
				return member, nil
			}
		}
	}
	for _, member := range union {
		ok, err := w.doc.accepts(member, value)
		if ok || err != nil {
			return member, err
		}
	}
	return node{}, fmt.Errorf("%s: %v is of no member", schema.pointer, value)
}

// parameter goes through the values that a request has of a parameter, as the first
// reading that the document accepts.
func (w walker) parameter(p node, values []string) error {
	texts := make([]any, len(values))
	for i, v := range values {
		texts[i] = v
	}
	readings := []any{texts[0], texts}
	var read any
	if err := json.Unmarshal([]byte(values[0]), &read); err == nil && read != nil {
		readings = slices.Insert(readings, 0, read)
	}
	schema := parameterSchema(p)
	for _, reading := range readings {
		ok, err := w.doc.accepts(schema, reading)
		if err != nil {
			return err
		}
		if ok {
			return w.walk(schema, reading)
		}
	}
	return fmt.Errorf("%s: %q is nothing that the document accepts", p.pointer, values)
}
