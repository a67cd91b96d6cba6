package schema

import (
	"encoding/json"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
)

// plain returns a schema with what it refers to, what all of allOf ask for and one
// branch of anyOf and oneOf written into it, and the place that it refers to last.
func (v generator) plain(schema *object, at *place, depth int) (*object, *place) {
	const most = 64 // More is a schema that refers to itself and nothing else.
	for range most {
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

// branches returns the schemas of anyOf or oneOf; nil for none.
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

// branch takes the first; deep down the first that goes no deeper.
func (v generator) branch(list []*object, depth int) *object {
	if depth >= deepest {
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

// lookUp follows a reference within the schema; what is not there is {}.
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

// merged returns a schema that asks for what both ask for, as far as a schema can say it.
func (v generator) merged(a, b *object, at *place) *object {
	return v.joined(a, b, at, func(keyword string, a, b any) any { return v.stricter(keyword, a, b, at) })
}

// joined returns an object with the members of both, joining those of one name.
func (v generator) joined(a, b *object, at *place, join func(name string, a, b any) any) *object {
	if !v.spend(at, perKeyword*(a.len()+b.len())) {
		return nil
	}
	both := a.without("")
	for _, name := range b.each() {
		of := b.get(name)
		if both.has(name) {
			of = join(name, both.get(name), of)
		}
		both.set(name, of)
	}
	return both
}

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

// common returns the values that both lists have.
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

func extreme(a, b any, of func(x, y float64) float64) any {
	left, isA := a.(json.Number)
	right, isB := b.(json.Number)
	x, errX := left.Float64()
	y, errY := right.Float64()
	if !isA || !isB || errX != nil || errY != nil {
		return b
	}
	if of(x, y) == x {
		return a
	}
	return b
}
