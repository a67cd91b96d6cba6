package main

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// get follows keys through mappings; nil when one of them is missing.
func get(n *yaml.Node, keys ...string) *yaml.Node {
	for _, key := range keys {
		n = value(n, key)
	}
	return n
}

func value(n *yaml.Node, key string) *yaml.Node {
	if n == nil || n.Kind != yaml.MappingNode {
		return nil
	}
	for i := 0; i < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			return n.Content[i+1]
		}
	}
	return nil
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

func text(n *yaml.Node) string {
	if n == nil {
		return ""
	}
	return n.Value
}

// elements lists what a sequence holds; nothing for any other node.
func elements(n *yaml.Node) []*yaml.Node {
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	return n.Content
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
	n.Content = append(n.Content, scalar(key), v)
}

// filter removes the pairs of a mapping for which keep is false.
func filter(n *yaml.Node, keep func(key string, v *yaml.Node) bool) {
	if n == nil || n.Kind != yaml.MappingNode {
		return
	}
	kept := n.Content[:0]
	for i := 0; i < len(n.Content); i += 2 {
		if keep(n.Content[i].Value, n.Content[i+1]) {
			kept = append(kept, n.Content[i], n.Content[i+1])
		}
	}
	n.Content = kept
}

// sortPairs sorts the pairs of a mapping by rank; pairs of one rank keep their order.
func sortPairs[R cmp.Ordered](n *yaml.Node, rank func(key string, v *yaml.Node) R) {
	type pair struct{ key, value *yaml.Node }
	var all []pair
	for i := 0; i < len(n.Content); i += 2 {
		all = append(all, pair{n.Content[i], n.Content[i+1]})
	}
	slices.SortStableFunc(all, func(a, b pair) int {
		return cmp.Compare(rank(a.key.Value, a.value), rank(b.key.Value, b.value))
	})
	n.Content = n.Content[:0]
	for _, p := range all {
		n.Content = append(n.Content, p.key, p.value)
	}
}

func scalar(s string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
}

// mapping makes a mapping of keys and their texts.
func mapping(keysAndTexts ...string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, s := range keysAndTexts {
		n.Content = append(n.Content, scalar(s))
	}
	return n
}

// clone copies a node and everything below it.
func clone(n *yaml.Node) *yaml.Node {
	copied := *n
	copied.Content = make([]*yaml.Node, len(n.Content))
	for i, child := range n.Content {
		copied.Content[i] = clone(child)
	}
	return &copied
}

const schemaPrefix = "#/components/schemas/"

func reference(name string) *yaml.Node {
	return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{
		scalar("$ref"),
		{Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.SingleQuotedStyle, Value: schemaPrefix + name},
	}}
}

// referenced names the component schema that a node of the form {$ref: …} points to.
func referenced(n *yaml.Node) (string, bool) {
	ref := value(n, "$ref")
	if ref == nil {
		return "", false
	}
	return strings.CutPrefix(ref.Value, schemaPrefix)
}

// equal compares two nodes as data: the order of a mapping's keys, comments and
// quoting do not count, and neither do the keys in ignore.
func equal(a, b *yaml.Node, ignore ...string) bool {
	if a == nil || b == nil {
		return a == b
	}
	if a.Kind != b.Kind {
		return false
	}
	switch a.Kind {
	case yaml.ScalarNode:
		return a.Value == b.Value && a.ShortTag() == b.ShortTag()
	case yaml.MappingNode:
		counted := func(n *yaml.Node) int {
			count := 0
			for key := range pairs(n) {
				if !slices.Contains(ignore, key) {
					count++
				}
			}
			return count
		}
		if counted(a) != counted(b) {
			return false
		}
		for key, v := range pairs(a) {
			if !slices.Contains(ignore, key) && !equal(v, value(b, key), ignore...) {
				return false
			}
		}
		return true
	default:
		return slices.EqualFunc(a.Content, b.Content, func(x, y *yaml.Node) bool { return equal(x, y, ignore...) })
	}
}

// walk visits n and everything below it, with the JSON pointer of each node.
func walk(n *yaml.Node, pointer string, visit func(pointer string, n *yaml.Node)) {
	if n == nil {
		return
	}
	visit(pointer, n)
	switch n.Kind { //nolint:exhaustive // the other kinds have nothing below them
	case yaml.DocumentNode:
		walk(n.Content[0], pointer, visit)
	case yaml.MappingNode:
		for key, v := range pairs(n) {
			walk(v, pointer+"/"+strings.NewReplacer("~", "~0", "/", "~1").Replace(key), visit)
		}
	case yaml.SequenceNode:
		for i, v := range n.Content {
			walk(v, pointer+"/"+strconv.Itoa(i), visit)
		}
	}
}
