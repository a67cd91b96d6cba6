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

// restoreParameters restores the committed names of the path parameters in fresh and returns the
// renamed ones. A client does not send the name of a path parameter, but oasdiff would report the
// new name as a removed and an added path.
func restoreParameters(committed, fresh *yaml.Node) []change {
	before, after := tree.Get(committed, "paths"), tree.Get(fresh, "paths")
	old := map[string]string{} // the committed paths, by path with "{}" for each parameter
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
			text := fmt.Sprintf("renamed the path parameter `%s` to `%s`", strings.Trim(was[j], "{}"), strings.Trim(is[j], "{}"))
			if !slices.Contains(order, text) {
				order = append(order, text)
			}
			for method := range tree.Pairs(item) {
				if tree.IsMethod(method) {
					places[text] = append(places[text], strings.ToUpper(method)+" "+committedPath)
				}
			}
		}
	}
	changes := make([]change, 0, len(order))
	for _, text := range order {
		changes = append(changes, change{false, place(places[text]), text})
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

// compareSecurity returns the changes of the ways to authenticate. A client must meet one of the
// document's security requirements.
func compareSecurity(committed, fresh *yaml.Node) []change {
	before, after := requirements(committed), requirements(fresh)
	var changes []change
	where := "security of the document"
	for _, way := range before {
		if !slices.Contains(after, way) {
			changes = append(changes, change{true, where, "removed " + way})
		}
	}
	for _, way := range after {
		if !slices.Contains(before, way) {
			changes = append(changes, change{false, where, "added " + way})
		}
	}
	if len(before) == 0 && len(after) > 0 {
		changes = []change{{true, where, "now requires " + strings.Join(after, " or ")}}
	}
	return changes
}

// requirements returns the ways to authenticate as texts.
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
