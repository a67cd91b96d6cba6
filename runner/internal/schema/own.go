package schema

import (
	"bytes"
	"encoding/json"
	"fmt"
	"reflect"
	"strconv"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// A member is one of an object's.
type member struct {
	name  string
	value any
}

// An object is a JSON object with the order of its members.
type object []member

// MarshalJSON writes the members in their order.
func (o object) MarshalJSON() ([]byte, error) {
	var b bytes.Buffer
	b.WriteByte('{')
	for i, m := range o {
		if i > 0 {
			b.WriteByte(',')
		}
		b.Write(encoded(m.name))
		b.WriteByte(':')
		b.Write(encoded(m.value))
	}
	b.WriteByte('}')
	return b.Bytes(), nil
}

func (o object) get(name string) any {
	for _, m := range o {
		if m.name == name {
			return m.value
		}
	}
	return nil
}

// with returns the object with a member set, and shares nothing that is changed.
func (o object) with(name string, value any) object {
	copied := make(object, 0, len(o)+1)
	for _, m := range o {
		if m.name != name {
			copied = append(copied, m)
		}
	}
	return append(copied, member{name, value})
}

// own returns the schema that a type has by its method or by the options.
func (m *maker) own(t reflect.Type, path, at string) (object, bool, error) {
	text, ok := m.options.Types[t]
	if !ok {
		if t.Kind() == reflect.Interface {
			return nil, false, nil
		}
		schemaer, has := reflect.New(t).Interface().(interface{ JSONSchema() any })
		if !has {
			return nil, false, nil
		}
		var err error
		if text, err = generated.EncodeJSON(schemaer.JSONSchema()); err != nil {
			_, err = m.fail(path, "the JSONSchema method of %v returns no JSON: %v", t, err)
			return nil, false, err
		}
	}
	s, err := Compile(text)
	if err != nil {
		_, err = m.fail(path, "the schema of %v is not valid: %v", t, err)
		return nil, false, err
	}
	if !s.IsClosed() {
		m.open = append(m.open, path)
	}
	v, _ := Parse(text)
	made, ok := moved(v, at).(object)
	if !ok {
		made = object{}
	}
	return made, true, nil
}

// moved returns a value as part of another one: references that begin with # lead to the same
// part of it at its new place.
func moved(v Value, at string) any {
	switch v.kind {
	case '{':
		o := make(object, len(v.names))
		for i, name := range v.names {
			o[i] = member{name, moved(v.items[i], at)}
			if ref := v.items[i]; name == "$ref" && ref.kind == '"' && len(ref.text) > 0 && ref.text[0] == '#' {
				o[i].value = "#" + at + ref.text[1:]
			}
		}
		return o
	case '[':
		list := make([]any, len(v.items))
		for i, item := range v.items {
			list[i] = moved(item, at)
		}
		return list
	case '"':
		return v.text
	}
	return json.RawMessage(v.text)
}

// enumerated adds the values that a type's method Enum lists: it has no parameters and returns
// one slice.
func (m *maker) enumerated(t reflect.Type, made object, path string) (object, error) {
	if t.Kind() == reflect.Interface {
		return made, nil
	}
	method := reflect.New(t).MethodByName("Enum")
	if !method.IsValid() || method.Type().NumIn() != 0 || method.Type().NumOut() != 1 || method.Type().Out(0).Kind() != reflect.Slice {
		return made, nil
	}
	list := method.Call(nil)[0]
	if list.Len() == 0 {
		return m.fail(path, "the Enum method of %v lists no values", t)
	}
	values := make([]any, list.Len())
	for i := range values {
		text, err := json.Marshal(list.Index(i).Interface())
		if err != nil {
			return m.fail(path, "the Enum method of %v lists a value without JSON: %v", t, err)
		}
		values[i] = json.RawMessage(text)
		if finding := misfit(made, text); finding != "" {
			return m.fail(path, "the Enum method of %v lists %s, which its schema refuses: %s", t, text, finding)
		}
	}
	return made.with("enum", values), nil
}

// misfit says why a value does not fit a schema; "" if it does.
func misfit(made object, text []byte) string {
	s, err := Compile(encoded(made))
	if err != nil {
		return "" // a reference to what is around: it is compiled with that
	}
	v, err := Parse(text)
	if err != nil {
		return err.Error()
	}
	if findings := s.Check(v); len(findings) > 0 {
		return findings[0].String()
	}
	return ""
}

func errTag(tag, value, rule string) string {
	return fmt.Sprintf("the tag %s:%s %s", tag, strconv.Quote(value), rule)
}
