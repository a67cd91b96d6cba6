package contract

import (
	"encoding/json"
	"fmt"
	"regexp"
	"slices"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// parameter is one path or query parameter.
type parameter struct {
	name     string
	in       string
	required bool
	schema   *jsonschema.Schema
	// json is set if the value is JSON text. Otherwise the value has the style simple
	// (path) or form (query), and kinds lists its JSON types.
	json  bool
	kinds kinds
	// segment is the index of a path parameter in the template.
	segment int
}

// kinds lists the JSON types that the schema of a parameter accepts.
type kinds struct {
	scalars []string // the scalar types, in the order to try them
	array   bool     // whether repeated parameters form an array of scalars
}

func (b *builder) parameter(op *Operation, n node) error {
	n, err := n.resolve()
	if err != nil {
		return err
	}
	p := parameter{name: n.text("name"), in: n.text("in"), required: n.flag("required")}
	switch p.in {
	case "path":
		p.segment = slices.Index(op.segments, segment{name: p.name, param: true})
		if p.segment < 0 {
			return fmt.Errorf("%s: parameter %q is not in the path", n.pointer, p.name)
		}
	case "query":
	default:
		return fmt.Errorf("%s: parameter %q: in must be path or query, got %q", n.pointer, p.name, p.in)
	}
	if n.has("style") || n.has("explode") {
		return fmt.Errorf("%s: parameter %q: style and explode must not be set", n.pointer, p.name)
	}
	schema := n.child("schema")
	if n.has("content") {
		p.json = true
		schema = n.child("content").child(mediaJSON).child("schema")
	}
	if schema.value == nil {
		return fmt.Errorf("%s: parameter %q: schema is missing", n.pointer, p.name)
	}
	if p.schema, err = b.schemas.compile(schema); err != nil {
		return err
	}
	if !p.json {
		if err := p.kinds.add(schema); err != nil {
			return fmt.Errorf("%s: parameter %q: %w", n.pointer, p.name, err)
		}
		if len(p.kinds.scalars) == 0 || p.in == "path" && p.kinds.array {
			return fmt.Errorf("%s: parameter %q: type must be a scalar, or an array in the query", n.pointer, p.name)
		}
	}
	op.parameters = append(op.parameters, p)
	return nil
}

// scalarOrder lists the scalar types from the most to the least specific.
var scalarOrder = []string{"integer", "number", "boolean", "string"}

// add adds the types that a schema accepts.
func (k *kinds) add(schema node) error {
	schema, err := schema.resolve()
	if err != nil {
		return err
	}
	switch kind := schema.text("type"); kind {
	case "array":
		k.array = true
		return k.add(schema.child("items"))
	case "integer", "number", "boolean", "string":
		if !slices.Contains(k.scalars, kind) {
			k.scalars = append(k.scalars, kind)
			slices.SortFunc(k.scalars, func(a, b string) int {
				return slices.Index(scalarOrder, a) - slices.Index(scalarOrder, b)
			})
		}
		return nil
	case "null": // A null parameter is not sent.
		return nil
	case "":
		for _, branch := range slices.Concat(schema.child("anyOf").items(), schema.child("oneOf").items()) {
			if err := k.add(branch); err != nil {
				return err
			}
		}
		return nil
	default:
		return fmt.Errorf("type must be a scalar or an array, got %q", kind)
	}
}

// check checks the values of the parameter in a request. The values must not be empty.
func (p *parameter) check(values []string, strict bool) []finding {
	if len(values) > 1 && !p.kinds.array {
		return []finding{{rule: "repeated", message: "must be set only once", value: toAny(values), hasValue: true}}
	}
	if p.json {
		return checkJSON(p.schema, []byte(values[0]), strict)
	}
	if p.kinds.array {
		items := make([]any, len(values))
		for i, text := range values {
			items[i] = p.kinds.parse(text)[0]
		}
		return validate(p.schema, items)
	}
	var found []finding
	for _, value := range p.kinds.parse(values[0]) {
		if found = validate(p.schema, value); found == nil {
			return nil
		}
	}
	return found
}

// Leading zeros are not allowed, as in JSON.
var (
	integers = regexp.MustCompile(`^-?(0|[1-9][0-9]{0,30})$`)
	numbers  = regexp.MustCompile(`^-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?$`)
)

// parse returns the values that the text can represent, the most specific type first. If
// the text fits none of the types, parse returns the text itself, which the schema then
// rejects.
func (k *kinds) parse(text string) []any {
	var list []any
	for _, kind := range k.scalars {
		switch {
		case kind == "integer" && integers.MatchString(text), kind == "number" && numbers.MatchString(text):
			list = append(list, json.Number(text))
		case kind == "boolean" && (text == "true" || text == "false"):
			list = append(list, text == "true")
		case kind == "string":
			list = append(list, text)
		}
	}
	if len(list) == 0 {
		list = append(list, text)
	}
	return list
}

func toAny(values []string) []any {
	list := make([]any, len(values))
	for i, v := range values {
		list[i] = v
	}
	return list
}
