package generated

import (
	"encoding/json"
	"reflect"
	"strings"
	"sync"
)

// A plan holds the functions that decode and encode one Go type. It is made once for each
// type, from its kind and the tags of its fields. Types with code of their own implement
// jsonReader and jsonWriter.
type plan struct {
	typ    reflect.Type
	read   func(p *plan, v value, dst reflect.Value) // v is not null
	write  func(p *plan, w *output, src reflect.Value)
	isZero func(src reflect.Value) bool
	elem   *plan // of a pointer, list or map

	// Of a struct.
	fields   []field
	byName   map[string]*field
	required int  // number of required fields
	sourced  bool // it implements sourced
}

// A field is one property of an object.
type field struct {
	plan                *plan
	name                string
	key                 string // the name as it is written, with its colon
	index               int
	required            bool // required by the OpenAPI document
	omitEmpty, omitZero bool
	unset               string // text that is written for an unset value instead of null
	secret              bool   // redacted in printed output
}

// A jsonReader decodes itself from a value that is not null. It reports a value of another
// type with value.mismatch.
type jsonReader interface{ readJSON(v value) }

// A jsonWriter encodes itself.
type jsonWriter interface{ writeJSON(w *output) }

var (
	plans    sync.Map // by type, complete
	planning sync.Mutex
)

// planOf returns the plan of a type.
func planOf(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	planning.Lock()
	defer planning.Unlock()
	made := planner{}
	p := made.plan(t)
	for t, p := range made { // all of them are complete now
		plans.Store(t, p)
	}
	return p
}

// A planner holds unfinished plans, because types may be recursive.
type planner map[reflect.Type]*plan

func (made planner) plan(t reflect.Type) *plan {
	if p, ok := plans.Load(t); ok {
		return p.(*plan)
	}
	if p := made[t]; p != nil {
		return p
	}
	p := &plan{typ: t, isZero: reflect.Value.IsZero}
	made[t] = p
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
		p.read, p.write, p.isZero = readFree, writeFree, isUnset
	case reflect.Pointer:
		p.elem = made.plan(t.Elem())
		p.read, p.write = readPointer, writePointer
	case reflect.Slice:
		p.elem = made.plan(t.Elem())
		p.read, p.write = readList, writeList
	case reflect.Map:
		p.elem = made.plan(t.Elem())
		p.read, p.write = readMap, writeMap
	case reflect.Struct:
		p.read, p.write = readStruct, writeStruct
		p.addFields(made)
		if !pointer.Implements(reflect.TypeFor[interface{ IsZero() bool }]()) {
			p.isZero = p.fieldsAreZero
		}
		p.sourced = pointer.Implements(reflect.TypeFor[sourced]())
	default:
		p.read, p.write = readOther, writeOther
	}
	if pointer.Implements(reflect.TypeFor[jsonReader]()) {
		p.read = func(_ *plan, v value, dst reflect.Value) { dst.Addr().Interface().(jsonReader).readJSON(v) }
	}
	if pointer.Implements(reflect.TypeFor[jsonWriter]()) {
		p.write = func(_ *plan, w *output, src reflect.Value) { src.Addr().Interface().(jsonWriter).writeJSON(w) }
	}
	return p
}

// fieldsAreZero reports whether all fields of a struct are: an empty free-form text is.
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

func (p *plan) addFields(made planner) {
	for i := range p.typ.NumField() {
		f := p.typ.Field(i)
		tag, ok := f.Tag.Lookup("json")
		if !ok || !f.IsExported() {
			continue
		}
		name, options, _ := strings.Cut(tag, ",")
		quoted, _ := json.Marshal(name) // a string: it cannot fail
		added := field{
			plan: made.plan(f.Type), name: name, key: string(quoted) + ":", index: i,
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
