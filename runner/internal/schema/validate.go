package schema

import (
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A Finding is a value that breaks a schema.
type Finding struct {
	Pointer string // the JSON pointer of the value (RFC 6901); "" for the whole value
	Rule    string // the rule and the actual value
}

// String returns the pointer and the rule.
func (f Finding) String() string {
	if f.Pointer == "" {
		return f.Rule
	}
	return f.Pointer + ": " + f.Rule
}

const (
	// maxFindings bounds the findings of one check, and maxFindingsText the bytes of their text.
	maxFindings, maxFindingsText = 10, 2000
	// maxSteps bounds the work of one check, because a small schema that refers to itself could
	// take forever. maxStack bounds the depth of recursion.
	maxSteps, maxStack = 1 << 20, 20_000
)

// Text returns the findings as lines for a model, at most 2 KiB.
func Text(findings []Finding) string {
	var b strings.Builder
	for i, f := range findings {
		line := "- " + f.String() + "\n"
		if b.Len()+len(line) > maxFindingsText {
			if i == 0 { // show at least the beginning of the first finding
				b.WriteString(cut(line, maxFindingsText-len("…\n")) + "…\n")
				continue
			}
			fmt.Fprintf(&b, "- and %d more", len(findings)-i)
			break
		}
		b.WriteString(line)
	}
	return strings.TrimSuffix(b.String(), "\n")
}

// A check is one validation of a value.
type check struct {
	findings []Finding
	integers []edit // integers that need another notation for Go
	steps    int
	depth    int
	full     bool // whether further findings are dropped
	exceeded bool // whether the check exceeded its bounds
}

// An edit replaces a part of a text.
type edit struct {
	start, end int
	text       string
}

func (c *check) add(at, rule string) {
	if c.full {
		return
	}
	if len(c.findings) == maxFindings {
		c.full = true
		return
	}
	c.findings = append(c.findings, Finding{Pointer: cut(at, maxPointer), Rule: rule})
}

// exceed ends a check that exceeds its bounds.
func (c *check) exceed(at string) {
	if !c.exceeded {
		c.add(at, "must be simpler: checking it takes too long")
	}
	c.exceeded, c.full = true, true
}

// fits reports whether a value matches a schema. It does not add findings to c.
func (c *check) fits(n *node, v Value, at string) (*check, bool) {
	side := &check{steps: c.steps, depth: c.depth}
	side.value(n, v, at)
	c.steps = side.steps
	if side.exceeded {
		c.exceed(at)
	}
	return side, len(side.findings) == 0
}

func (c *check) value(n *node, v Value, at string) {
	c.steps++
	if c.steps > maxSteps || c.depth > maxStack {
		c.exceed(at)
		return
	}
	if c.full {
		return
	}
	c.depth++
	c.keywords(n, v, at)
	c.depth--
}

// keywords checks a value against each keyword of a schema.
func (c *check) keywords(n *node, v Value, at string) {
	if n.never {
		c.add(at, "must be absent")
		return
	}
	if n.ref != nil {
		c.value(n.ref, v, at)
	}
	if !c.typed(n, v, at) {
		return
	}
	if n.values != nil && !slices.ContainsFunc(n.values, v.equal) {
		c.add(at, "must be "+oneOf(n.values)+", got "+v.shown())
	}
	switch v.kind {
	case '0':
		c.number(n, v, at)
	case '"':
		c.string(n, v, at)
	case '[':
		c.array(n, v, at)
	case '{':
		c.object(n, v, at)
	}
	c.combined(n, v, at)
}

// typed checks the type of a value. It also records integers in a notation that Go does not decode.
func (c *check) typed(n *node, v Value, at string) bool {
	if n.types == nil {
		return true
	}
	is := v.typeName()
	fits := slices.Contains(n.types, is) || is == "integer" && slices.Contains(n.types, "number")
	if !fits {
		c.add(at, "must be of type "+strings.Join(n.types, " or ")+", got "+v.shown())
		return false
	}
	if is == "integer" && !slices.Contains(n.types, "number") {
		if text, _ := wholeNumber(v.text); text != v.text {
			c.integers = append(c.integers, edit{v.start, v.end, text})
		}
	}
	return true
}

func oneOf(values []Value) string {
	const maxShown = 20
	shown := make([]string, 0, maxShown)
	for _, v := range values[:min(len(values), maxShown)] {
		shown = append(shown, v.shown())
	}
	if len(values) == 1 {
		return shown[0]
	}
	return "one of " + strings.Join(shown, ", ") + map[bool]string{true: ", …"}[len(values) > maxShown]
}

func (c *check) number(n *node, v Value, at string) {
	if n.minimum == nil && n.maximum == nil && n.exclusiveMinimum == nil && n.exclusiveMaximum == nil && n.multiple == nil {
		return
	}
	r, ok := rational(v.text)
	if !ok {
		c.add(at, "must be a number with fewer than 1,000 digits, got "+v.shown())
		return
	}
	for _, bound := range []struct {
		rat    *big.Rat
		rule   string
		breaks bool
	}{
		{n.minimum, "at least", n.minimum != nil && r.Cmp(n.minimum) < 0},
		{n.maximum, "at most", n.maximum != nil && r.Cmp(n.maximum) > 0},
		{n.exclusiveMinimum, "above", n.exclusiveMinimum != nil && r.Cmp(n.exclusiveMinimum) <= 0},
		{n.exclusiveMaximum, "below", n.exclusiveMaximum != nil && r.Cmp(n.exclusiveMaximum) >= 0},
		{n.multiple, "a multiple of", n.multiple != nil && !new(big.Rat).Quo(r, orOne(n.multiple)).IsInt()},
	} {
		if bound.breaks {
			c.add(at, "must be "+bound.rule+" "+numeral(bound.rat)+", got "+v.shown())
		}
	}
}

func orOne(r *big.Rat) *big.Rat {
	if r == nil {
		return big.NewRat(1, 1)
	}
	return r
}

// numeral formats a bound as a decimal number.
func numeral(r *big.Rat) string {
	if r.IsInt() {
		return r.Num().String()
	}
	f, _ := r.Float64()
	return strconv.FormatFloat(f, 'g', -1, 64)
}

// countBetween checks a count against its bounds.
func (c *check) countBetween(minCount, maxCount *int, count int, unit, at string) {
	if minCount != nil && count < *minCount {
		c.add(at, fmt.Sprintf("must have at least %d %s, got %d", *minCount, unit, count))
	}
	if maxCount != nil && count > *maxCount {
		c.add(at, fmt.Sprintf("must have at most %d %s, got %d", *maxCount, unit, count))
	}
}

func (c *check) string(n *node, v Value, at string) {
	c.countBetween(n.minLength, n.maxLength, utf8.RuneCountInString(v.text), "characters", at)
	if n.pattern != nil && !n.pattern.MatchString(v.text) {
		c.add(at, fmt.Sprintf("must match the pattern %s, got %s", cut(n.pattern.String(), 200), v.shown()))
	}
	if n.text != nil && n.text(v.text) != nil {
		c.add(at, "does not have the expected form, got "+v.shown())
	}
	if rule := formatRule(n.format, n.encoding, v.text); rule != "" {
		c.add(at, "must be "+rule+", got "+v.shown())
	}
}

func (c *check) array(n *node, v Value, at string) {
	c.countBetween(n.minItems, n.maxItems, len(v.items), "items", at)
	for i, item := range v.items {
		if c.steps > maxSteps {
			c.exceed(at)
		}
		if c.full {
			return
		}
		part := n.items
		if i < len(n.prefix) {
			part = n.prefix[i]
		}
		if part != nil {
			c.value(part, item, inside(at, strconv.Itoa(i)))
		}
		if n.unique && !c.full && slices.ContainsFunc(v.items[:i], func(w Value) bool { c.steps++; return item.equal(w) }) {
			c.add(inside(at, strconv.Itoa(i)), "must differ from the items before it")
		}
	}
}

func (c *check) object(n *node, v Value, at string) {
	c.countBetween(n.minProperties, n.maxProperties, len(v.items), "properties", at)
	for _, name := range n.required {
		if _, ok := v.member(name); !ok {
			c.add(inside(at, name), "is required, but missing")
		}
	}
	seen := make(map[string]bool, len(v.names))
	for i, name := range v.names {
		if c.full {
			return
		}
		if seen[name] { // encoding/json would merge the two values
			c.add(inside(at, name), "must occur only once")
		}
		seen[name] = true
		c.member(n, name, v.items[i], inside(at, name))
	}
	for name, needed := range n.dependent {
		if _, ok := v.member(name); !ok {
			continue
		}
		for _, other := range needed {
			if _, ok := v.member(other); !ok {
				c.add(inside(at, other), fmt.Sprintf("is required together with %q, but missing", name))
			}
		}
	}
}

func (c *check) member(n *node, name string, v Value, at string) {
	known := false
	for _, p := range n.properties {
		if p.name == name {
			c.value(p.node, v, at)
			known = true
		}
	}
	for _, p := range n.patterns {
		if p.MatchString(name) {
			c.value(p.node, v, at)
			known = true
		}
	}
	if n.propertyNames != nil {
		c.value(n.propertyNames, Value{kind: '"', text: name}, at)
	}
	switch {
	case known || n.additional == nil:
	case n.additional.never:
		c.add(at, unknownProperty(n.properties))
	default:
		c.value(n.additional, v, at)
	}
}

// unknownProperty returns the finding of an unknown property, with the names of the known ones.
func unknownProperty(properties []property) string {
	const maxShown = 20
	if len(properties) == 0 || len(properties) > maxShown {
		return "is not a known property"
	}
	names := make([]string, len(properties))
	for i, p := range properties {
		names[i] = p.name
	}
	return "is not a known property; the known properties are: " + strings.Join(names, ", ")
}

// combined checks the keywords that combine schemas.
func (c *check) combined(n *node, v Value, at string) {
	for _, part := range n.allOf {
		c.value(part, v, at)
	}
	if n.anyOf != nil {
		c.choose(n.anyOf, v, at, false)
	}
	if n.oneOf != nil {
		c.choose(n.oneOf, v, at, true)
	}
	if n.not != nil {
		if _, fits := c.fits(n.not, v, at); fits {
			c.add(at, "must not have the excluded form, got "+v.shown())
		}
	}
	if n.ifNode != nil {
		part := n.elseNode
		if _, fits := c.fits(n.ifNode, v, at); fits {
			part = n.thenNode
		}
		if part != nil {
			c.value(part, v, at)
		}
	}
}

// choose checks a value against alternatives. If exactly one alternative has the type of the value,
// its findings are reported, because it is probably the intended one.
func (c *check) choose(parts []*node, v Value, at string, onlyOne bool) {
	var meant *check
	candidates, fitting := 0, 0
	for _, part := range parts {
		side, fits := c.fits(part, v, at)
		if fits {
			if fitting++; fitting == 1 {
				c.integers = append(c.integers, side.integers...)
			}
			if !onlyOne {
				return
			}
			continue
		}
		if part.types == nil || slices.Contains(part.types, v.typeName()) || len(side.findings) > 0 && side.findings[0].Pointer != at {
			candidates++
			meant = side
		}
	}
	switch {
	case fitting == 1:
	case fitting > 1:
		c.add(at, "must match exactly one of its forms, but matches "+strconv.Itoa(fitting))
	case candidates == 1:
		for _, f := range meant.findings {
			c.add(f.Pointer, f.Rule)
		}
	default:
		var types []string
		for _, part := range parts {
			types = append(types, part.types...)
		}
		if len(types) > 0 && candidates == 0 {
			c.add(at, "must be of type "+strings.Join(types, " or ")+", got "+v.shown())
			return
		}
		c.add(at, fmt.Sprintf("must match one of its %d forms, got %s", len(parts), v.shown()))
	}
}
