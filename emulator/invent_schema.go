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
// branch of anyOf and oneOf written into it.
func (v inventor) plain(schema map[string]any, depth int) map[string]any {
	const most = 64 // More is a schema that refers to itself and nothing else.
	for range most {
		if !v.spend() {
			break
		}
		if ref, ok := schema["$ref"].(string); ok {
			schema = merged(lookUp(v.root, ref), lacking(schema, "$ref"))
			continue
		}
		if list, ok := schema["allOf"].([]any); ok {
			schema = lacking(schema, "allOf")
			for _, part := range list {
				part, _ := part.(map[string]any)
				schema = merged(schema, v.plain(part, depth))
			}
			continue
		}
		keyword, list := "anyOf", branches(schema, "anyOf")
		if list == nil {
			keyword, list = "oneOf", branches(schema, "oneOf")
		}
		if list == nil {
			return schema
		}
		schema = merged(lacking(schema, keyword), v.branch(list, depth))
	}
	return schema
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
func lookUp(root map[string]any, ref string) map[string]any {
	pointer, ok := strings.CutPrefix(ref, "#")
	if !ok {
		return nil
	}
	var value any = root
	for token := range strings.SplitSeq(strings.TrimPrefix(pointer, "/"), "/") {
		if pointer == "" {
			break
		}
		token = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
		switch in := value.(type) {
		case map[string]any:
			value = in[token]
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(in) {
				return nil
			}
			value = in[i]
		default:
			return nil
		}
	}
	schema, _ := value.(map[string]any)
	return schema
}

func lacking(schema map[string]any, keyword string) map[string]any {
	schema = maps.Clone(schema)
	delete(schema, keyword)
	return schema
}

// merged returns a schema that asks for what both ask for, as far as that can be said.
func merged(a, b map[string]any) map[string]any {
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
		both[keyword] = stricter(keyword, have, of)
	}
	return both
}

func stricter(keyword string, a, b any) any {
	switch keyword {
	case "properties":
		left, _ := a.(map[string]any)
		right, _ := b.(map[string]any)
		both := maps.Clone(left)
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
		return slices.Concat(left, right)
	case "minimum", "exclusiveMinimum", "minLength", "minItems", "minProperties":
		return extreme(a, b, math.Max)
	case "maximum", "exclusiveMaximum", "maxLength", "maxItems":
		return extreme(a, b, math.Min)
	case "enum":
		left, _ := a.([]any)
		right, _ := b.([]any)
		return slices.DeleteFunc(slices.Clone(left), func(value any) bool {
			return !slices.ContainsFunc(right, func(other any) bool { return string(encode(other)) == string(encode(value)) })
		})
	default:
		return b
	}
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
