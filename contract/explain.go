package contract

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"github.com/santhosh-tekuri/jsonschema/v6/kind"
)

// validate checks a value against a schema and returns readable findings.
func validate(schema *jsonschema.Schema, value any) []finding {
	err := schema.Validate(value)
	if err == nil {
		return nil
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return []finding{{rule: "schema", message: err.Error(), value: value, hasValue: true}}
	}
	return explainer{root: value}.explain(invalid)
}

// explainer reduces the error tree of the schema library to a few findings. The tree
// has the errors of every branch of every union. A reader needs only those of the
// branch that the sender intended.
type explainer struct{ root any }

func (e explainer) explain(err *jsonschema.ValidationError) []finding {
	switch k := err.ErrorKind.(type) {
	case *kind.AnyOf:
		return e.union(err)
	case *kind.OneOf:
		if len(k.Subschemas) == 0 {
			return e.union(err)
		}
		return e.single(err, "oneOf", `must match exactly one alternative ("type" selects it)`)
	case *kind.Required:
		var found []finding
		for _, name := range k.Missing {
			found = append(found, finding{path: extend(err.InstanceLocation, name), rule: "required", message: "property is missing"})
		}
		return found
	case *kind.AdditionalProperties:
		var found []finding
		for _, name := range k.Properties {
			path := extend(err.InstanceLocation, name)
			value, _ := e.at(path)
			found = append(found, finding{path: path, rule: "additionalProperties", message: "property is not allowed", value: value, hasValue: true})
		}
		return found
	case *kind.Type:
		return e.mismatch(err.InstanceLocation, "type", k.Want)
	case *kind.Const:
		return e.mismatch(err.InstanceLocation, "const", []string{compact(k.Want)})
	case *kind.Enum:
		accepted := make([]string, len(k.Want))
		for i, value := range k.Want {
			accepted[i] = compact(value)
		}
		return e.mismatch(err.InstanceLocation, "enum", accepted)
	}
	if len(err.Causes) > 0 { // a schema, a $ref or a group
		var found []finding
		for _, cause := range err.Causes {
			found = append(found, e.explain(cause)...)
		}
		return found
	}
	rule := "schema"
	if path := err.ErrorKind.KeywordPath(); len(path) > 0 {
		rule = path[0]
	}
	return e.single(err, rule, constraint(err.ErrorKind))
}

// union explains a value that matches none of the branches of an anyOf or oneOf. Each
// cause holds the errors of one branch.
func (e explainer) union(err *jsonschema.ValidationError) []finding {
	here := err.InstanceLocation
	tag := extend(here, "type")
	var branches, tagged []branch
	var types, tags []string
	for _, cause := range err.Causes {
		b := branch{name: refName(cause), found: e.explain(cause)}
		if f, ok := b.at(here, "type"); ok { // The branch accepts another JSON type.
			types = appendNew(types, f.accepted)
			continue
		}
		branches = append(branches, b)
		if f, ok := b.at(tag, ""); ok { // The branch accepts another `type` property.
			tags = appendNew(tags, f.accepted)
			continue
		}
		tagged = append(tagged, b)
	}
	switch {
	case len(branches) == 0:
		return e.mismatch(here, "type", types)
	case len(branches) == 1:
		return branches[0].found
	case len(tagged) == 1:
		return tagged[0].found
	case len(tagged) == 0:
		if value, _ := e.at(tag); !isString(value) {
			return e.mismatch(tag, "type", []string{"string"})
		}
		return e.mismatch(tag, "enum", tags)
	}
	// Several branches accept the `type`. The one with the fewest errors is probably
	// the intended one.
	nearest := slices.MinFunc(tagged, func(a, b branch) int { return len(a.found) - len(b.found) })
	if nearest.name == "" {
		return nearest.found
	}
	found := slices.Clone(nearest.found)
	for i := range found {
		found[i].message += fmt.Sprintf(" (as %s, closest of %d alternatives)", nearest.name, len(tagged))
	}
	return found
}

// branch holds the findings of one branch of a union.
type branch struct {
	name  string
	found []finding
}

func (b branch) at(path []string, rule string) (finding, bool) {
	for _, f := range b.found {
		if (rule == "" || f.rule == rule) && slices.Equal(f.path, path) {
			return f, true
		}
	}
	return finding{}, false
}

// single returns one finding at the error's location.
func (e explainer) single(err *jsonschema.ValidationError, rule, message string) []finding {
	value, ok := e.at(err.InstanceLocation)
	return []finding{{path: err.InstanceLocation, rule: rule, message: message, value: value, hasValue: ok}}
}

// mismatch returns one finding that lists the accepted values or types.
func (e explainer) mismatch(path []string, rule string, accepted []string) []finding {
	message := "must be " + strings.Join(accepted, " or ")
	if rule == "enum" && len(accepted) > 1 {
		message = "must be one of " + strings.Join(accepted, ", ")
	}
	value, ok := e.at(path)
	return []finding{{path: path, rule: rule, message: message, value: value, hasValue: ok, accepted: accepted}}
}

// at returns the value at a path and reports whether it exists.
func (e explainer) at(path []string) (any, bool) {
	value := e.root
	for _, token := range path {
		switch v := value.(type) {
		case map[string]any:
			child, ok := v[token]
			if !ok {
				return nil, false
			}
			value = child
		case []any:
			i, err := strconv.Atoi(token)
			if err != nil || i < 0 || i >= len(v) {
				return nil, false
			}
			value = v[i]
		default:
			return nil, false
		}
	}
	return value, true
}

// constraint describes the constraint of a keyword.
func constraint(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Minimum:
		return "must be at least " + k.Want.RatString()
	case *kind.Maximum:
		return "must be at most " + k.Want.RatString()
	case *kind.MinLength:
		return fmt.Sprintf("length must be at least %d", k.Want)
	case *kind.MaxLength:
		return fmt.Sprintf("length must be at most %d", k.Want)
	case *kind.MinItems:
		return fmt.Sprintf("number of items must be at least %d", k.Want)
	case *kind.MaxItems:
		return fmt.Sprintf("number of items must be at most %d", k.Want)
	case *kind.Pattern:
		return "must match " + k.Want
	case *kind.Format:
		return "must be a valid " + k.Want
	}
	// The document does not use the other keywords. The library describes them.
	text := (&jsonschema.ValidationError{ErrorKind: k}).Error()
	return strings.TrimPrefix(text, "at '': ")
}

func refName(err *jsonschema.ValidationError) string {
	ref, ok := err.ErrorKind.(*kind.Reference)
	if !ok {
		return ""
	}
	return ref.URL[strings.LastIndexByte(ref.URL, '/')+1:]
}

func appendNew(list, more []string) []string {
	for _, s := range more {
		if !slices.Contains(list, s) {
			list = append(list, s)
		}
	}
	return list
}

func extend(path []string, token string) []string {
	return append(slices.Clip(path), token)
}

func isString(value any) bool {
	_, ok := value.(string)
	return ok
}
