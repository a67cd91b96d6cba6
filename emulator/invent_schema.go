package emulator

import (
	"iter"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// plain returns a schema with what it refers to, what all of allOf ask for and one
// branch of anyOf and oneOf written into it, and the place that it refers to last.
func (v inventor) plain(schema map[string]any, at *place, depth int) (map[string]any, *place) {
	const most = 64 // More is a schema that refers to itself and nothing else.
	for range most {
		if !v.look(at) || !v.spend(at, perKeyword*len(schema)) {
			break
		}
		if ref, ok := schema["$ref"].(string); ok {
			var referred map[string]any
			referred, at = v.lookUp(ref, at)
			schema = v.merged(referred, lacking(schema, "$ref"), at)
			continue
		}
		if list, ok := schema["allOf"].([]any); ok {
			schema = lacking(schema, "allOf")
			for i, part := range list {
				if !v.spend(at, perKeyword) || v.schemas < 0 {
					break
				}
				to := at.in("allOf").in(strconv.Itoa(i))
				part, _ := part.(map[string]any)
				part, _ = v.plain(part, to, depth)
				schema = v.merged(schema, part, to)
			}
			continue
		}
		keyword, list := "anyOf", branches(schema, "anyOf")
		if list == nil {
			keyword, list = "oneOf", branches(schema, "oneOf")
		}
		if list == nil || !v.spend(at, len(list)) {
			break
		}
		schema = v.merged(lacking(schema, keyword), v.branch(list, depth), at.in(keyword))
	}
	return schema, at
}

// branches returns the schemas of anyOf or oneOf; nil for none.
func branches(schema map[string]any, keyword string) []map[string]any {
	items, _ := schema[keyword].([]any)
	var list []map[string]any
	for _, item := range items {
		if branch, ok := item.(map[string]any); ok {
			list = append(list, branch)
		}
	}
	return list
}

// branch takes the first; deep down the first that goes no deeper.
func (v inventor) branch(list []map[string]any, depth int) map[string]any {
	if depth >= deepest {
		for _, branch := range list {
			if _, refers := branch["$ref"]; refers {
				continue
			}
			if kind := typeOf(branch); kind != "object" && kind != "array" {
				return branch
			}
		}
	}
	return list[0]
}

// lookUp follows a reference within the schema; what is not there is {}.
func (v inventor) lookUp(ref string, at *place) (map[string]any, *place) {
	pointer, ok := strings.CutPrefix(ref, "#")
	if !ok || !v.spend(at, len(ref)) {
		return nil, at
	}
	var value any = v.root
	at = v.top
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if pointer == "" {
			break
		}
		token = pointerUnescape.Replace(token)
		at = at.in(token)
		switch in := value.(type) {
		case map[string]any:
			value = in[token]
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(in) {
				return nil, at
			}
			value = in[i]
		default:
			return nil, at
		}
	}
	schema, _ := value.(map[string]any)
	return schema, at
}

var pointerUnescape = strings.NewReplacer("~1", "/", "~0", "~")

func lacking(schema map[string]any, keyword string) map[string]any {
	schema = maps.Clone(schema)
	delete(schema, keyword)
	return schema
}

// merged returns a schema that asks for what both ask for, as far as that can be said.
func (v inventor) merged(a, b map[string]any, at *place) map[string]any {
	if !v.spend(at, perKeyword*(len(a)+len(b))) {
		return nil
	}
	both := maps.Clone(a)
	if both == nil {
		both = map[string]any{}
	}
	for keyword, of := range b {
		have, ok := both[keyword]
		if !ok {
			both[keyword] = of
			continue
		}
		both[keyword] = v.stricter(keyword, have, of, at)
	}
	return both
}

func (v inventor) stricter(keyword string, a, b any, at *place) any {
	switch keyword {
	case "properties":
		left, _ := a.(map[string]any)
		right, _ := b.(map[string]any)
		if !v.spend(at, perKeyword*(len(left)+len(right))) {
			return nil
		}
		both := maps.Clone(left)
		if both == nil {
			both = map[string]any{}
		}
		for name, of := range right {
			one, isA := both[name].(map[string]any)
			other, isB := of.(map[string]any)
			if isA && isB {
				of = map[string]any{"allOf": []any{one, other}}
			}
			both[name] = of
		}
		return both
	case "required":
		left, _ := a.([]any)
		right, _ := b.([]any)
		if !v.spend(at, len(left)+len(right)) {
			return nil
		}
		return slices.Concat(left, right)
	case "minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties":
		return extreme(a, b, math.Max)
	case "maximum", "exclusiveMaximum", "maxLength", "maxItems":
		return extreme(a, b, math.Min)
	case "enum":
		left, _ := a.([]any)
		right, _ := b.([]any)
		return v.common(left, right, at)
	default:
		return b
	}
}

// common returns the values that both lists have.
func (v inventor) common(a, b []any, at *place) []any {
	texts := map[string]bool{}
	has := func(value any) (string, bool) {
		text := string(encode(value))
		return text, v.spend(at, len(text)) && texts[text]
	}
	for _, value := range b {
		if v.err != nil {
			return nil
		}
		text, _ := has(value)
		texts[text] = true
	}
	return slices.DeleteFunc(slices.Clone(a), func(value any) bool {
		_, ok := has(value)
		return !ok
	})
}

func extreme(a, b any, of func(x, y float64) float64) any {
	left, isA := a.(float64)
	right, isB := b.(float64)
	if isA && isB {
		return of(left, right)
	}
	return b
}

func sorted(m map[string]any) iter.Seq[string] { return slices.Values(slices.Sorted(maps.Keys(m))) }
