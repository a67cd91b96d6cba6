package schema

import (
	"encoding/json"
	"errors"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// A keyword is a keyword that a field's tag adds to the schema.
type keyword struct {
	name  string
	types []string // the types that it applies to
}

var tagKeywords = []keyword{
	{"enum", []string{"string", "integer", "number"}},
	{"minimum", []string{"integer", "number"}},
	{"maximum", []string{"integer", "number"}},
	{"minLength", []string{"string"}},
	{"maxLength", []string{"string"}},
	{"pattern", []string{"string"}},
	{"format", []string{"string"}},
	{"minItems", []string{"array"}},
	{"maxItems", []string{"array"}},
}

// reserved matches descriptions in the syntax of other packages, such as "required,enum=a".
var reserved = regexp.MustCompile(`^[^ \t\n]*=`)

// withTags adds the tags of a field to its schema.
func withTags(f reflect.StructField, made object, path string, isNullable bool) (object, error) {
	inner := made
	if parts, ok := made.get("anyOf").([]any); ok && isNullable {
		inner, _ = parts[0].(object) // nullable made this schema
	}
	for _, k := range tagKeywords {
		text, ok := f.Tag.Lookup(k.name)
		if !ok {
			continue
		}
		value, rule := k.value(f.Type, inner, text)
		if rule != "" {
			return nil, &TypeError{path, errTag(k.name, text, rule)}
		}
		inner = inner.with(k.name, value)
	}
	if isNullable {
		made = nullable(inner)
	} else {
		made = inner
	}
	description, ok := f.Tag.Lookup("jsonschema")
	switch {
	case !ok:
		return made, nil
	case strings.TrimSpace(description) == "":
		return nil, &TypeError{path, errTag("jsonschema", description, "must not be empty: it is the field's description")}
	case reserved.MatchString(description):
		return nil, &TypeError{path, errTag("jsonschema", description, "must be a description: use the tags enum, minimum and so on for keywords")}
	}
	return made.with("description", description), nil
}

// value returns the value of a keyword, or the rule that the text breaks.
func (k keyword) value(t reflect.Type, made object, text string) (value any, rule string) {
	kind, _ := made.get("type").(string)
	if k.name == "format" && made.get("format") != nil {
		return nil, "must not be set: the type already has a format"
	}
	if !slices.Contains(k.types, kind) {
		return nil, "must be on a field of type " + strings.Join(k.types, " or ")
	}
	switch k.name {
	case "enum":
		return enumOf(t, made, kind, text)
	case "pattern", "format":
		value = text
		if text == "" {
			return nil, "must not be empty"
		}
	default:
		if v, err := Parse([]byte(text)); err != nil || v.kind != '0' {
			return nil, "must be a number"
		}
		value = json.RawMessage(text)
	}
	s, err := Compile(encoded(made.with(k.name, value)))
	if invalid := (*Error)(nil); errors.As(err, &invalid) {
		return nil, invalid.Rule
	}
	if rule := s.root.contradiction(); rule != "" {
		return nil, rule
	}
	if k.name == "minimum" || k.name == "maximum" {
		if finding := brokenRule(made, []byte(text)); finding != "" {
			return nil, finding
		}
		if !canRepresent(t, text) {
			return nil, "must be a value that " + t.String() + " can represent"
		}
	}
	return value, ""
}

// canRepresent reports whether a Go number type can represent a JSON number.
func canRepresent(t reflect.Type, text string) bool {
	t, _ = dereferenced(t)
	whole, _ := wholeNumber(text)
	switch v := reflect.New(t).Elem(); {
	case v.CanInt():
		n, err := strconv.ParseInt(whole, 10, 64)
		return err == nil && !v.OverflowInt(n)
	case v.CanUint():
		n, err := strconv.ParseUint(whole, 10, 64)
		return err == nil && !v.OverflowUint(n)
	case v.CanFloat():
		_, err := strconv.ParseFloat(text, t.Bits())
		return err == nil
	}
	return true
}

// contradiction returns the rule that two bounds break together, or "".
func (n *node) contradiction() string {
	for _, pair := range [][2]*int{{n.minLength, n.maxLength}, {n.minItems, n.maxItems}} {
		if pair[0] != nil && pair[1] != nil && *pair[0] > *pair[1] {
			return "must not set a minimum above the maximum"
		}
	}
	if n.minimum != nil && n.maximum != nil && n.minimum.Cmp(n.maximum) > 0 {
		return "must not set a minimum above the maximum"
	}
	return ""
}

// enumOf parses a comma-separated list of values.
func enumOf(t reflect.Type, made object, kind, text string) (any, string) {
	var values []any
	for part := range strings.SplitSeq(text, ",") {
		part = strings.TrimSpace(part)
		if part == "" {
			return nil, "must be comma-separated values"
		}
		value := json.RawMessage(part)
		if kind == "string" {
			value = encoded(part)
		}
		if finding := brokenRule(made, value); finding != "" {
			return nil, finding
		}
		if !canRepresent(t, string(value)) {
			return nil, "must be values that " + t.String() + " can represent"
		}
		values = append(values, value)
	}
	return values, ""
}
