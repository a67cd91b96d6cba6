package generated

import (
	"encoding/json"
	"fmt"
	"reflect"
)

// Unmarshal decodes JSON text into *target, a type of this package or a slice of one. It
// returns up to 100 values that it skipped because their type is not the declared one. Fields
// that data does not have stay as they are. The error reports data that is not JSON, or a
// target that is not a pointer. Unmarshal does not retain data.
func Unmarshal(data []byte, target any) ([]Mismatch, error) {
	dst, err := pointedTo(target)
	if err != nil {
		return nil, err
	}
	d, err := parse(data)
	if err != nil {
		return nil, err
	}
	defer d.release()
	var found source
	outer := d.root().enter()
	d.root().into(dst)
	d.root().leave(outer, &found)
	return found.mismatches(), nil
}

// pointedTo returns *target.
func pointedTo(target any) (reflect.Value, error) {
	v := reflect.ValueOf(target)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return v, fmt.Errorf("generated: decode into %T: must be a non-nil pointer", target)
	}
	return v.Elem(), nil
}

func unmarshal(data []byte, target any) error {
	_, err := Unmarshal(data, target)
	return err
}

// into decodes the value into dst. A null leaves dst unchanged.
func (v value) into(dst reflect.Value) { planOf(dst.Type()).readAny(v, dst) }

func (p *plan) readAny(v value, dst reflect.Value) {
	if !v.isNull() {
		p.read(p, v, dst)
	}
}

// scalar returns the read function of a plan: get converts a value, and set stores the
// result.
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

// readOther decodes a type that no schema of the document has.
func readOther(_ *plan, v value, dst reflect.Value) {
	if json.Unmarshal([]byte(v.text()), dst.Addr().Interface()) != nil {
		v.mismatch()
	}
}

// readPointer leaves the pointer nil if it cannot decode the value.
func readPointer(p *plan, v value, dst reflect.Value) {
	before, made := v.d.failures, reflect.New(p.typ.Elem())
	if p.elem.readAny(v, made.Elem()); v.d.failures == before {
		dst.Set(made)
	}
}

// readList stores a zero element where it cannot decode one, so that positions do not
// shift.
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
		before, elem := v.d.failures, reflect.New(p.typ.Elem()).Elem()
		if p.elem.readAny(member, elem); v.d.failures == before {
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
