package main

import (
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/openapi/internal/tree"
)

// documents holds the two compared documents and the differences of their common components.
type documents struct {
	committed, fresh *yaml.Node
	differences      map[string][]string // by component
}

func newDocuments(committed, fresh *yaml.Node) *documents {
	d := &documents{committed: committed, fresh: fresh, differences: map[string][]string{}}
	after := tree.Get(fresh, "components", "schemas")
	for name, schema := range tree.Pairs(tree.Get(committed, "components", "schemas")) {
		if other := tree.Get(after, name); other != nil {
			d.differences[name] = differences(schema, other, "")
		}
	}
	return d
}

// component returns the name of the schema that contains a finding, or "" for a finding in an
// operation.
//
// oasdiff reports the line of the changed value. If a property is a plain reference, its value is
// in another component. A component with a difference in the property that the finding names
// therefore takes precedence over the component at the line.
func (d *documents) component(f finding) string {
	if f.Path == "" || f.placeless() {
		return ""
	}
	name := componentAt(d.fresh, lineOf(f.Revision))
	if name == "" {
		name = componentAt(d.committed, lineOf(f.Base))
	}
	if name == "" {
		return ""
	}
	var differ []string
	for _, quote := range quoted.FindAllString(f.Text, -1) {
		property := "properties/" + strings.Trim(lastName(quote), "`")
		for component, differences := range d.differences {
			if slices.ContainsFunc(differences, func(difference string) bool { return isBelow(difference, property) }) {
				differ = append(differ, component)
			}
		}
	}
	if len(differ) == 0 || slices.Contains(differ, name) {
		return name
	}
	reached := reachedFrom(d.fresh, tree.Get(d.fresh, "paths", f.Path, strings.ToLower(f.Operation)))
	differ = slices.DeleteFunc(differ, func(component string) bool { return !reached[component] })
	if len(differ) == 0 {
		return name
	}
	slices.Sort(differ)
	return strings.Join(slices.Compact(differ), " and ")
}

// isBelow reports whether a difference is at or below a property.
func isBelow(difference, property string) bool {
	place, _, _ := strings.Cut(difference, " ")
	return strings.HasSuffix(place, property) || strings.Contains(place, property+"/")
}

// reachedFrom returns the components that a node refers to, directly or through other components.
func reachedFrom(doc, n *yaml.Node) map[string]bool {
	schemas := tree.Get(doc, "components", "schemas")
	reached := map[string]bool{}
	var reach func(n *yaml.Node)
	reach = func(n *yaml.Node) {
		tree.Walk(n, "", func(_ string, n *yaml.Node) {
			if name, ok := strings.CutPrefix(n.Value, tree.SchemaPrefix); ok && !reached[name] {
				reached[name] = true
				reach(tree.Get(schemas, name))
			}
		})
	}
	reach(n)
	return reached
}

func componentAt(doc *yaml.Node, line int) string {
	schemas := tree.Get(doc, "components", "schemas")
	found := ""
	for i := 0; schemas != nil && i < len(schemas.Content); i += 2 {
		if schemas.Content[i].Line <= line {
			found = schemas.Content[i].Value
		}
	}
	return found
}
