package emulator

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"
)

// inventor makes up values that fit a JSON Schema, with what the prompt has to offer.
type inventor struct {
	root    map[string]any // that references point into
	text    string         // of the prompt
	variant int            // other than 0 for the second item of a list, and those after it
	left    *int           // how many schemas may still be looked at
}

// mostSchemas bounds what a small schema that refers to itself can ask for.
const mostSchemas = 10_000

func newInventor(schema map[string]any, text string) inventor {
	left := mostSchemas
	return inventor{root: schema, text: text, left: &left}
}

// spend takes one of the schemas that may be looked at; false is that there is none.
func (v inventor) spend() bool {
	*v.left--
	return *v.left >= 0
}

// invent writes JSON that fits a schema. It knows all keywords but not, if, contains,
// patternProperties, propertyNames and those about dependent and unevaluated
// properties; of a pattern, what Go's regular expressions know.
func invent(schema map[string]any, text string) string {
	return inventJSON(newInventor(schema, text).value(schema, "", 0))
}

// inventArguments is invent for a function, the arguments of which are an object.
func inventArguments(schema map[string]any, text string) string {
	value, ok := newInventor(schema, text).value(schema, "", 0).(map[string]any)
	if !ok {
		value = map[string]any{}
	}
	return inventJSON(value)
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

func (v inventor) value(schema map[string]any, name string, depth int) any {
	if depth > bottom || !v.spend() {
		return nil
	}
	schema = v.plain(schema, depth)
	if value, ok := schema["const"]; ok {
		return value
	}
	if list, ok := schema["enum"].([]any); ok && len(list) > 0 {
		return v.one(list)
	}
	if value, ok := schema["default"]; ok && v.variant == 0 {
		return value
	}
	switch typeOf(schema) {
	case "object":
		return v.object(schema, depth)
	case "array":
		return v.array(schema, name, depth)
	case "integer", "number":
		return v.number(schema)
	case "boolean":
		return v.variant%2 == 0
	case "null":
		return nil
	default:
		return v.string(schema, name)
	}
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
func (v inventor) one(list []any) any {
	for i, value := range list {
		if s, ok := value.(string); ok && s != "" && strings.Contains(strings.ToLower(v.text), strings.ToLower(s)) {
			return list[(i+v.variant)%len(list)]
		}
	}
	return list[v.variant%len(list)]
}

// object has the properties that are required, or all when none is.
func (v inventor) object(schema map[string]any, depth int) any {
	object := map[string]any{}
	properties, _ := schema["properties"].(map[string]any)
	required := textsOf(schema["required"])
	add := func(name string) {
		property, ok := properties[name].(map[string]any) // true, which allows anything, is as good as {}
		if other, has := schema["additionalProperties"].(map[string]any); !ok && has {
			property = other
		}
		object[name] = v.value(property, name, depth+1)
	}
	for _, name := range required {
		add(name)
	}
	least := countOf(schema, "minProperties", 0)
	for name := range sorted(properties) {
		if len(required) == 0 && depth < deepest || len(object) < least {
			add(name)
		}
	}
	for i := 1; len(object) < least && schema["additionalProperties"] != false; i++ {
		add("property" + strconv.Itoa(i))
	}
	return object
}

// mostInvented is the most items and properties that a schema gets.
const mostInvented = 1_000

// array has one item, or as many as there must be.
func (v inventor) array(schema map[string]any, name string, depth int) any {
	first, _ := schema["prefixItems"].([]any)
	items, ok := schema["items"].(map[string]any)
	size := max(1, len(first))
	if !ok && len(first) == 0 || depth >= deepest {
		size = 0
	}
	size = max(size, countOf(schema, "minItems", 0))
	size = min(size, countOf(schema, "maxItems", mostInvented))
	list := make([]any, size)
	seen := map[string]bool{}
	one := v
	for i := range list {
		item := items
		if i < len(first) {
			item, _ = first[i].(map[string]any)
		}
		for range mostVariants {
			list[i] = one.value(item, name, depth+1)
			if i >= len(first) {
				one.variant++
			}
			if text := inventJSON(list[i]); schema["uniqueItems"] != true || !seen[text] {
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
func (v inventor) number(schema map[string]any) any {
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
	var candidates []float64
	for _, found := range numberRule.FindAllString(v.text, -1) {
		if x, err := strconv.ParseFloat(found, 64); err == nil {
			candidates = append(candidates, x)
		}
	}
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

// textsOf returns the strings of a list, in order.
func textsOf(list any) []string {
	items, _ := list.([]any)
	var texts []string
	for _, item := range items {
		if text, ok := item.(string); ok && !slices.Contains(texts, text) {
			texts = append(texts, text)
		}
	}
	return texts
}
