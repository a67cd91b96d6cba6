package schema

import (
	"encoding"
	"encoding/json"
	"fmt"
	"math"
	"math/big"
	"reflect"
	"strings"
	"time"
)

// A TypeError reports a type without a schema.
type TypeError struct {
	Path string // the path of the field, such as "In.Filter.Done"
	Rule string // the error and its solution
}

// Error returns the path and the rule.
func (e *TypeError) Error() string { return e.Path + ": " + e.Rule }

// Options configure [Of].
type Options struct {
	// Explicit schemas of types. A $ref that begins with "#" is relative to the schema of the type.
	Types map[reflect.Type]json.RawMessage
	// Whether all properties are required. Properties that would be optional may then be null.
	AllRequired bool
	// Whether the schema is an object whose only property, "value", has the type.
	Wrap bool
}

// A Type is the schema of a Go type.
type Type struct {
	*Schema

	// The paths of the parts that accept any value, or properties of any name.
	Open []string
}

// Of returns the schema of a type. Errors use root as the name of the type. The tag "jsonschema" is
// the description of a field. The tags enum, minimum, maximum, minLength, maxLength, minItems,
// maxItems, pattern and format add these keywords. The error is a [*TypeError].
func Of(t reflect.Type, root string, options Options) (*Type, error) {
	m := deriver{options: options, integers: map[string]reflect.Kind{}, texts: map[string]reflect.Type{}}
	var made object
	var err error
	if options.Wrap {
		if made, err = m.schema(t, root, "/properties/value"); err == nil {
			made = structure([]member{{"value", made}}, []string{"value"})
		}
	} else {
		made, err = m.schema(t, root, "")
	}
	if err != nil {
		return nil, err
	}
	text := encoded(made)
	v, _ := Parse(text)
	c := compiler{root: v, nodes: map[string]*node{}}
	s := &Schema{text: string(text), root: c.node(v, "")}
	if c.err != nil {
		return nil, &TypeError{root, c.err.Error()}
	}
	for at, kind := range m.integers { // bounds of Go types that the schema's text does not contain
		c.nodes[at].bound(kind)
	}
	for at, t := range m.texts {
		c.nodes[at].text = func(text string) error {
			return reflect.New(t).Interface().(encoding.TextUnmarshaler).UnmarshalText([]byte(text))
		}
	}
	return &Type{Schema: s, Open: m.open}, nil
}

func (n *node) bound(kind reflect.Kind) {
	if n.minimum == nil {
		n.minimum = new(big.Rat).SetInt64(math.MinInt64)
	}
	if n.maximum == nil {
		n.maximum = new(big.Rat).SetInt64(math.MaxInt64)
		if kind == reflect.Uint || kind == reflect.Uint64 || kind == reflect.Uintptr {
			n.maximum.SetUint64(math.MaxUint64)
		}
	}
}

// A deriver derives one schema.
type deriver struct {
	options   Options
	open      []string
	enclosing []step                  // the enclosing types
	integers  map[string]reflect.Kind // 64-bit integers, by pointer
	texts     map[string]reflect.Type // types with UnmarshalText, by pointer
}

// A step is an enclosing type and its current field.
type step struct {
	reflect.Type
	field string
}

func (m *deriver) fail(path, format string, args ...any) (object, error) {
	return nil, &TypeError{path, fmt.Sprintf(format, args...)}
}

// schema returns the schema of a type at a position, given as the path of fields and as a JSON
// pointer.
func (m *deriver) schema(t reflect.Type, path, at string) (object, error) {
	if t.Kind() == reflect.Pointer {
		base, ok := dereferenced(t)
		if !ok {
			return m.fail(path, "%v is a pointer to itself, which cannot be encoded as JSON", t)
		}
		t = base
		inner, err := m.schema(t, path, at+"/anyOf/0")
		return nullable(inner), err
	}
	made, err := m.plain(t, path, at)
	if err != nil {
		return nil, err
	}
	return m.withEnum(t, made, path)
}

// dereferenced returns the type that a pointer refers to, through any number of pointers. It reports
// false for type P *P.
func dereferenced(t reflect.Type) (reflect.Type, bool) {
	for range 100 {
		if t.Kind() != reflect.Pointer {
			return t, true
		}
		t = t.Elem()
	}
	return t, false
}

