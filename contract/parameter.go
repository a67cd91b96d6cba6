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
	// json: the value is JSON text. Otherwise it is written out (style simple in a
	// path, form in a query), and kinds say what it can be read as.
	json  bool
	kinds kinds
	// segment is where a path parameter stands in the template.
	segment int
}

// kinds are the JSON types that a written-out parameter may have.
type kinds struct {
	scalars []string // in the order in which they are tried
	array   bool     // repeated parameters are its items, which are scalars
}

func (b *builder) parameter(op *Operation, n node) error {
	n, err := n.follow()
	if err != nil {
		return err
	}
	p := parameter{name: n.text("name"), in: n.text("in"), required: n.flag("required")}
	switch p.in {
	case "path":
		p.segment = slices.Index(op.segments, segment{name: p.name, param: true})
		if p.segment < 0 {
			return fmt.Errorf("%s: path has no parameter %q", n.pointer, p.name)
		}
	case "query":
	default:
		return fmt.Errorf("%s: parameter %q in %q is not one that can be checked", n.pointer, p.name, p.in)
	}
	if n.has("style") || n.has("explode") {
		return fmt.Errorf("%s: parameter %q: only the default style is known", n.pointer, p.name)
	}
	schema := n.child("schema")
	if n.has("content") {
		p.json = true
		schema = n.child("content").child(mediaJSON).child("schema")
	}
	if schema.value == nil {
		return fmt.Errorf("%s: parameter %q has no schema", n.pointer, p.name)
	}
	if p.schema, err = b.schemas.compile(schema); err != nil {
		return err
	}
	if !p.json {
		if err := p.kinds.read(schema); err != nil {
			return fmt.Errorf("%s: parameter %q: %w", n.pointer, p.name, err)
		}
		if len(p.kinds.scalars) == 0 || p.in == "path" && p.kinds.array {
			return fmt.Errorf("%s: parameter %q has no type that can be written out", n.pointer, p.name)
		}
	}
	op.parameters = append(op.parameters, p)
	return nil
}

// scalarOrder tries what fewer texts can be before what more can be.
var scalarOrder = []string{"integer", "number", "boolean", "string"}

func (k *kinds) read(schema node) error {
	schema, err := schema.follow()
	if err != nil {
		return err
	}
	switch kind := schema.text("type"); kind {
	case "array":
		k.array = true
		return k.read(schema.child("items"))
	case "integer", "number", "boolean", "string":
		if !slices.Contains(k.scalars, kind) {
			k.scalars = append(k.scalars, kind)
			slices.SortFunc(k.scalars, func(a, b string) int {
				return slices.Index(scalarOrder, a) - slices.Index(scalarOrder, b)
			})
		}
		return nil
	case "null": // Cannot be written out: a parameter that is null is left out.
		return nil
	case "":
		for _, branch := range slices.Concat(schema.child("anyOf").items(), schema.child("oneOf").items()) {
			if err := k.read(branch); err != nil {
				return err
			}
		}
		return nil
	default:
		return fmt.Errorf("type %q cannot be written out", kind)
	}
}

// check checks the values that a request has for the parameter; there is at least
// one.
func (p *parameter) check(values []string, strict bool) []finding {
	if len(values) > 1 && !p.kinds.array {
		return []finding{{rule: "repeated", message: "want one value", value: toAny(values), has: true}}
	}
	if p.json {
		return checkJSON(p.schema, []byte(values[0]), strict)
	}
	if p.kinds.array {
		items := make([]any, len(values))
		for i, text := range values {
			items[i] = p.kinds.readings(text)[0]
		}
		return validate(p.schema, items)
	}
	var found []finding
	for _, reading := range p.kinds.readings(values[0]) {
		if found = validate(p.schema, reading); found == nil {
			return nil
		}
	}
	return found
}

// integers may have leading zeros neither in JSON nor here.
var (
	integers = regexp.MustCompile(`^-?(0|[1-9][0-9]{0,30})$`)
	numbers  = regexp.MustCompile(`^-?(0|[1-9][0-9]{0,30})(\.[0-9]{1,30})?$`)
)

// readings returns what the text can be read as, the narrowest first; where it is
// none of what the schema wants, that is the text itself, for the schema to refuse.
func (k *kinds) readings(text string) []any {
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
