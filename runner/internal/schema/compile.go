package schema

import (
	"fmt"
	"math/big"
	"net/url"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A Schema is a compiled JSON Schema. It is immutable and safe for concurrent use.
type Schema struct {
	text string
	root *node
}

// Text returns the JSON text of the schema.
func (s *Schema) Text() string { return s.text }

// A node is a schema or a subschema.
type node struct {
	never  bool     // whether this is the schema false
	types  []string // nil for any type
	values []Value  // the values of enum or const; nil for any value
	ref    *node

	properties    []property
	required      []string
	patterns      []pattern
	additional    *node
	propertyNames *node
	dependent     map[string][]string

	prefix []*node // prefixItems
	items  *node
	unique bool

	minimum, maximum, exclusiveMinimum, exclusiveMaximum, multiple *big.Rat

	minLength, maxLength, minItems, maxItems, minProperties, maxProperties *int

	pattern          *regexp.Regexp
	format, encoding string
	text             func(string) error // UnmarshalText of a Go type

	allOf, anyOf, oneOf             []*node
	not, ifNode, thenNode, elseNode *node
}

type property struct {
	name string
	*node
}

type pattern struct {
	*regexp.Regexp
	*node
}

// An Error reports an invalid schema.
type Error struct {
	Pointer string // the JSON pointer of the invalid part; "" for the whole schema
	Rule    string // the rule that the part breaks
}

// Error returns the pointer and the rule.
func (e *Error) Error() string {
	if e.Pointer == "" {
		return e.Rule
	}
	return fmt.Sprintf("%q %s", e.Pointer, e.Rule)
}

// Compile compiles a schema. Patterns have the syntax of package regexp. The checked formats are
// date-time, date, time, email, uri, uuid, ipv4 and ipv6. References must lead to a part of the
// schema, as "#/$defs/name" does. The error is an [*Error].
func Compile(text []byte) (*Schema, error) {
	v, err := Parse(text)
	if err != nil {
		return nil, &Error{Rule: err.Error()}
	}
	c := compiler{root: v, nodes: map[string]*node{}}
	root := c.node(v, "")
	if c.err != nil {
		return nil, c.err
	}
	return &Schema{text: string(text), root: root}, nil
}

type compiler struct {
	root  Value
	nodes map[string]*node // by pointer
	err   *Error           // the first error
}

func (c *compiler) fail(at, rule string) {
	if c.err == nil {
		c.err = &Error{Pointer: at, Rule: rule}
	}
}

func (c *compiler) node(v Value, at string) *node {
	if n := c.nodes[at]; n != nil {
		return n
	}
	n := new(node)
	c.nodes[at] = n
	switch {
	case v.kind == 't':
		n.never = v.text == "false"
	case v.kind != '{':
		c.fail(at, "must be a JSON Schema: an object or a boolean")
	default:
		for i, name := range v.names {
			c.keyword(n, name, v.items[i], pointer(at, name))
		}
		if n.elseNode != nil || n.thenNode != nil {
			n.ifNode, _ = c.optional(v, "if", at)
		}
	}
	return n
}

func (c *compiler) optional(v Value, name, at string) (*node, bool) {
	member, ok := v.member(name)
	if !ok {
		return nil, false
	}
	return c.node(member, pointer(at, name)), true
}

func (c *compiler) keyword(n *node, name string, v Value, at string) {
	switch name {
	case "type":
		n.types = c.types(v, at)
	case "enum":
		if v.kind != '[' || len(v.items) == 0 {
			c.fail(at, "must be an array of at least one value")
		}
		n.values = v.items
	case "const":
		n.values = []Value{v}
	case "$ref":
		n.ref = c.reference(v, at)
	case "properties":
		for i, node := range c.members(v, at) {
			n.properties = append(n.properties, property{v.names[i], node})
		}
	case "patternProperties":
		for i, node := range c.members(v, at) {
			n.patterns = append(n.patterns, pattern{c.regexp(v.names[i], at), node})
		}
	case "required":
		n.required = c.strings(v, at)
	case "dependentRequired":
		n.dependent = map[string][]string{}
		for i, name := range v.names {
			n.dependent[name] = c.strings(v.items[i], pointer(at, name))
		}
	case "additionalProperties":
		n.additional = c.node(v, at)
	case "propertyNames":
		n.propertyNames = c.node(v, at)
	case "items":
		if v.kind == '[' { // the form before draft 2020-12
			n.prefix = c.list(v, at)
			return
		}
		n.items = c.node(v, at)
	case "prefixItems":
		n.prefix = c.list(v, at)
	case "uniqueItems":
		n.unique = v.text == "true"
	case "pattern":
		n.pattern = c.regexp(v.text, at)
	case "format":
		n.format = v.text
	case "contentEncoding":
		n.encoding = v.text
	case "allOf":
		n.allOf = c.list(v, at)
	case "anyOf":
		n.anyOf = c.list(v, at)
	case "oneOf":
		n.oneOf = c.list(v, at)
	case "not":
		n.not = c.node(v, at)
	case "then":
		n.thenNode = c.node(v, at)
	case "else":
		n.elseNode = c.node(v, at)
	default:
		c.bound(n, name, v, at)
	}
}

// bound compiles the keywords with numeric values.
func (c *compiler) bound(n *node, name string, v Value, at string) {
	if number := map[string]**big.Rat{
		"minimum": &n.minimum, "maximum": &n.maximum, "exclusiveMinimum": &n.exclusiveMinimum, "exclusiveMaximum": &n.exclusiveMaximum, "multipleOf": &n.multiple,
	}[name]; number != nil {
		value, ok := rational(v.text)
		if v.kind != '0' || !ok || name == "multipleOf" && value.Sign() <= 0 {
			c.fail(at, "must be a number"+map[bool]string{true: " greater than 0"}[name == "multipleOf"]+", got "+v.shown())
			return
		}
		*number = value
	}
	if count := map[string]**int{
		"minLength": &n.minLength, "maxLength": &n.maxLength, "minItems": &n.minItems, "maxItems": &n.maxItems,
		"minProperties": &n.minProperties, "maxProperties": &n.maxProperties,
	}[name]; count != nil {
		whole, ok := wholeNumber(v.text)
		value, err := strconv.Atoi(whole)
		if v.kind != '0' || !ok || err != nil || value < 0 {
			c.fail(at, "must be a non-negative integer, got "+v.shown())
			return
		}
		*count = &value
	}
}

var typeNames = []string{"object", "array", "string", "number", "integer", "boolean", "null"}

func (c *compiler) types(v Value, at string) []string {
	names := []string{v.text}
	if v.kind != '"' {
		names = c.strings(v, at)
	}
	for _, name := range names {
		if !slices.Contains(typeNames, name) {
			c.fail(at, fmt.Sprintf("must be one of %s, got %q", strings.Join(typeNames, ", "), name))
		}
	}
	return names
}

func (c *compiler) strings(v Value, at string) []string {
	list := make([]string, len(v.items))
	for i, item := range v.items {
		if list[i] = item.text; item.kind != '"' {
			c.fail(at, "must be an array of strings")
		}
	}
	if v.kind != '[' {
		c.fail(at, "must be an array of strings")
	}
	return list
}

func (c *compiler) members(v Value, at string) []*node {
	if v.kind != '{' {
		c.fail(at, "must be an object, got "+v.shown())
		return nil
	}
	nodes := make([]*node, len(v.items))
	for i, item := range v.items {
		nodes[i] = c.node(item, pointer(at, v.names[i]))
	}
	return nodes
}

func (c *compiler) list(v Value, at string) []*node {
	if v.kind != '[' || len(v.items) == 0 {
		c.fail(at, "must be an array of at least one JSON Schema")
		return nil
	}
	nodes := make([]*node, len(v.items))
	for i, item := range v.items {
		nodes[i] = c.node(item, pointer(at, strconv.Itoa(i)))
	}
	return nodes
}

func (c *compiler) regexp(text, at string) *regexp.Regexp {
	compiled, err := regexp.Compile(text)
	if err != nil {
		c.fail(at, fmt.Sprintf("must be a regular expression (RE2 syntax), got %q", cut(text, 100)))
	}
	return compiled
}

// reference returns the node that a $ref refers to.
func (c *compiler) reference(v Value, at string) *node {
	fragment, local := strings.CutPrefix(v.text, "#")
	path, err := url.PathUnescape(fragment)
	target, ok := c.root.at(path)
	if !local || err != nil || !ok {
		c.fail(at, fmt.Sprintf("must refer to a part of the schema, such as \"#/$defs/name\", got %q", cut(v.text, 100)))
		return nil
	}
	return c.node(target, path)
}

// at returns the value that a JSON pointer refers to.
func (v Value) at(path string) (Value, bool) {
	if path == "" {
		return v, true
	}
	if path[0] != '/' {
		return Value{}, false
	}
	for step := range strings.SplitSeq(path[1:], "/") {
		step = strings.NewReplacer("~1", "/", "~0", "~").Replace(step)
		switch v.kind {
		case '{':
			member, ok := v.member(step)
			if !ok {
				return Value{}, false
			}
			v = member
		case '[':
			i, err := strconv.Atoi(step)
			if err != nil || i < 0 || i >= len(v.items) {
				return Value{}, false
			}
			v = v.items[i]
		default:
			return Value{}, false
		}
	}
	return v, true
}

// IsObject reports whether the schema has the type "object", as the parameters of a function must.
func (s *Schema) IsObject() bool { return slices.Equal(s.root.types, []string{"object"}) }

// AllowsObject reports whether the schema has no type, or types with "object" among them.
func (s *Schema) AllowsObject() bool {
	return len(s.root.types) == 0 || slices.Contains(s.root.types, "object")
}

// IsClosed reports whether every part of the schema restricts its values: no part accepts any
// value, and no object accepts properties of any name. The service's strict mode requires this.
func (s *Schema) IsClosed() bool { return s.root.closed(map[*node]bool{}) }

func (n *node) closed(seen map[*node]bool) bool {
	if seen[n] {
		return true
	}
	seen[n] = true
	for _, list := range [][]*node{n.anyOf, n.oneOf, n.allOf} {
		for _, part := range list {
			if !part.closed(seen) {
				return false
			}
		}
	}
	switch {
	case n.never || n.values != nil || len(n.anyOf)+len(n.oneOf)+len(n.allOf) > 0:
		return true
	case n.ref != nil:
		return n.ref.closed(seen)
	case n.types == nil:
		return false
	case slices.Contains(n.types, "array") && (n.items == nil || !n.items.closed(seen)):
		return false
	case !slices.Contains(n.types, "object"):
		return true
	}
	for _, p := range n.properties {
		if !p.closed(seen) {
			return false
		}
	}
	return n.additional != nil && n.additional.never && len(n.patterns) == 0
}