// plain returns a schema without the values of Enum.
func (m *deriver) plain(t reflect.Type, path, at string) (object, error) {
	if own, ok, err := m.explicit(t, path, at); ok || err != nil {
		return own, err
	}
	switch t {
	case reflect.TypeFor[time.Time]():
		return object{{"type", "string"}, {"format", "date-time"}}, nil
	case reflect.TypeFor[big.Int]():
		return object{{"type", "integer"}}, nil
	case reflect.TypeFor[json.RawMessage]():
		m.open = append(m.open, path)
		return object{}, nil
	case reflect.TypeFor[time.Duration]():
		return m.fail(path, "time.Duration is a number of nanoseconds in JSON, which models do not expect: use another type or set a schema")
	case reflect.TypeFor[json.Number]():
		return m.fail(path, "json.Number is not supported: use float64, int64 or json.RawMessage")
	}
	if text, err := m.marshalers(t, path); text || err != nil {
		m.texts[at] = t
		return object{{"type", "string"}}, err
	}
	return m.kind(t, path, at)
}

func (m *deriver) kind(t reflect.Type, path, at string) (object, error) {
	switch t.Kind() {
	case reflect.String:
		return object{{"type", "string"}}, nil
	case reflect.Bool:
		return object{{"type", "boolean"}}, nil
	case reflect.Float32, reflect.Float64:
		return object{{"type", "number"}}, nil
	case reflect.Int8, reflect.Int16, reflect.Int32:
		maximum := int64(1)<<(t.Bits()-1) - 1
		return object{{"type", "integer"}, {"minimum", -maximum - 1}, {"maximum", maximum}}, nil
	case reflect.Uint8, reflect.Uint16, reflect.Uint32:
		return object{{"type", "integer"}, {"minimum", 0}, {"maximum", uint64(1)<<t.Bits() - 1}}, nil
	case reflect.Int, reflect.Int64:
		m.integers[at] = t.Kind()
		return object{{"type", "integer"}}, nil
	case reflect.Uint, reflect.Uint64, reflect.Uintptr:
		m.integers[at] = t.Kind()
		return object{{"type", "integer"}, {"minimum", 0}}, nil
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Uint8 {
			return object{{"type", "string"}, {"contentEncoding", "base64"}}, nil
		}
		return m.list(t, path, at, object{{"type", "array"}})
	case reflect.Array:
		return m.list(t, path, at, object{{"type", "array"}, {"minItems", t.Len()}, {"maxItems", t.Len()}})
	case reflect.Map:
		return m.mapType(t, path, at)
	case reflect.Struct:
		return m.structure(t, path, at)
	case reflect.Interface:
		if t.NumMethod() == 0 {
			m.open = append(m.open, path)
			return object{}, nil
		}
		return m.fail(path, "%v is an interface with methods, which cannot be decoded from JSON", t)
	default: // channels, functions, complex numbers
		return m.fail(path, "%v cannot be encoded as JSON", t)
	}
}

func (m *deriver) list(t reflect.Type, path, at string, made object) (object, error) {
	items, err := m.inner(t, "", t.Elem(), path, at+"/items")
	return append(made, member{"items", items}), err
}

func (m *deriver) mapType(t reflect.Type, path, at string) (object, error) {
	if t.Key().Kind() != reflect.String && !reflect.PointerTo(t.Key()).Implements(textUnmarshaler) {
		return m.fail(path, "%v has keys that are not strings, which are not supported", t)
	}
	m.open = append(m.open, path)
	made := object{{"type", "object"}}
	names, err := m.names(t.Key(), path, at+"/propertyNames")
	if err != nil {
		return nil, err
	}
	if names != nil {
		made = append(made, member{"propertyNames", names})
	}
	values, err := m.inner(t, "", t.Elem(), path, at+"/additionalProperties")
	return append(made, member{"additionalProperties", values}), err
}

