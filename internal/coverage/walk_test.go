package coverage_test

import (
	"encoding/json"
	"fmt"
	"slices"
)

// marks is a set of exercised items.
type marks map[item]bool

// missing returns the items that none of the sets contains.
func missing(items []item, exercised ...marks) []item {
	return slices.DeleteFunc(slices.Clone(items), func(i item) bool {
		return slices.ContainsFunc(exercised, func(m marks) bool { return m[i] })
	})
}

// walker marks the items of a schema that a value exercises.
type walker struct {
	doc       *document
	marks     marks
	direction direction
}

func (m marks) add(k kind, name string) { m[item{k, name}] = true }

func (w walker) mark(k kind, pointer string) { w.marks.add(k, w.direction.at(pointer)) }

// walk marks the items of a schema that a valid value exercises.
func (w walker) walk(schema node, value any) error {
	schema, err := w.doc.resolve(schema)
	if err != nil {
		return err
	}
	for _, union := range unions(schema) {
		member, err := w.member(schema, union, value)
		if err != nil {
			return err
		}
		if isChoice(union) && !isNull(member) {
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
			if value != nil { // null means that the property is missing.
				w.mark(propertyKind, inner.pointer)
			}
		}
		if err := w.walk(inner, value); err != nil {
			return err
		}
	}
	return nil
}

// member returns the union member of a value: the one that the discriminator selects, or
// else the first that accepts the value. For example, "web_search" counts for the enum of
// connector names, not for the string after it.
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
	return node{}, fmt.Errorf("%s: value must match a union member, got %v", schema.pointer, value)
}

// parameter marks the items that the values of a parameter exercise. It interprets the
// values as JSON, as a string or as an array, whichever the schema accepts first.
func (w walker) parameter(p node, values []string) error {
	texts := make([]any, len(values))
	for i, v := range values {
		texts[i] = v
	}
	interpretations := []any{texts[0], texts}
	var decoded any
	if err := json.Unmarshal([]byte(values[0]), &decoded); err == nil && decoded != nil {
		interpretations = slices.Insert(interpretations, 0, decoded)
	}
	schema := parameterSchema(p)
	for _, value := range interpretations {
		ok, err := w.doc.accepts(schema, value)
		if err != nil {
			return err
		}
		if ok {
			return w.walk(schema, value)
		}
	}
	return fmt.Errorf("%s: values must match the schema, got %q", p.pointer, values)
}
