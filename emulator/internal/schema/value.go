// Package schema checks JSON Schemas and generates values that conform to them, within bounds
// on memory and time.
package schema

import (
	"context"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// generator generates values that conform to a JSON Schema, with names and numbers from the
// prompt.
type generator struct {
	*work
	root    *object // the schema to which references refer
	top     *place  // the location of root
	hints   *hints  // the hints of the prompt
	variant int     // the number of a list item; items of other numbers differ from the first
}

// JSON returns a JSON value, as text, that conforms to a schema. It uses names, numbers and
// quotations of text, which is the prompt. at is the location of the schema in the request, as
// the tokens of a JSON pointer; errors report it.
//
// JSON ignores the keywords not, if, contains, patternProperties and propertyNames, those about
// dependent and unevaluated properties, and patterns that package regexp does not support. It
// returns a [*BoundError] if the schema exceeds a bound. It fails if the context ends.
func JSON(ctx context.Context, schema generated.JSON, text string, at ...string) (string, error) {
	var root *place
	for _, token := range at {
		root = root.in(token)
	}
	return newWork(ctx).json(schema, root, text)
}

func (w *work) json(schema generated.JSON, at *place, text string) (string, error) {
	source, err := generated.EncodeJSON(schema)
	if err != nil {
		return "", err
	}
	if len(source) > maxSchemaBytes {
		w.refuse(at, "must have at most %d bytes, got %d", maxSchemaBytes, len(source))
		return "", w.err
	}
	root, _ := decode(source).(*object) // A schema that is not an object allows any value.
	value := generator{work: w, root: root, top: at, hints: newHints(text)}.value(root, "", at, 0)
	if w.err != nil {
		return "", w.err
	}
	return string(wire.Encode(value)), nil
}

// The depths that bound the value of a recursive schema. From minimalDepth on, the value has
// only its required parts. Below maxValueDepth it is null.
const (
	minimalDepth  = 8
	maxValueDepth = 4 * minimalDepth
)

func (v generator) value(schema *object, name string, at *place, depth int) any {
	if depth > maxValueDepth || !v.look(at) {
		return nil
	}
	schema, at = v.plain(schema, at, depth)
	types, _ := schema.get("type").([]any)
	if !v.spend(at, schema.len()+len(types)) {
		return nil
	}
	if schema.has("const") {
		return v.given(schema.get("const"), at)
	}
	if list, ok := schema.get("enum").([]any); ok && len(list) > 0 {
		return v.given(v.one(list, at), at)
	}
	if schema.has("default") && v.variant == 0 {
		return v.given(schema.get("default"), at)
	}
	switch typeOf(schema) {
	case "object":
		return v.object(schema, at, depth)
	case "array":
		return v.array(schema, name, at, depth)
	case "integer", "number":
		return v.number(schema, at)
	case "boolean":
		return v.variant%2 == 0
	case "null":
		return nil
	default:
		return v.string(schema, name, at)
	}
}

// given returns a value of the schema and spends the steps for it.
func (v generator) given(value any, at *place) any {
	if !v.spend(at, len(wire.Encode(value))) {
		return nil
	}
	return value
}

// typeOf returns the type of a schema, or the first of its types. Without type it derives the
// type from other keywords.
func typeOf(schema *object) string {
	switch t := schema.get("type").(type) {
	case string:
		return t
	case []any:
		for _, one := range t {
			if s, ok := one.(string); ok {
				return s
			}
		}
	}
	for _, hint := range []struct{ keyword, kind string }{
		{"properties", "object"}, {"required", "object"}, {"minProperties", "object"},
		{"items", "array"}, {"prefixItems", "array"}, {"minItems", "array"},
		{"minimum", "number"}, {"maximum", "number"}, {"multipleOf", "number"},
	} {
		if schema.has(hint.keyword) {
			return hint.kind
		}
	}
	return ""
}

// one returns the first value of a list that the prompt contains, or the first value.
func (v generator) one(list []any, at *place) any {
	for i, value := range list {
		s, ok := value.(string)
		if !v.spend(at, 4+len(s)) { // The cost of a search in the prompt.
			return nil
		}
		if ok && s != "" && strings.Contains(v.hints.lower, strings.ToLower(s)) {
			return list[(i+v.variant)%len(list)]
		}
	}
	return list[v.variant%len(list)]
}

// object generates an object with the required properties, in the order of the schema. If no
// property is required, it has all properties.
func (v generator) object(schema *object, at *place, depth int) any {
	result := &object{values: map[string]any{}}
	properties, _ := schema.get("properties").(*object)
	items, _ := schema.get("required").([]any)
	minProperties := countOf(schema, "minProperties", 0)
	if !v.spend(at, properties.len()+len(items)) {
		return nil
	}
	required := map[string]bool{}
	for _, item := range items {
		if name, ok := item.(string); ok {
			required[name] = true
		}
	}
	add := func(name string) {
		property, ok := properties.get(name).(*object) // The schema true is equivalent to {}.
		to := at.in("properties").in(name)
		if other, has := schema.get("additionalProperties").(*object); !ok && has {
			property, to = other, at.in("additionalProperties")
		}
		if v.spend(to, len(name)) {
			result.set(name, v.value(property, name, to, depth+1))
		}
	}
	missing := minProperties - len(required)
	for _, name := range properties.keys() {
		optional := len(required) == 0 && depth < minimalDepth
		if !required[name] && !optional && missing > 0 {
			optional = true
			missing--
		}
		if required[name] || optional {
			add(name)
		}
	}
	for _, item := range items {
		if name, ok := item.(string); ok && !result.has(name) {
			add(name)
		}
	}
	for i := 1; result.len() < minProperties && schema.get("additionalProperties") != false && v.err == nil; i++ {
		add("property" + strconv.Itoa(i))
	}
	return result
}

// maxItems is the maximum number of items or properties of a value.
const maxItems = 1_000

// array generates a list of one item, or of the required number of items.
func (v generator) array(schema *object, name string, at *place, depth int) any {
	first, _ := schema.get("prefixItems").([]any)
	items, ok := schema.get("items").(*object)
	size := max(1, len(first))
	if !ok && len(first) == 0 || depth >= minimalDepth {
		size = 0
	}
	size = max(size, countOf(schema, "minItems", 0))
	size = min(size, countOf(schema, "maxItems", maxItems))
	if !v.spend(at, size*len("null,")) {
		return nil
	}
	list := make([]any, size)
	seen := map[string]bool{}
	one := v
	for i := range list {
		item, to := items, at.in("items")
		if i < len(first) {
			item, _ = first[i].(*object)
			to = at.in("prefixItems").in(strconv.Itoa(i))
		}
		for range maxVariants {
			list[i] = one.value(item, name, to, depth+1)
			if i >= len(first) {
				one.variant++
			}
			if schema.get("uniqueItems") != true {
				break
			}
			text := string(wire.Encode(list[i]))
			if !v.spend(to, len(text)) || !seen[text] {
				seen[text] = true
				break
			}
		}
	}
	return list
}

// maxVariants is the maximum number of attempts to generate an item that differs from the
// other items.
const maxVariants = 10

// number returns a valid number of the prompt, or the smallest valid number.
func (v generator) number(schema *object, at *place) any {
	low, high := numberOf(schema, "minimum", math.Inf(-1)), numberOf(schema, "maximum", math.Inf(1))
	above, below := numberOf(schema, "exclusiveMinimum", math.Inf(-1)), numberOf(schema, "exclusiveMaximum", math.Inf(1))
	multiple := numberOf(schema, "multipleOf", 0)
	whole := typeOf(schema) == "integer"
	valid := func(x float64) bool {
		return !math.IsInf(x, 0) && !math.IsNaN(x) && low <= x && x <= high && above < x && x < below &&
			(!whole || x == math.Trunc(x)) && (multiple <= 0 || math.Abs(x/multiple-math.Round(x/multiple)) < 1e-9)
	}
	step := multiple
	if step <= 0 || whole && step < 1 {
		step = 1
	}
	v.spend(at, len(v.hints.numbers))
	candidates := slices.Clone(v.hints.numbers)
	lower, upper := max(low, above), min(high, below)
	candidates = append(candidates, low, 1, 0, math.Ceil(lower/step)*step, math.Floor(lower/step)*step+step,
		math.Floor(upper/step)*step, math.Ceil(upper/step)*step-step, (lower+upper)/2, high)
	for _, x := range candidates {
		if !valid(x) {
			continue
		}
		for _, varied := range []float64{x + float64(v.variant)*step, x - float64(v.variant)*step} {
			if valid(varied) {
				return varied
			}
		}
		return x
	}
	return 1 // All candidates are invalid.
}
