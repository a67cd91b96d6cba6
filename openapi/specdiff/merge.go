package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/openapi/internal/tree"
)

// breakingLevel is the lowest oasdiff level of breaking changes: level 2 may break a client, and
// level 3 does.
const breakingLevel = 2

var quoted = regexp.MustCompile("`[^`]*`")

// merge combines equal findings about one place of the documents into one change. A schema is one
// place, even if several operations use it.
func merge(findings []finding, docs *documents) []change {
	type group struct {
		finding
		component  string
		operations []string
	}
	groups := map[string]*group{}
	var order []string
	for _, f := range findings {
		f.Text = relative(f.Text)
		key := fmt.Sprint(f.ID, f.Level, lineOf(f.Base), lineOf(f.Revision), quoted.ReplaceAllStringFunc(f.Text, lastName))
		component := docs.component(f)
		if component == "" && !f.placeless() {
			key += f.Operation + f.Path
		}
		g := groups[key]
		if g == nil {
			g = &group{finding: f, component: component}
			groups[key] = g
			order = append(order, key)
		}
		if len(f.Text) < len(g.Text) {
			g.Text = f.Text
		}
		if operation := strings.TrimSpace(f.Operation + " " + f.Path); operation != "" && !slices.Contains(g.operations, operation) {
			g.operations = append(g.operations, operation)
		}
	}
	changes := make([]change, 0, len(order))
	for _, key := range order {
		g := groups[key]
		c := change{breaking: g.Level >= breakingLevel, where: place(g.operations), text: g.Text}
		if g.component != "" {
			c.text += " (" + g.component + ")"
		}
		changes = append(changes, c)
	}
	return changes
}

// place returns a text that names the operations of a change.
func place(operations []string) string {
	slices.SortFunc(operations, func(a, b string) int {
		_, pathA, _ := strings.Cut(a, " ")
		_, pathB, _ := strings.Cut(b, " ")
		return strings.Compare(pathA+" "+a, pathB+" "+b)
	})
	switch len(operations) {
	case 0:
		return "document"
	case 1:
		return operations[0]
	case 2:
		return operations[0] + " and " + operations[1]
	default:
		return fmt.Sprintf("%s and %d more", operations[0], len(operations)-1)
	}
}

// memberPath matches the path to a property through a named member of a union.
var memberPath = regexp.MustCompile("`[^`]*\\[#/components/schemas/[^\\]]*\\]/")

// relative removes the path to a component from the names in a finding's text, because the change
// also names the component.
func relative(text string) string {
	text = memberPath.ReplaceAllString(text, "`")
	return strings.ReplaceAll(text, tree.SchemaPrefix, "")
}

func lastName(name string) string {
	return "`" + strings.TrimPrefix(name[strings.LastIndex(name, "/")+1:], "`")
}

// placeless reports whether a finding does not have a place in the documents, as for changes of
// null types.
func (f finding) placeless() bool { return f.Base == nil && f.Revision == nil }

func lineOf(s *source) int {
	if s == nil {
		return 0
	}
	return s.Line
}
