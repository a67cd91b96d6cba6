package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/openapi/internal/tree"
)

// breakingLevel is oasdiff's level of what may break a client; the level above
// it, of what does, counts as well.
const breakingLevel = 2

var quoted = regexp.MustCompile("`[^`]*`")

// merge makes one change of all findings that say the same of one place of the
// documents. A schema is one place, however many operations lead to it.
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
		c := change{breaking: g.Level >= breakingLevel, where: place(g.operations), what: g.Text}
		if g.component != "" {
			c.what += " (" + g.component + ")"
		}
		changes = append(changes, c)
	}
	return changes
}

// place names the operations that a change shows in.
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

// memberPath is the way to a property through a named member of a union.
var memberPath = regexp.MustCompile("`[^`]*\\[#/components/schemas/[^\\]]*\\]/")

// relative cuts the way to a component off the names in a finding's text, as the
// component is named beside it.
func relative(text string) string {
	text = memberPath.ReplaceAllString(text, "`")
	return strings.ReplaceAll(text, tree.SchemaPrefix, "")
}

func lastName(name string) string {
	return "`" + strings.TrimPrefix(name[strings.LastIndex(name, "/")+1:], "`")
}

// placeless reports whether oasdiff does not say where a finding stands, as it
// does with null among the types.
func (f finding) placeless() bool { return f.Base == nil && f.Revision == nil }

func lineOf(s *source) int {
	if s == nil {
		return 0
	}
	return s.Line
}
