package generated

import (
	"encoding/json"
	"reflect"
	"sync"
)

// A union reads the variants of one union: V is their interface.
type union[V any] struct {
	variants map[string]variant[V] // by type
	unknown  func(name string, raw json.RawMessage) V
}

// A variant is one of the types of a union.
type variant[V any] struct {
	typ  reflect.Type
	read func(v value) V
}

// variantOf makes the variant of type T. T is copied into the interface that holds
// it, so that what it is decoded into can be used again.
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

// read reads the variant that "type" names or, without a type, the variant of the given
// name or the one whose properties the value has. The result is unknown if there is no
// such variant.
func (u *union[V]) read(v value, name string) V {
	if v.kind() != '{' {
		v.mismatch()
		return u.unknown(name, json.RawMessage(v.text()))
	}
	if given := v.typeName(); given != "" {
		name = given
	}
	if name == "" {
		name = u.nameByForm(v)
	}
	if variant, ok := u.variants[name]; ok {
		return variant.read(v)
	}
	if given, ok := v.member("type"); ok && given.kind() != '"' && !given.isNull() {
		given.mismatch()
	}
	return u.unknown(name, json.RawMessage(v.text()))
}

// typeName returns the "type" of an object; "" if it is not a string.
func (v value) typeName() string {
	member, ok := v.member("type")
	if !ok {
		return ""
	}
	name, _ := member.string()
	return name
}

// nameByForm returns the type of an object that does not say it, where there is one
// variant alone whose required properties it has and that declares most of the others.
func (u *union[V]) nameByForm(v value) string {
	name, most, tie := "", 0, false
	for candidate, variant := range u.variants {
		p := planOf(variant.typ)
		declared, required := 0, 0
		for key := range v.members() {
			if f := p.byName[key]; f != nil {
				declared++
				if f.required {
					required++
				}
			}
		}
		switch {
		case required == 0 || required < p.required || declared < most:
		case declared == most:
			tie = true
		default:
			name, most, tie = candidate, declared, false
		}
	}
	if tie {
		return u.nameByRole(v)
	}
	return name
}

// nameByRole returns the type of a message of the user: those of the model are inputs or
// outputs.
func (u *union[V]) nameByRole(v value) string {
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
