package main

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/openapi/internal/tree"
)

var pathParameter = regexp.MustCompile(`\{[^}]*\}`)

// restoreParameters gives the path parameters of fresh the names that they have in the
// committed document, and says which have another name. The name of a path parameter is
// never sent, so its change would show as two paths where there is one.
func restoreParameters(committed, fresh *yaml.Node) []change {
	before, after := tree.Get(committed, "paths"), tree.Get(fresh, "paths")
	old := map[string]string{} // committed paths by their form
	for path := range tree.Pairs(before) {
		if tree.Get(after, path) == nil {
			old[pathParameter.ReplaceAllString(path, "{}")] = path
		}
	}
	places := map[string][]string{}
	var order []string
	for i := 0; after != nil && i < len(after.Content); i += 2 {
		path, item := after.Content[i].Value, after.Content[i+1]
		committedPath := old[pathParameter.ReplaceAllString(path, "{}")]
		if committedPath == "" || tree.Get(before, path) != nil {
			continue
		}
		after.Content[i].Value = committedPath
		was, is := pathParameter.FindAllString(committedPath, -1), pathParameter.FindAllString(path, -1)
		for j := range is {
			if was[j] == is[j] {
				continue
			}
			renameParameter(item, strings.Trim(is[j], "{}"), strings.Trim(was[j], "{}"))
			what := fmt.Sprintf("the path parameter `%s` is now called `%s`", strings.Trim(was[j], "{}"), strings.Trim(is[j], "{}"))
			if !slices.Contains(order, what) {
				order = append(order, what)
			}
			for method := range tree.Pairs(item) {
				if tree.IsMethod(method) {
					places[what] = append(places[what], strings.ToUpper(method)+" "+committedPath)
				}
			}
		}
	}
	changes := make([]change, 0, len(order))
	for _, what := range order {
		changes = append(changes, change{false, place(places[what]), what})
	}
	return changes
}

func renameParameter(item *yaml.Node, from, to string) {
	tree.Walk(item, "", func(_ string, n *yaml.Node) {
		if name := tree.Get(n, "name"); tree.Text(name) == from && tree.Text(tree.Get(n, "in")) == "path" {
			name.Value = to
		}
	})
}

// compareSecurity says how the ways to authenticate have changed. Each requirement of the
// document's list suffices.
func compareSecurity(committed, fresh *yaml.Node) []change {
	before, after := requirements(committed), requirements(fresh)
	var changes []change
	where := "security of the document"
	for _, way := range before {
		if !slices.Contains(after, way) {
			changes = append(changes, change{true, where, way + " is not accepted any more"})
		}
	}
	for _, way := range after {
		if !slices.Contains(before, way) {
			changes = append(changes, change{false, where, way + " is accepted now"})
		}
	}
	if len(before) == 0 && len(after) > 0 {
		changes = []change{{true, where, strings.Join(after, " or ") + " is required"}}
	}
	return changes
}

// requirements names the ways to authenticate.
func requirements(doc *yaml.Node) []string {
	security := tree.Elements(tree.Get(doc, "security"))
	all := make([]string, 0, len(security))
	for _, requirement := range security {
		var schemes []string
		for name, scopes := range tree.Pairs(requirement) {
			scheme := tree.Get(doc, "components", "securitySchemes", name)
			kind := []string{tree.Text(tree.Get(scheme, "type")), tree.Text(tree.Get(scheme, "scheme")), tree.Text(tree.Get(scheme, "in")), tree.Text(tree.Get(scheme, "name"))}
			for _, scope := range tree.Elements(scopes) {
				kind = append(kind, scope.Value)
			}
			kind = slices.DeleteFunc(kind, func(word string) bool { return word == "" })
			schemes = append(schemes, fmt.Sprintf("`%s` (%s)", name, strings.Join(kind, " ")))
		}
		way := strings.Join(schemes, " with ")
		if way == "" {
			way = "no authentication"
		}
		all = append(all, way)
	}
	return all
}
