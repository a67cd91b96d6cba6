package emulator

import (
	"context"
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// inventor makes up values that fit a JSON Schema, with what the prompt has to offer.
type inventor struct {
	*work
	root    map[string]any // that references point into
	top     *place         // of root
	hints   *hints         // of the prompt
	variant int            // other than 0 for the second item of a list, and those after it
}

// invent returns a value that fits the schema at a place of a request. It knows all
// keywords but not, if, contains, patternProperties, propertyNames and those about
// dependent and unevaluated properties; of a pattern, what Go's regular expressions know.
// It fails when the schema is beyond the bounds, and when the context ends.
func invent(ctx context.Context, schema generated.JSON, at *place, text string) (any, error) {
	return newWork(ctx).invent(schema, at, text)
}

func (w *work) invent(schema generated.JSON, at *place, text string) (any, error) {
	source, err := generated.EncodeJSON(schema)
	if err != nil {
		return nil, err
	}
	if len(source) > maxSchemaBytes {
		w.refuse(at, "must have at most %d bytes, got %d", maxSchemaBytes, len(source))
	}
	var root map[string]any
	if w.err == nil {
		_ = json.Unmarshal(source, &root) // Any other value than an object allows anything.
	}
	value := inventor{work: w, root: root, top: at, hints: newHints(text)}.value(root, "", at, 0)
	return value, w.err
}

func inventJSON(value any) string {
	data, err := json.Marshal(value)
	if err != nil {
		return "{}" // What came as JSON marshals.
	}
	return string(data)
}

// Of a schema that refers to itself, from the depth deepest on only what must be is made
// up, and at bottom nothing.
const (
	deepest = 8
	bottom  = 4 * deepest
)

func (v inventor) value(schema map[string]any, name string, at *place, depth int) any {
	if depth > bottom || !v.look(at) {
		return nil
	}
	schema, at = v.plain(schema, at, depth)
	types, _ := schema["type"].([]any)
	if !v.spend(at, len(schema)+len(types)) {
		return nil
	}
	if value, ok := schema["const"]; ok {
		return v.given(value, at)
	}
	if list, ok := schema["enum"].([]any); ok && len(list) > 0 {
		return v.given(v.one(list, at), at)
	}
	if value, ok := schema["default"]; ok && v.variant == 0 {
		return v.given(value, at)
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
func (v inventor) given(value any, at *place) any {
	if !v.spend(at, len(encode(value))) {
		return nil
	}
	return value
}

// typeOf is the type that a schema wants, the first if there are several.
func typeOf(schema map[string]any) string {
	switch t := schema["type"].(type) {
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
		if _, ok := schema[hint.keyword]; ok {
			return hint.kind
		}
	}
	return ""
}

// one takes the value that the prompt names, or else the first.
func (v inventor) one(list []any, at *place) any {
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

// object has the properties that are required, or all when none is.
func (v inventor) object(schema map[string]any, at *place, depth int) any {
	object := map[string]any{}
	properties, _ := schema["properties"].(map[string]any)
	items, _ := schema["required"].([]any)
	least := countOf(schema, "minProperties", 0)
	if !v.spend(at, len(properties)+len(items)) {
		return nil
	}
	required := textsOf(items)
	add := func(name string) {
		property, ok := properties[name].(map[string]any) // true, which allows anything, is as good as {}
		to := at.in("properties").in(name)
		if other, has := schema["additionalProperties"].(map[string]any); !ok && has {
			property, to = other, at.in("additionalProperties")
		}
		if v.spend(to, len(name)) {
			object[name] = v.value(property, name, to, depth+1)
		}
	}
	for _, name := range required {
		add(name)
	}
	for name := range sorted(properties) {
		if len(required) == 0 && depth < deepest || len(object) < least {
			add(name)
		}
	}
	for i := 1; len(object) < least && schema["additionalProperties"] != false && v.err == nil; i++ {
		add("property" + strconv.Itoa(i))
	}
	return object
}

// mostInvented is the most items and properties that a schema gets.
const mostInvented = 1_000

// array has one item, or as many as there must be.
func (v inventor) array(schema map[string]any, name string, at *place, depth int) any {
	first, _ := schema["prefixItems"].([]any)
	items, ok := schema["items"].(map[string]any)
	size := max(1, len(first))
	if !ok && len(first) == 0 || depth >= deepest {
		size = 0
	}
	size = max(size, countOf(schema, "minItems", 0))
	size = min(size, countOf(schema, "maxItems", mostInvented))
	if !v.spend(at, size*len("null,")) {
		return nil
	}
	list := make([]any, size)
	seen := map[string]bool{}
	one := v
	for i := range list {
		item, to := items, at.in("items")
		if i < len(first) {
			item, _ = first[i].(map[string]any)
			to = at.in("prefixItems").in(strconv.Itoa(i))
		}
		for range mostVariants {
			list[i] = one.value(item, name, to, depth+1)
			if i >= len(first) {
				one.variant++
			}
			if schema["uniqueItems"] != true {
				break
			}
			text := inventJSON(list[i])
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
func (v inventor) number(schema map[string]any, at *place) any {
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

func numberOf(schema map[string]any, keyword string, without float64) float64 {
	if x, ok := schema[keyword].(float64); ok {
		return x
	}
	return without
}

// countOf returns a number of items or properties, within bounds.
func countOf(schema map[string]any, keyword string, without float64) int {
	return int(max(0, min(numberOf(schema, keyword, without), mostInvented)))
}

// textsOf returns the strings of a list, in order, each once.
func textsOf(items []any) []string {
	var texts []string
	seen := map[string]bool{}
	for _, item := range items {
		if text, ok := item.(string); ok && !seen[text] {
			seen[text] = true
			texts = append(texts, text)
		}
	}
	return texts
}
