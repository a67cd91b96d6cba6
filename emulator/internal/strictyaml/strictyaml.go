// Package strictyaml decodes YAML, and therefore JSON, into structs with yaml tags. It
// rejects unknown and duplicate fields and values of another type. An error reports the path
// of the value, the rule, the value and the line.
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

// Unmarshaler is a type that decodes a node itself. An error of UnmarshalNode states the rule
// for the value; see [Wrong].
type Unmarshaler interface {
	UnmarshalNode(node *Node) error
}

// Validator is a type whose Validate method is called after its fields have been decoded.
type Validator interface {
	Validate() error
}

// Decode decodes the only document of a file into a pointer. It ignores an empty file. Errors
// use name for the document and item for the items of a list.
func Decode(data []byte, name, item string, into any) error {
	var document yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	err := decoder.Decode(&document)
	if errors.Is(err, io.EOF) {
		return nil
	}
	if err == nil {
		if err = decoder.Decode(new(yaml.Node)); errors.Is(err, io.EOF) {
			// A document without aliases has fewer nodes than bytes.
			if maxNodes := 1<<16 + len(data); !expands(&document, &maxNodes) {
				return fmt.Errorf("%s: the aliases expand to too many values", name)
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
	// If the file ends too early, the parser reports the line after the last one.
	lines := bytes.Count(bytes.TrimRight(data, "\n"), []byte("\n")) + 1
	return fmt.Errorf("%s: %s (line %d)", name, at.Message, max(1, min(at.Mark.Line, lines)))
}

// expands subtracts from left the number of nodes after the expansion of aliases. It reports
// whether left was large enough.
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

// Wrong returns an error with the rule for a value and the value.
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
	if unmarshaler, ok := v.Addr().Interface().(Unmarshaler); ok {
		if err := unmarshaler.UnmarshalNode(node); err != nil {
			return wrap(path, node, err)
		}
		return nil
	}
	switch kind := v.Kind(); {
	case v.Type() == durationType:
		d, err := time.ParseDuration(node.Value)
		if err != nil || d <= 0 {
			return wrap(path, node, Wrong(node, `a time above 0, such as "300ms"`))
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
			return wrap(path, node, Wrong(node, "a string"))
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
				reflect.Int: "a whole number", reflect.Float64: "a number", reflect.Bool: "true or false", reflect.Map: "names and strings",
			}[kind]
			return wrap(path, node, Wrong(node, want))
		}
	}
	return nil
}

// integer matches a whole number in JSON notation.
var integer = regexp.MustCompile(`^-?(0|[1-9][0-9]*)$`)

// asJSON converts the values below a node to those of JSON. Dates and names become strings, as
// do numbers that are not in JSON notation, such as 01234, 0x10 and 1_000.
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
		at := path[:strings.LastIndex(path, ": ")+1] + fmt.Sprintf(" %s %d", item, i+1) // Replaces the name of the list.
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
	for _, f := range reflect.VisibleFields(v.Type()) { // Includes the fields of embedded structs.
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
	if validator, ok := v.Addr().Interface().(Validator); ok {
		if err := validator.Validate(); err != nil {
			return wrap(path, node, err)
		}
	}
	return nil
}
