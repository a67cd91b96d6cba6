// Package strictyaml reads YAML, and JSON with it, into structs with yaml tags. It refuses
// unknown and repeated fields and values of another type. An error has the path of the
// value, the value, what it must be, and the line.
package strictyaml

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"reflect"
	"regexp"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/nearest"
)

// Node is a YAML node.
type Node = yaml.Node

// Unmarshaler is a type that reads a node itself. An error of its UnmarshalNode says what
// the value must be; see [Wrong].
type Unmarshaler interface {
	UnmarshalNode(node *Node) error
}

// Validator is a type that is checked when its fields have been read.
type Validator interface {
	Validate() error
}

// Decode reads the only document of a file into a pointer. An empty file leaves it as it
// is. The name of the document and that of its items, if it is a list, are for errors.
func Decode(data []byte, name, item string, into any) error {
	var document yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	err := decoder.Decode(&document)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil {
		if err = decoder.Decode(new(yaml.Node)); errors.Is(err, io.EOF) {
			// Without aliases there are fewer nodes than bytes.
			if left := 1<<16 + len(data); !expands(&document, &left) {
				return fmt.Errorf("%s: its aliases make it too large", name)
			}
			return read(document.Content[0], name, item, reflect.ValueOf(into).Elem())
		}
		if err == nil {
			return fmt.Errorf("%s: must be one document, got more", name)
		}
	}
	var at *yaml.LoadError
	if !errors.As(err, &at) {
		return fmt.Errorf("%s: %w", name, err)
	}
	// The parser names the line after the last one where the file ends too early.
	lines := bytes.Count(bytes.TrimRight(data, "\n"), []byte("\n")) + 1
	return fmt.Errorf("%s: %s (line %d)", name, at.Message, max(1, min(at.Mark.Line, lines)))
}

// expands counts down the nodes, those of an alias as often as it is used, and reports whether
// there are no more.
func expands(node *Node, left *int) bool {
	if *left--; *left < 0 {
		return false
	}
	if node.Kind == yaml.AliasNode {
		return expands(node.Alias, left)
	}
	for _, inner := range node.Content {
		if !expands(inner, left) {
			return false
		}
	}
	return true
}

// Wrong returns an error that quotes a value and says what it must be.
func Wrong(node *Node, want string) error {
	got, ok := map[yaml.Kind]string{yaml.MappingNode: "a mapping", yaml.SequenceNode: "a list"}[node.Kind]
	if !ok {
		got = strconv.Quote(node.Value)
	}
	return fmt.Errorf("must be %s, got %s", want, got)
}

func wrap(path string, node *Node, err error) error {
	return fmt.Errorf("%s: %w (line %d)", path, err, node.Line)
}

var (
	durationType = reflect.TypeFor[time.Duration]()
	patternType  = reflect.TypeFor[*regexp.Regexp]()
)

func read(node *Node, path, item string, v reflect.Value) error {
	if node.Kind == yaml.AliasNode {
		node = node.Alias
	}
	if own, ok := v.Addr().Interface().(Unmarshaler); ok {
		if err := own.UnmarshalNode(node); err != nil {
			return wrap(path, node, err)
		}
		return nil
	}
	switch kind := v.Kind(); {
	case v.Type() == durationType:
		d, err := time.ParseDuration(node.Value)
		if err != nil || d <= 0 {
			return wrap(path, node, Wrong(node, `a time above 0, as "300ms"`))
		}
		v.SetInt(int64(d))
	case v.Type() == patternType:
		if node.Kind != yaml.ScalarNode || node.Tag == "!!null" || node.Value == "" {
			return wrap(path, node, Wrong(node, "a regular expression"))
		}
		pattern, err := regexp.Compile(node.Value)
		if err != nil {
			return wrap(path, node, fmt.Errorf("must be a regular expression, got %q: %w", node.Value, err))
		}
		v.Set(reflect.ValueOf(pattern))
	case kind == reflect.Pointer:
		v.Set(reflect.New(v.Type().Elem()))
		return read(node, path, item, v.Elem())
	case kind == reflect.Struct:
		return readStruct(node, path, v)
	case kind == reflect.Slice:
		return readList(node, path, item, v)
	case kind == reflect.String:
		if node.Kind != yaml.ScalarNode || node.Tag == "!!null" || node.Value == "" {
			return wrap(path, node, Wrong(node, "a text"))
		}
		v.SetString(node.Value)
	default:
		if kind == reflect.Interface || kind == reflect.Map {
			asJSON(node)
		}
		if err := node.Decode(v.Addr().Interface()); err != nil {
			if kind == reflect.Interface {
				return wrap(path, node, err)
			}
			want := map[reflect.Kind]string{
				reflect.Int: "a whole number", reflect.Float64: "a number", reflect.Bool: "true or false", reflect.Map: "names and texts",
			}[kind]
			return wrap(path, node, Wrong(node, want))
		}
	}
	return nil
}

// integer is a whole number as JSON writes it.
var integer = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

// asJSON makes the values below a node those that JSON has: a date is a text, as are whole
// numbers that JSON would write in another way, such as 01234, 0x10 and 1_000, and all names.
func asJSON(node *Node) {
	const text = "!!str"
	if node.Tag == "!!timestamp" || node.Tag == "!!int" && !integer.MatchString(node.Value) || node.Tag == "!!float" && strings.Contains(node.Value, "_") {
		node.Tag = text
	}
	for i, inner := range node.Content {
		if node.Kind == yaml.MappingNode && i%2 == 0 && inner.Kind == yaml.ScalarNode && inner.Tag != "!!merge" {
			inner.Tag = text
		}
		asJSON(inner)
	}
	if node.Alias != nil {
		asJSON(node.Alias)
	}
}

func readList(node *Node, path, item string, v reflect.Value) error {
	if node.Kind != yaml.SequenceNode {
		return wrap(path, node, Wrong(node, "a list"))
	}
	list := reflect.MakeSlice(v.Type(), len(node.Content), len(node.Content))
	for i, n := range node.Content {
		at := path[:strings.LastIndex(path, ": ")+1] + fmt.Sprintf(" %s %d", item, i+1) // instead of the list's name
		if err := read(n, strings.TrimSpace(at), "item", list.Index(i)); err != nil {
			return err
		}
	}
	v.Set(list)
	return nil
}

func readStruct(node *Node, path string, v reflect.Value) error {
	if node.Kind != yaml.MappingNode {
		return wrap(path, node, Wrong(node, "a mapping"))
	}
	fields := map[string]reflect.StructField{}
	var names []string
	for _, f := range reflect.VisibleFields(v.Type()) { // those of embedded structs too
		if name := f.Tag.Get("yaml"); name != "" && name != "-" {
			fields[name] = f
			names = append(names, name)
		}
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		f, ok := fields[key.Value]
		switch {
		case !ok:
			return wrap(path, key, fmt.Errorf("unknown field %q%s: must be one of %s", key.Value, nearest.Hint(key.Value, names), strings.Join(names, ", ")))
		case seen[key.Value]:
			return wrap(path, key, fmt.Errorf("field %q: must be set once, got twice", key.Value))
		}
		seen[key.Value] = true
		item := f.Tag.Get("item")
		if item == "" {
			item = key.Value + " item"
		}
		if err := read(value, path+": "+key.Value, item, v.FieldByIndex(f.Index)); err != nil {
			return err
		}
	}
	if own, ok := v.Addr().Interface().(Validator); ok {
		if err := own.Validate(); err != nil {
			return wrap(path, node, err)
		}
	}
	return nil
}
