package generated

import (
	"encoding/json"
	"fmt"
	"reflect"
)

// Unmarshal decodes JSON text into *target, which is a type of this package or a slice of
// one. It returns up to 100 values that it skipped because their type is not the declared one.
// Fields whose property is missing from data are unchanged. Unmarshal returns an error if data
// is not JSON or target is not a non-nil pointer. It does not retain data.
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
	var result source
	outer := d.root().beginScope()
	d.root().into(dst)
	d.root().endScope(outer, &result)
	return result.mismatches(), nil
}

// pointedTo returns *target, which is settable.
func pointedTo(target any) (reflect.Value, error) {
	v := reflect.ValueOf(target)
	if v.Kind() != reflect.Pointer || v.IsNil() {
		return v, fmt.Errorf("generated: target must be a non-nil pointer, got %T", target)
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

// scalar returns a plan's read function. The function converts a value with get and stores
// the result with set.
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

// readFreeForm stores the JSON text of a free-form value.
func readFreeForm(_ *plan, v value, dst reflect.Value) {
	dst.Set(reflect.ValueOf(JSONText(v.d.retainable(v.text()))))
}

// readStdlib decodes a type that does not occur in the OpenAPI document, with encoding/json.
func readStdlib(_ *plan, v value, dst reflect.Value) {
	if json.Unmarshal([]byte(v.text()), dst.Addr().Interface()) != nil {
		v.mismatch()
	}
}

// readPointer does not change the pointer if it cannot decode the value.
func readPointer(p *plan, v value, dst reflect.Value) {
	before, decoded := v.d.failures, reflect.New(p.typ.Elem())
	if p.elem.readAny(v, decoded.Elem()); v.d.failures == before {
		dst.Set(decoded)
	}
}

// readList stores the zero value for an element that it cannot decode, so that the positions
// of the other elements do not change.
func readList(p *plan, v value, dst reflect.Value) {
	if v.kind() != '[' {
		v.mismatch()
		return
	}
	count := v.count()
	size := count * int(p.typ.Elem().Size())
	if size > v.d.listBudget {
		v.mismatch()
		return
	}
	v.d.listBudget -= size
	list, i := reflect.MakeSlice(p.typ, count, count), 0
	for element := range v.elements() {
		p.elem.readAny(element, list.Index(i))
		i++
	}
	dst.Set(list)
}

// readMap omits members that it cannot decode.
func readMap(p *plan, v value, dst reflect.Value) {
	if v.kind() != '{' {
		v.mismatch()
		return
	}
	decoded := reflect.MakeMap(p.typ)
	for name, member := range v.members() {
		before, elem := v.d.failures, reflect.New(p.typ.Elem()).Elem()
		if p.elem.readAny(member, elem); v.d.failures == before {
			decoded.SetMapIndex(reflect.ValueOf(v.d.retainable(name)), elem)
		}
	}
	dst.Set(decoded)
}

func readStruct(p *plan, v value, dst reflect.Value) {
	if p.sourced {
		outer := v.beginScope()
		p.readMembers(v, dst)
		v.endScope(outer, dst.Addr().Interface().(sourced).origin())
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