// names returns the schema of a map's keys, or nil if every string is valid.
func (m *deriver) names(t reflect.Type, path, at string) (object, error) {
	path += "[key]"
	open := len(m.open)
	names, hasOwn, err := m.explicit(t, path, at)
	m.open = m.open[:open] // the map is already open
	if err != nil {
		return nil, err
	}
	if !hasOwn {
		names = object{{"type", "string"}}
	}
	if kind, ok := names.get("type").(string); ok && kind != "string" {
		return m.fail(path, "the schema of %v has the type %s: keys must be strings", t, kind)
	}
	names, err = m.withEnum(t, names, path)
	if err == nil && !hasOwn && names.get("enum") == nil {
		return nil, nil
	}
	return names, err
}

func (m *deriver) structure(t reflect.Type, path, at string) (object, error) {
	var properties object
	required := []string{}
	for _, f := range fieldsOf(t) {
		inside := path + "." + f.Name
		switch {
		case f.has("string"):
			return m.fail(inside, `the json tag's option "string" is not supported`)
		case f.embedded:
			return m.fail(inside, "is in a struct embedded through a pointer to an unexported type, which encoding/json cannot decode")
		}
		where := pointer(at+"/properties", f.name)
		optional := f.has("omitempty") || f.has("omitzero")
		forceNull := optional && m.options.AllRequired && f.Type.Kind() != reflect.Pointer
		if forceNull {
			where += "/anyOf/0"
		}
		made, err := m.inner(t, f.Name, f.Type, inside, where)
		if err != nil {
			return nil, err
		}
		if forceNull {
			made = nullable(made)
		}
		if made, err = withTags(f.StructField, made, inside, forceNull || f.Type.Kind() == reflect.Pointer); err != nil {
			return nil, err
		}
		properties = append(properties, member{f.name, made})
		if !optional || m.options.AllRequired {
			required = append(required, f.name)
		}
	}
	return structure(properties, required), nil
}

func structure(properties object, required []string) object {
	made := object{{"type", "object"}, {"properties", properties}}
	if len(required) > 0 {
		made = append(made, member{"required", required})
	}
	return append(made, member{"additionalProperties", false})
}

func nullable(made object) object {
	return object{{"anyOf", []any{made, object{{"type", "null"}}}}}
}

// inner returns the schema of a field or of the elements of a type.
func (m *deriver) inner(t reflect.Type, fieldName string, inner reflect.Type, path, at string) (object, error) {
	m.enclosing = append(m.enclosing, step{t, fieldName})
	defer func() { m.enclosing = m.enclosing[:len(m.enclosing)-1] }()
	base, _ := dereferenced(inner)
	if base.Name() != "" {
		for i, s := range m.enclosing {
			if s.Type != base {
				continue
			}
			var b strings.Builder
			for _, s := range m.enclosing[i:] {
				if name := s.Name(); name != "" {
					b.WriteString(name + " → ")
				}
				if s.field != "" {
					b.WriteString(s.field + " → ")
				}
			}
			return m.fail(path, "type %v is recursive (%s%s): set a schema with a method JSONSchema() any or with runner.SchemaOf", base, b.String(), base.Name())
		}
	}
	return m.schema(inner, path, at)
}

var (
	textMarshaler   = reflect.TypeFor[encoding.TextMarshaler]()
	textUnmarshaler = reflect.TypeFor[encoding.TextUnmarshaler]()
	jsonMarshaler   = reflect.TypeFor[json.Marshaler]()
	jsonUnmarshaler = reflect.TypeFor[json.Unmarshaler]()
)

// marshalers reports whether a type encodes itself as text in JSON. A type that encodes itself in
// another way needs an explicit schema.
func (m *deriver) marshalers(t reflect.Type, path string) (isText bool, err error) {
	if t.Kind() == reflect.Interface {
		return false, nil
	}
	p := reflect.PointerTo(t)
	switch {
	case p.Implements(jsonMarshaler) || p.Implements(jsonUnmarshaler):
		_, err = m.fail(path, "%v has MarshalJSON or UnmarshalJSON: set a schema with a method JSONSchema() any or with runner.SchemaOf", t)
		return false, err
	case p.Implements(textMarshaler) != p.Implements(textUnmarshaler):
		_, err = m.fail(path, "%v has only one of MarshalText and UnmarshalText: it needs both, or a schema", t)
		return false, err
	}
	return p.Implements(textUnmarshaler), nil
}
