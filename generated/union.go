package generated

import (
	"encoding/json"
	"reflect"
	"sync"
)

// A union decodes the variants of one union type. V is their interface.
type union[V any] struct {
	variants map[string]variant[V] // by the value of "type"
	unknown  func(name string, raw json.RawMessage) V
}

// A variant is one of the types of a union.
type variant[V any] struct {
	typ  reflect.Type
	read func(v value) V
}

// variantOf returns the variant of type T. Its read function decodes into a pooled T and returns
// a copy.
func variantOf[V, T any]() variant[V] {
	pool := sync.Pool{New: func() any { return new(T) }}
	return variant[V]{reflect.TypeFor[T](), func(v value) V {
		p := pool.Get().(*T)
		v.into(reflect.ValueOf(p).Elem())
		decoded := any(*p).(V)
		*p = *new(T)
		pool.Put(p)
		return decoded
	}}
}

// isNil reports whether v is nil or a nil pointer.
func isNil(v any) bool {
	r := reflect.ValueOf(v)
	return !r.IsValid() || r.Kind() == reflect.Pointer && r.IsNil()
}

// read decodes the variant that "type" names. If "type" is missing, read uses the given name or,
// if the name is empty, infers it from the properties. It returns an Unknown variant if none of
// the variants has the name.
func (u *union[V]) read(v value, name string) V {
	if v.kind() != '{' {
		v.mismatch()
		return u.unknown(name, json.RawMessage(v.text()))
	}
	if given := v.typeName(); given != "" {
		name = given
	}
	if name == "" {
		name = u.inferName(v)
	}
	if variant, ok := u.variants[name]; ok {
		return variant.read(v)
	}
	if given, ok := v.member("type"); ok && given.kind() != '"' && !given.isNull() {
		given.mismatch()
	}
	return u.unknown(name, json.RawMessage(v.text()))
}

// typeName returns the "type" of an object; "" if it is missing or not a string.
func (v value) typeName() string {
	member, ok := v.member("type")
	if !ok {
		return ""
	}
	name, _ := member.string()
	return name
}

// inferName infers the variant of an object without a "type". It considers the variants whose
// required properties are all present and returns the one that declares most of the object's
// properties. If several variants declare equally many, inferNameFromRole decides.
func (u *union[V]) inferName(v value) string {
	type score struct{ declared, required int }
	scores := map[string]score{}
	for key := range v.members() {
		for candidate, variant := range u.variants {
			if f := planOf(variant.typ).byName[key]; f != nil {
				s := scores[candidate]
				s.declared++
				if f.required {
					s.required++
				}
				scores[candidate] = s
			}
		}
	}
	name, most, tie := "", 0, false
	for candidate, s := range scores {
		switch {
		case s.required == 0 || s.required < planOf(u.variants[candidate].typ).required || s.declared < most:
		case s.declared == most:
			tie = true
		default:
			name, most, tie = candidate, s.declared, false
		}
	}
	if tie {
		return u.inferNameFromRole(v)
	}
	return name
}

// inferNameFromRole returns "message.input" for a message with role user and "" otherwise,
// because the assistant's messages are ambiguous.
func (u *union[V]) inferNameFromRole(v value) string {
	const name = string(EntryTypeMessageInput)
	role, _ := v.member("role")
	if _, ok := u.variants[name]; !ok || role.d == nil {
		return ""
	}
	if s, _ := role.string(); s != string(MessageRoleUser) {
		return ""
	}
	return name
}
