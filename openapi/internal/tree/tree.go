// Package tree reads and edits the YAML tree of an OpenAPI document. The functions accept nil
// nodes: a missing value is nil, and its text is empty.
package tree

import (
	"cmp"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// Get follows keys through mappings. It returns nil if one of the keys is missing.
func Get(n *yaml.Node, keys ...string) *yaml.Node {
	for _, key := range keys {
		n = Value(n, key)
	}
	return n
}

// Value returns the value of a key of a mapping, or nil.
func Value(n *yaml.Node, key string) *yaml.Node {
	for k, v := range Pairs(n) {
		if k == key {
			return v
		}
	}
	return nil
}

// Pairs yields the keys and values of a mapping, and nothing for other nodes.
func Pairs(n *yaml.Node) func(yield func(string, *yaml.Node) bool) {
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

// Text returns the value of a scalar.
func Text(n *yaml.Node) string {
	if n == nil {
		return ""
	}
	return n.Value
}

// Elements returns the elements of a sequence, and nil for other nodes.
func Elements(n *yaml.Node) []*yaml.Node {
	if n == nil || n.Kind != yaml.SequenceNode {
		return nil
	}
	return n.Content
}

// Texts returns the values of the scalars in a sequence.
func Texts(n *yaml.Node) []string {
	all := make([]string, 0, len(Elements(n)))
	for _, v := range Elements(n) {
		all = append(all, v.Value)
	}
	return all
}

// Keys returns the keys of a mapping in order.
func Keys(n *yaml.Node) []string {
	var names []string
	for key := range Pairs(n) {
		names = append(names, key)
	}
	return names
}

// Set replaces the value of a key, or adds the key at the end.
func Set(n *yaml.Node, key string, v *yaml.Node) {
	for i := 0; i < len(n.Content); i += 2 {
		if n.Content[i].Value == key {
			n.Content[i+1] = v
			return
		}
	}
	n.Content = append(n.Content, Scalar(key), v)
}

// Filter removes the pairs of a mapping for which keep returns false.
func Filter(n *yaml.Node, keep func(key string, v *yaml.Node) bool) {
	if n == nil || n.Kind != yaml.MappingNode {
		return
	}
	var kept []*yaml.Node // not in place, because keep may read n
	for i := 0; i < len(n.Content); i += 2 {
		if keep(n.Content[i].Value, n.Content[i+1]) {
			kept = append(kept, n.Content[i], n.Content[i+1])
		}
	}
	n.Content = kept
}

// SortPairs sorts the pairs of a mapping by rank. Pairs with equal rank keep their order.
func SortPairs[R cmp.Ordered](n *yaml.Node, rank func(key string, v *yaml.Node) R) {
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

// Scalar returns a string node.
func Scalar(s string) *yaml.Node {
	return &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: s}
}

// Mapping returns a mapping of strings, from alternating keys and values.
func Mapping(keysAndTexts ...string) *yaml.Node {
	n := &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
	for _, s := range keysAndTexts {
		n.Content = append(n.Content, Scalar(s))
	}
	return n
}

// Clone returns a deep copy of a node.
func Clone(n *yaml.Node) *yaml.Node {
	copied := *n
	copied.Content = make([]*yaml.Node, len(n.Content))
	for i, child := range n.Content {
		copied.Content[i] = Clone(child)
	}
	return &copied
}

// Equal compares two nodes as data. It ignores comments, styles, the order of keys, and the keys
// in ignore.
func Equal(a, b *yaml.Node, ignore ...string) bool {
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
			for key := range Pairs(n) {
				if !slices.Contains(ignore, key) {
					count++
				}
			}
			return count
		}
		if counted(a) != counted(b) {
			return false
		}
		for key, v := range Pairs(a) {
			if !slices.Contains(ignore, key) && !Equal(v, Value(b, key), ignore...) {
				return false
			}
		}
		return true
	default:
		return slices.EqualFunc(a.Content, b.Content, func(x, y *yaml.Node) bool { return Equal(x, y, ignore...) })
	}
}

// Walk visits n and all nodes below it, with the JSON pointer of each node. It visits a node
// before its children, so visit may change the children.
func Walk(n *yaml.Node, pointer string, visit func(pointer string, n *yaml.Node)) {
	if n == nil {
		return
	}
	visit(pointer, n)
	switch n.Kind { //nolint:exhaustive // the other kinds do not have children
	case yaml.DocumentNode:
		Walk(n.Content[0], pointer, visit)
	case yaml.MappingNode:
		for key, v := range Pairs(n) {
			Walk(v, Pointer(pointer, key), visit)
		}
	case yaml.SequenceNode:
		for i, v := range n.Content {
			Walk(v, pointer+"/"+strconv.Itoa(i), visit)
		}
	}
}

// Pointer appends a key to a JSON pointer.
func Pointer(pointer, key string) string {
	return pointer + "/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key)
}
