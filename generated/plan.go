package generated

import (
	"encoding/json"
	"reflect"
	"strings"
	"sync"
)

// A plan holds the functions that decode and encode one Go type. planOf makes one plan for each
// type, from its kind and the tags of its fields. If the type implements jsonReader or
// jsonWriter, the plan calls its method instead.
type plan struct {
	typ    reflect.Type
	read   func(p *plan, v value, dst reflect.Value) // v is not null
	write  func(p *plan, w *output, src reflect.Value)
	isZero func(src reflect.Value) bool
	elem   *plan // the element's plan, for a pointer, list or map

	// The fields below are set for structs only.
	fields   []field
	byName   map[string]*field
	required int  // number of required fields
	sourced  bool // the type implements sourced
}

// A field is one property of an object.
type field struct {
	plan                *plan
	name                string
	key                 string // the quoted name and a colon
	index               int
	required            bool // required by the OpenAPI document
	omitEmpty, omitZero bool
	unset               string // JSON text for an unset value, instead of null
	secret              bool   // redacted in printed output
}

// A jsonReader decodes itself from a value that is not null. It calls value.mismatch for a value
// of another type.
type jsonReader interface{ readJSON(v value) }

// A jsonWriter appends its JSON encoding to an output.
type jsonWriter interface{ writeJSON(w *output) }

var (
	plans   sync.Map // complete plans by reflect.Type
	plansMu sync.Mutex
)

// planOf returns the plan of a type.
func planOf(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	plansMu.Lock()
	defer plansMu.Unlock()
	pending := planner{}
	p := pending.plan(t)
	for t, p := range pending { // all plans are complete now
		plans.Store(t, p)
	}
	return p
}

// A planner holds incomplete plans, because types may be recursive.
type planner map[reflect.Type]*plan

func (pending planner) plan(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	if p := pending[t]; p != nil {
		return p
	}
	p := &plan{typ: t, isZero: reflect.Value.IsZero}
	pending[t] = p
	pointer := reflect.PointerTo(t)
	if pointer.Implements(reflect.TypeFor[interface{ IsZero() bool }]()) {
		p.isZero = func(src reflect.Value) bool { return src.Addr().Interface().(interface{ IsZero() bool }).IsZero() }
	}
	switch t.Kind() {
	case reflect.String:
		p.read, p.write = readString, writeString
	case reflect.Int:
		p.read, p.write = readInt, writeInt
	case reflect.Float64:
		p.read, p.write = readFloat, writeFloat
	case reflect.Bool:
		p.read, p.write = readBool, writeBool
	case reflect.Interface:
		p.read, p.write, p.isZero = readFreeForm, writeFreeForm, isUnset
	case reflect.Pointer:
		p.elem = pending.plan(t.Elem())
		p.read, p.write = readPointer, writePointer
	case reflect.Slice:
		p.elem = pending.plan(t.Elem())
		p.read, p.write = readList, writeList
	case reflect.Map:
		p.elem = pending.plan(t.Elem())
		p.read, p.write = readMap, writeMap
	case reflect.Struct:
		p.read, p.write = readStruct, writeStruct
		p.addFields(pending)
		if !pointer.Implements(reflect.TypeFor[interface{ IsZero() bool }]()) {
			p.isZero = p.fieldsAreZero
		}
		p.sourced = pointer.Implements(reflect.TypeFor[sourced]())
	default:
		p.read, p.write = readStdlib, writeStdlib
	}
	if pointer.Implements(reflect.TypeFor[jsonReader]()) {
		p.read = func(_ *plan, v value, dst reflect.Value) { dst.Addr().Interface().(jsonReader).readJSON(v) }
	}
	if pointer.Implements(reflect.TypeFor[jsonWriter]()) {
		p.write = func(_ *plan, w *output, src reflect.Value) { src.Addr().Interface().(jsonWriter).writeJSON(w) }
	}
	return p
}

// fieldsAreZero reports whether all fields of a struct are zero. Unlike reflect.Value.IsZero, it
// uses each field's isZero, so that empty free-form text is zero.
func (p *plan) fieldsAreZero(src reflect.Value) bool {
	if src.IsZero() {
		return true
	}
	for i := range p.fields {
		if f := &p.fields[i]; !f.plan.isZero(src.Field(f.index)) {
			return false
		}
	}
	return len(p.fields) > 0
}

func (p *plan) addFields(pending planner) {
	for i := range p.typ.NumField() {
		f := p.typ.Field(i)
		tag, ok := f.Tag.Lookup("json")
		if !ok || !f.IsExported() {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		quoted, _ := json.Marshal(name) // encoding a string cannot fail
		added := field{
			plan: pending.plan(f.Type), name: name, key: string(quoted) + ":", index: i,
			omitEmpty: strings.Contains(options, "omitempty"), omitZero: strings.Contains(options, "omitzero"),
			unset: strings.ReplaceAll(f.Tag.Get("unset"), "'", `"`), secret: f.Tag.Get("print") == "redacted",
		}
		if added.required = !added.omitEmpty; added.required {
			p.required++
		}
		if name == "arguments" && f.Type == reflect.TypeFor[string]() {
			read := *added.plan
			read.read = readArguments
			added.plan = &read
		}
		p.fields = append(p.fields, added)
	}
	p.byName = make(map[string]*field, len(p.fields))
	for i := range p.fields {
		p.byName[p.fields[i].name] = &p.fields[i]
	}
}
