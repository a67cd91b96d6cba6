package main

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"
)

const schemaPrefix = "#/components/schemas/"

// readDocument reads an OpenAPI 3.1 document and returns its root.
func readDocument(path string) (*yaml.Node, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var file yaml.Node
	if err := yaml.Unmarshal(content, &file); err != nil {
		return nil, fmt.Errorf("%s is not YAML: %w", path, err)
	}
	if len(file.Content) == 0 || !strings.HasPrefix(text(get(file.Content[0], "openapi")), "3.1.") {
		return nil, fmt.Errorf("%s is not an OpenAPI 3.1 document", path)
	}
	return file.Content[0], nil
}

func writeDocument(path string, doc *yaml.Node) error {
	content, err := yaml.Marshal(doc)
	if err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o600)
}

// get follows keys through mappings; nil when one of them is missing.
func get(n *yaml.Node, keys ...string) *yaml.Node {
	for _, key := range keys {
		var found *yaml.Node
		for k, v := range pairs(n) {
			if k == key {
				found = v
			}
		}
		n = found
	}
	return n
}

// pairs yields the keys and values of a mapping; nothing for any other node.
func pairs(n *yaml.Node) func(yield func(string, *yaml.Node) bool) {
	return func(yield func(string, *yaml.Node) bool) {
		if n == nil || n.Kind != yaml.MappingNode {
			return
		}
		for i := 0; i < len(n.Content); i += 2 {
			if !yield(n.Content[i].Value, n.Content[i+1]) {
				return
			}
		}
	}
}

// elements lists what a sequence holds; nothing for any other node.
func elements(n *yaml.Node) []*yaml.Node {
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	return n.Content
}

func text(n *yaml.Node) string {
	if n == nil {
		return ""
	}
	return n.Value
}

func keys(n *yaml.Node) []string {
	var names []string
	for key := range pairs(n) {
		names = append(names, key)
	}
	return names
}

// set replaces the value of key, or adds it at the end.
func set(n *yaml.Node, key string, v *yaml.Node) {
	for i := 0; i < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			n.Content[i+1] = v
			return
		}
	}
	n.Content = append(n.Content, &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: key}, v)
}

// filter removes the pairs of a mapping for which keep is false.
func filter(n *yaml.Node, keep func(key string, v *yaml.Node) bool) {
	if n == nil || n.Kind != yaml.MappingNode {
		return
	}
	var kept []*yaml.Node
	for i := 0; i < len(n.Content); i += 2 {
		if keep(n.Content[i].Value, n.Content[i+1]) {
			kept = append(kept, n.Content[i], n.Content[i+1])
		}
	}
	n.Content = kept
}

// walk visits n and everything below it, with the path of keys to each node. A
// node is visited before what is below it, which visit may change.
func walk(n *yaml.Node, path string, visit func(path string, n *yaml.Node)) {
	if n == nil {
		return
	}
	visit(path, n)
	for key, v := range pairs(n) {
		walk(v, path+"/"+key, visit)
	}
	for i, v := range elements(n) {
		walk(v, fmt.Sprintf("%s/%d", path, i), visit)
	}
}

func isMethod(key string) bool {
	return slices.Contains([]string{"get", "put", "post", "delete", "options", "head", "patch", "trace"}, key)
}
