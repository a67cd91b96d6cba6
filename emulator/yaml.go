package emulator

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"
)

// readDocument reads the only document of a file, YAML or JSON; nil if it is empty.
func readDocument(data []byte, path string) (*yaml.Node, error) {
	var document yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("%s: there is more behind its document", path)
	}
	return document.Content[0], nil
}

// readList reads each item of a list.
func readList(read func(i int, item *yaml.Node) error) func(string, *yaml.Node) error {
	return func(path string, node *yaml.Node) error {
		node = resolved(node)
		if node.Kind != yaml.SequenceNode {
			return wrong(path, node, "a list")
		}
		for i, item := range node.Content {
			if err := read(i, item); err != nil {
				return err
			}
		}
		return nil
	}
}

// fields are the readers of a mapping's fields, each given the path to its field.
type fields map[string]func(path string, node *yaml.Node) error

// readMapping reads each field of a mapping, and refuses those it does not know.
func readMapping(node *yaml.Node, path string, known fields) error {
	if node = resolved(node); node.Kind != yaml.MappingNode {
		return wrong(path, node, "a mapping")
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		read, ok := known[key.Value]
		switch {
		case !ok:
			var names []string
			for name := range known {
				names = append(names, name)
			}
			slices.Sort(names)
			return fmt.Errorf("%s: %s is unknown: want %s (line %d)", path, key.Value, strings.Join(names, ", "), key.Line)
		case seen[key.Value]:
			return fmt.Errorf("%s: %s is there twice (line %d)", path, key.Value, key.Line)
		}
		seen[key.Value] = true
		if err := read(path+": "+key.Value, value); err != nil {
			return err
		}
	}
	return nil
}

// resolved follows an alias to what it stands for.
func resolved(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

func wrong(path string, node *yaml.Node, want string) error {
	value := node.Value
	switch node.Kind {
	case yaml.MappingNode:
		value = "a mapping"
	case yaml.SequenceNode:
		value = "a list"
	default:
		value = fmt.Sprintf("%q", value)
	}
	return fmt.Errorf("%s is %s: want %s (line %d)", path, value, want, node.Line)
}

func required(path string, node *yaml.Node, name string, has bool) error {
	if has {
		return nil
	}
	return fmt.Errorf("%s: want a %s (line %d)", path, name, node.Line)
}

// text reads a scalar that is not empty; 12 and true are texts too.
func text(into *string) func(string, *yaml.Node) error {
	return func(path string, node *yaml.Node) error {
		if node = resolved(node); node.Kind != yaml.ScalarNode || node.Tag == "!!null" || node.Value == "" {
			return wrong(path, node, "a text")
		}
		*into = node.Value
		return nil
	}
}

// texts reads names and texts; 12 and true are texts too, and so is an empty one.
func texts(into *map[string]string) func(string, *yaml.Node) error {
	return func(path string, node *yaml.Node) error {
		node = resolved(node)
		if err := node.Decode(into); err != nil {
			return wrong(path, node, "names and texts")
		}
		return nil
	}
}

// value reads what YAML has a form of its own for: a number, a list of texts.
func value[T any](into *T, want string) func(string, *yaml.Node) error {
	return func(path string, node *yaml.Node) error {
		node = resolved(node)
		if err := node.Decode(into); err != nil {
			return wrong(path, node, want)
		}
		return nil
	}
}

func duration(into *time.Duration) func(string, *yaml.Node) error {
	return func(path string, node *yaml.Node) error {
		node = resolved(node)
		d, err := time.ParseDuration(node.Value)
		if node.Kind != yaml.ScalarNode || err != nil || d <= 0 {
			return wrong(path, node, `a time above 0, as "300ms"`)
		}
		*into = d
		return nil
	}
}
