package contract

import "fmt"

// close forbids additional properties in every schema that lists properties and does not
// mention additional ones. A schema without properties is a free-form map; close does not
// change it.
func (d *document) close() error {
	components := d.top().child("components")
	for _, schema := range components.child("schemas").members() {
		if err := closeSchema(schema); err != nil {
			return err
		}
	}
	for _, group := range []string{"parameters", "requestBodies", "responses", "headers"} {
		for _, holder := range components.child(group).members() {
			if err := closeHolder(holder); err != nil {
				return err
			}
		}
	}
	for _, path := range d.top().child("paths").members() {
		if err := closeAll(path.child("parameters").items(), closeHolder); err != nil {
			return err
		}
		for _, operation := range path.members() {
			if err := closeAll(operation.child("parameters").items(), closeHolder); err != nil {
				return err
			}
			if err := closeHolder(operation.child("requestBody")); err != nil {
				return err
			}
			if err := closeAll(operation.child("responses").members(), closeHolder); err != nil {
				return err
			}
		}
	}
	return nil
}

// closeHolder closes the schemas of a parameter, a request body or a response.
func closeHolder(holder node) error {
	if err := closeSchema(holder.child("schema")); err != nil {
		return err
	}
	for _, media := range holder.child("content").members() {
		if err := closeSchema(media.child("schema")); err != nil {
			return err
		}
	}
	return nil
}

// closeSchema closes a schema and its subschemas. It follows schema keywords only, because
// a property may be named "properties", and examples and defaults are not schemas. It does
// not close schemas under `not` and `if`: that would accept more, not less.
func closeSchema(schema node) error {
	object, ok := schema.value.(map[string]any)
	if !ok {
		return nil
	}
	if schema.has("allOf") {
		// Closing the parts of an allOf makes each reject the properties of the others.
		return fmt.Errorf("%s: a strict contract does not support allOf", schema.pointer)
	}
	properties, _ := object["properties"].(map[string]any)
	if len(properties) > 0 && !schema.has("additionalProperties") && !schema.has("unevaluatedProperties") {
		object["additionalProperties"] = false
	}
	for _, keyword := range []string{"properties", "patternProperties", "dependentSchemas", "$defs"} {
		if err := closeAll(schema.child(keyword).members(), closeSchema); err != nil {
			return err
		}
	}
	for _, keyword := range []string{"anyOf", "oneOf", "prefixItems"} {
		if err := closeAll(schema.child(keyword).items(), closeSchema); err != nil {
			return err
		}
	}
	for _, keyword := range []string{"items", "additionalProperties", "unevaluatedProperties", "contains"} {
		if err := closeSchema(schema.child(keyword)); err != nil {
			return err
		}
	}
	return nil
}

func closeAll(list []node, closeOne func(node) error) error {
	for _, n := range list {
		if err := closeOne(n); err != nil {
			return err
		}
	}
	return nil
}
