package schema

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
)

// plain resolves the references of a schema. It merges all parts of allOf and one branch of
// anyOf and oneOf into it. It also returns the location of the last resolved reference.
func (v generator) plain(schema *object, at *place, depth int) (*object, *place) {
	const maxReferences = 64 // Further references form a cycle.
	for range maxReferences {
		if !v.look(at) || !v.spend(at, perKeyword*schema.len()) {
			break
		}
		if ref, ok := schema.get("$ref").(string); ok {
			var referred *object
			referred, at = v.lookUp(ref, at)
			schema = v.merged(referred, schema.without("$ref"), at)
			continue
		}
		if list, ok := schema.get("allOf").([]any); ok {
			schema = schema.without("allOf")
			for i, part := range list {
				if !v.spend(at, perKeyword) || v.schemas < 0 {
					break
				}
				to := at.in("allOf").in(strconv.Itoa(i))
				part, _ := part.(*object)
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
		schema = v.merged(schema.without(keyword), v.branch(list, depth), at.in(keyword))
	}
	return schema, at
}

// branches returns the schemas of anyOf or oneOf, or nil.
func branches(schema *object, keyword string) []*object {
	items, _ := schema.get(keyword).([]any)
	var list []*object
	for _, item := range items {
		if branch, ok := item.(*object); ok {
			list = append(list, branch)
		}
	}
	return list
}

// branch returns the first schema of a list. From minimalDepth on it prefers a schema without
// nested values.
func (v generator) branch(list []*object, depth int) *object {
	if depth >= minimalDepth {
		for _, branch := range list {
			if branch.has("$ref") {
				continue
			}
			if kind := typeOf(branch); kind != "object" && kind != "array" {
				return branch
			}
		}
	}
	return list[0]
}

// lookUp resolves a reference within the root schema. It returns nil, which allows any value,
// if the target does not exist.
func (v generator) lookUp(ref string, at *place) (*object, *place) {
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
		case *object:
			value = in.get(token)
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
	schema, _ := value.(*object)
	return schema, at
}

var pointerUnescape = strings.NewReplacer("~1", "/", "~0", "~")

// merged returns a schema that combines the constraints of both, as far as possible.
func (v generator) merged(a, b *object, at *place) *object {
	return v.joined(a, b, at, func(keyword string, a, b any) any { return v.stricter(keyword, a, b, at) })
}

// joined returns an object with the members of both. It calls join for names that occur in
// both.
func (v generator) joined(a, b *object, at *place, join func(name string, a, b any) any) *object {
	if !v.spend(at, perKeyword*(a.len()+b.len())) {
		return nil
	}
	both := a.without("")
	for _, name := range b.keys() {
		value := b.get(name)
		if both.has(name) {
			value = join(name, both.get(name), value)
		}
		both.set(name, value)
	}
	return both
}

// stricter returns the value of a keyword that combines the constraints of a and b. For
// keywords that it cannot combine, it returns b.
func (v generator) stricter(keyword string, a, b any, at *place) any {
	switch keyword {
	case "properties":
		left, _ := a.(*object)
		right, _ := b.(*object)
		return v.joined(left, right, at, func(_ string, a, b any) any {
			_, isA := a.(*object)
			_, isB := b.(*object)
			if !isA || !isB {
				return b
			}
			return &object{names: []string{"allOf"}, values: map[string]any{"allOf": []any{a, b}}}
		})
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

// common returns the values that both lists contain.
func (v generator) common(a, b []any, at *place) []any {
	texts := map[string]bool{}
	has := func(value any) (string, bool) {
		text := string(wire.Encode(value))
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

// extreme returns the one of two numbers that choose, which is math.Min or math.Max,
// returns.
func extreme(a, b any, choose func(x, y float64) float64) any {
	left, isA := a.(json.Number)
	right, isB := b.(json.Number)
	x, errX := left.Float64()
	y, errY := right.Float64()
	if !isA || !isB || errX != nil || errY != nil {
		return b
	}
	if choose(x, y) == x {
		return a
	}
	return b
}
