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

// validate checks a value and explains what is wrong with it.
func validate(schema *jsonschema.Schema, value any) []finding {
	err := schema.Validate(value)
	if err == nil {
		return nil
	}
	var invalid *jsonschema.ValidationError
	if !errors.As(err, &invalid) {
		return []finding{{rule: "schema", message: err.Error(), value: value, has: true}}
	}
	return explainer{root: value}.explain(invalid)
}

// explainer reduces the tree of errors that the schema library returns, which has
// every branch of every union, to the few that a person would name.
type explainer struct{ root any }

func (e explainer) explain(err *jsonschema.ValidationError) []finding {
	switch k := err.ErrorKind.(type) {
	case *kind.AnyOf:
		return e.union(err)
	case *kind.OneOf:
		if len(k.Subschemas) == 0 {
			return e.union(err)
		}
		return e.one(err, "oneOf", `want a value that fits one alternative only ("type" tells them apart)`)
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
			found = append(found, finding{path: path, rule: "additionalProperties", message: "want no such property", value: value, has: true})
		}
		return found
	case *kind.Type:
		return e.wanting(err.InstanceLocation, "type", k.Want)
	case *kind.Const:
		return e.wanting(err.InstanceLocation, "const", []string{compact(k.Want)})
	case *kind.Enum:
		want := make([]string, len(k.Want))
		for i, value := range k.Want {
			want[i] = compact(value)
		}
		return e.wanting(err.InstanceLocation, "enum", want)
	}
	if len(err.Causes) > 0 { // The schema itself, a $ref, a group.
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
	return e.one(err, rule, constraint(err.ErrorKind))
}

// union explains a value that fits no branch of an anyOf or oneOf. The causes are
// the branches, in order.
func (e explainer) union(err *jsonschema.ValidationError) []finding {
	here := err.InstanceLocation
	tag := extend(here, "type")
	var branches, tagged []branch
	var types, tags []string
	for _, cause := range err.Causes {
		b := branch{name: refName(cause), found: e.explain(cause)}
		if f, ok := b.at(here, "type"); ok { // Another kind of value altogether.
			types = appendNew(types, f.want)
			continue
		}
		branches = append(branches, b)
		if f, ok := b.at(tag, ""); ok { // Of another `type`.
			tags = appendNew(tags, f.want)
			continue
		}
		tagged = append(tagged, b)
	}
	switch {
	case len(branches) == 0:
		return e.wanting(here, "type", types)
	case len(branches) == 1:
		return branches[0].found
	case len(tagged) == 1:
		return tagged[0].found
	case len(tagged) == 0:
		if value, _ := e.at(tag); !isString(value) {
			return e.wanting(tag, "type", []string{"string"})
		}
		return e.wanting(tag, "enum", tags)
	}
	// Without a `type` to go by, the branch with the least to complain about is
	// likely the one that was meant.
	nearest := slices.MinFunc(tagged, func(a, b branch) int { return len(a.found) - len(b.found) })
	if nearest.name == "" {
		return nearest.found
	}
	found := slices.Clone(nearest.found)
	for i := range found {
		found[i].message += fmt.Sprintf(" (as %s, the nearest of %d alternatives)", nearest.name, len(tagged))
	}
	return found
}

// branch is what is wrong with a value by one branch of a union.
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

func (e explainer) one(err *jsonschema.ValidationError, rule, message string) []finding {
	value, has := e.at(err.InstanceLocation)
	return []finding{{path: err.InstanceLocation, rule: rule, message: message, value: value, has: has}}
}

func (e explainer) wanting(path []string, rule string, want []string) []finding {
	message := "want " + strings.Join(want, " or ")
	if rule == "enum" && len(want) > 1 {
		message = "want one of " + strings.Join(want, ", ")
	}
	value, has := e.at(path)
	return []finding{{path: path, rule: rule, message: message, value: value, has: has, want: want}}
}

// at returns the value at a path.
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

// constraint says in words what a keyword wants.
func constraint(k jsonschema.ErrorKind) string {
	switch k := k.(type) {
	case *kind.Minimum:
		return "want at least " + k.Want.RatString()
	case *kind.Maximum:
		return "want at most " + k.Want.RatString()
	case *kind.MinLength:
		return fmt.Sprintf("want a length of at least %d", k.Want)
	case *kind.MaxLength:
		return fmt.Sprintf("want a length of at most %d", k.Want)
	case *kind.MinItems:
		return fmt.Sprintf("want at least %d of them", k.Want)
	case *kind.MaxItems:
		return fmt.Sprintf("want at most %d of them", k.Want)
	case *kind.Pattern:
		return "want a match of " + k.Want
	case *kind.Format:
		return "want a " + k.Want
	}
	// The rest is not in the document today: the library's own words will do.
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
