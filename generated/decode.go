package generated

import (
	"reflect"
)

// Unmarshal decodes JSON text into what target points to, a type of this package or a list
// of one, and returns the values that it left out because they are not of the declared
// type: the first hundred. It fails only if data is not JSON. It does not keep data.
func Unmarshal(data []byte, target any) ([]Mismatch, error) {
	d, err := parse(data)
	if err != nil {
		return nil, err
	}
	defer d.release()
	var found source
	outer := d.root().enter()
	d.root().into(reflect.ValueOf(target).Elem())
	d.root().leave(outer, &found)
	return found.mismatches(), nil
}

func unmarshal(data []byte, target any) error {
	_, err := Unmarshal(data, target)
	return err
}

// into decodes the value into dst, which stays as it is if the value is null.
func (v value) into(dst reflect.Value) { planOf(dst.Type()).readAny(v, dst) }

func (p *plan) readAny(v value, dst reflect.Value) {
	if !v.isNull() {
		p.read(p, v, dst)
	}
}

// scalar makes the read of a plan: get returns what a value is, if it is of the type, and
// set sets it.
func scalar[T any](get func(value) (T, bool), set func(reflect.Value, T)) func(*plan, value, reflect.Value) {
	return func(_ *plan, v value, dst reflect.Value) {
		x, ok := get(v)
		if !ok {
			v.mismatch()
			return
		}
		set(dst, x)
	}
}

var (
	readString    = scalar(value.string, reflect.Value.SetString)
	readArguments = scalar(value.arguments, reflect.Value.SetString)
	readInt       = scalar(value.int, reflect.Value.SetInt)
	readFloat     = scalar(value.float, reflect.Value.SetFloat)
	readBool      = scalar(value.bool, reflect.Value.SetBool)
)

func readFree(_ *plan, v value, dst reflect.Value) {
	dst.Set(reflect.ValueOf(JSONText(v.d.kept(v.text()))))
}

// readPointer leaves the pointer nil if the value cannot be read.
func readPointer(p *plan, v value, dst reflect.Value) {
	before, made := len(v.d.mismatches), reflect.New(p.typ.Elem())
	if p.elem.readAny(v, made.Elem()); len(v.d.mismatches) == before {
		dst.Set(made)
	}
}

// readList keeps the place of an element that cannot be read: it is zero.
func readList(p *plan, v value, dst reflect.Value) {
	if v.kind() != '[' {
		v.mismatch()
		return
	}
	count := v.count()
	size := count * int(p.typ.Elem().Size())
	if size > v.d.budget {
		v.mismatch()
		return
	}
	v.d.budget -= size
	list, i := reflect.MakeSlice(p.typ, count, count), 0
	for element := range v.elements() {
		p.elem.readAny(element, list.Index(i))
		i++
	}
	dst.Set(list)
}

func readMap(p *plan, v value, dst reflect.Value) {
	if v.kind() != '{' {
		v.mismatch()
		return
	}
	made := reflect.MakeMap(p.typ)
	for name, member := range v.members() {
		before, elem := len(v.d.mismatches), reflect.New(p.typ.Elem()).Elem()
		if p.elem.readAny(member, elem); len(v.d.mismatches) == before {
			made.SetMapIndex(reflect.ValueOf(v.d.kept(name)), elem)
		}
	}
	dst.Set(made)
}

func readStruct(p *plan, v value, dst reflect.Value) {
	if p.sourced {
		outer := v.enter()
		p.readMembers(v, dst)
		v.leave(outer, dst.Addr().Interface().(sourced).origin())
		return
	}
	p.readMembers(v, dst)
}

func (p *plan) readMembers(v value, dst reflect.Value) {
	if v.kind() != '{' {
		v.mismatch()
		return
	}
	for name, member := range v.members() {
		if f := p.byName[name]; f != nil {
			f.plan.readAny(member, dst.Field(f.index))
		}
	}
}
