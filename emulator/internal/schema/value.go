// Package schema makes JSON values that fit a JSON Schema, within bounds of memory and time.
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

// generator makes values that fit a JSON Schema, of what the prompt offers.
type generator struct {
	*work
	root    *object // that references point into
	top     *place  // of root
	hints   *hints  // of the prompt
	variant int     // other than 0 for the second item of a list, and those after it
}

// JSON returns a JSON value, as text, that fits a schema. The value is made of what a text,
// the prompt, offers: names, numbers, quotations. The place of the schema in the request,
// the tokens of a JSON pointer, is for errors.
//
// All keywords count but not, if, contains, patternProperties, propertyNames and those about
// dependent and unevaluated properties; of a pattern, the syntax that Go's regular
// expressions share. It fails with a [*BoundError] when the schema asks for too much, and when
// the context ends.
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
	root, _ := decode(source).(*object) // Any other value than an object allows anything.
	value := generator{work: w, root: root, top: at, hints: newHints(text)}.value(root, "", at, 0)
	if w.err != nil {
		return "", w.err
	}
	return string(wire.Encode(value)), nil
}

// Of a schema that refers to itself, from the depth deepest on only what must be is made
// up, and at bottom nothing.
const (
	deepest = 8
	bottom  = 4 * deepest
)

func (v generator) value(schema *object, name string, at *place, depth int) any {
	if depth > bottom || !v.look(at) {
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

// given takes a value from the schema.
func (v generator) given(value any, at *place) any {
	if !v.spend(at, len(wire.Encode(value))) {
		return nil
	}
	return value
}

// typeOf is the type that a schema wants, the first if there are several.
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

// one takes the value that the prompt names, or else the first.
func (v generator) one(list []any, at *place) any {
	for i, value := range list {
		s, ok := value.(string)
		if !v.spend(at, 4+len(s)) { // The prompt is searched for it.
			return nil
		}
		if ok && s != "" && strings.Contains(v.hints.lower, strings.ToLower(s)) {
			return list[(i+v.variant)%len(list)]
		}
	}
	return list[v.variant%len(list)]
}

// object has the properties that are required, or all when none is, in the order of the
// schema.
func (v generator) object(schema *object, at *place, depth int) any {
	made := &object{values: map[string]any{}}
	properties, _ := schema.get("properties").(*object)
	items, _ := schema.get("required").([]any)
	least := countOf(schema, "minProperties", 0)
	if !v.spend(at, properties.len()+len(items)) {
		return nil
	}
	must := map[string]bool{}
	for _, item := range items {
		if name, ok := item.(string); ok {
			must[name] = true
		}
	}
	add := func(name string) {
		property, ok := properties.get(name).(*object) // true, which allows anything, is as good as {}
		to := at.in("properties").in(name)
		if other, has := schema.get("additionalProperties").(*object); !ok && has {
			property, to = other, at.in("additionalProperties")
		}
		if v.spend(to, len(name)) {
			made.set(name, v.value(property, name, to, depth+1))
		}
	}
	missing := least - len(must)
	for _, name := range properties.each() {
		optional := len(must) == 0 && depth < deepest
		if !must[name] && !optional && missing > 0 {
			optional = true
			missing--
		}
		if must[name] || optional {
			add(name)
		}
	}
	for _, item := range items {
		if name, ok := item.(string); ok && !made.has(name) {
			add(name)
		}
	}
	for i := 1; made.len() < least && schema.get("additionalProperties") != false && v.err == nil; i++ {
		add("property" + strconv.Itoa(i))
	}
	return made
}

// maxItems is the number of items and of properties that a value has at most.
const maxItems = 1_000

// array has one item, or as many as there must be.
func (v generator) array(schema *object, name string, at *place, depth int) any {
	first, _ := schema.get("prefixItems").([]any)
	items, ok := schema.get("items").(*object)
	size := max(1, len(first))
	if !ok && len(first) == 0 || depth >= deepest {
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
		for range mostVariants {
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

// mostVariants is how many values are tried for an item that must differ from others.
const mostVariants = 10

// number takes a number of the prompt that fits, or else the least.
func (v generator) number(schema *object, at *place) any {
	low, high := numberOf(schema, "minimum", math.Inf(-1)), numberOf(schema, "maximum", math.Inf(1))
	above, below := numberOf(schema, "exclusiveMinimum", math.Inf(-1)), numberOf(schema, "exclusiveMaximum", math.Inf(1))
	multiple := numberOf(schema, "multipleOf", 0)
	whole := typeOf(schema) == "integer"
	fits := func(x float64) bool {
		return !math.IsInf(x, 0) && !math.IsNaN(x) && low <= x && x <= high && above < x && x < below &&
			(!whole || x == math.Trunc(x)) && (multiple <= 0 || math.Abs(x/multiple-math.Round(x/multiple)) < 1e-9)
	}
	step := multiple
	if step <= 0 || whole && step < 1 {
		step = 1
	}
	v.spend(at, len(v.hints.numbers))
	candidates := slices.Clone(v.hints.numbers)
	least, most := max(low, above), min(high, below)
	candidates = append(candidates, low, 1, 0, math.Ceil(least/step)*step, math.Floor(least/step)*step+step,
		math.Floor(most/step)*step, math.Ceil(most/step)*step-step, (least+most)/2, high)
	for _, x := range candidates {
		if !fits(x) {
			continue
		}
		for _, varied := range []float64{x + float64(v.variant)*step, x - float64(v.variant)*step} {
			if fits(varied) {
				return varied
			}
		}
		return x
	}
	return 1 // Nothing that was tried fits.
}
