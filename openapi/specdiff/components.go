package main

import (
	"fmt"
	"slices"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/openapi/internal/tree"
)

// renames returns the new names of renamed components by old name. A removed and an added component
// with the same content are one renamed component.
func renames(committed, fresh *yaml.Node) map[string]string {
	before, after := tree.Get(committed, "components", "schemas"), tree.Get(fresh, "components", "schemas")
	renamed := map[string]string{}
	taken := map[string]bool{}
	for name, schema := range tree.Pairs(before) {
		for other, candidate := range tree.Pairs(after) {
			if tree.Get(after, name) == nil && tree.Get(before, other) == nil && !taken[other] && len(differences(schema, candidate, "")) == 0 {
				renamed[name] = other
				taken[other] = true
				break
			}
		}
	}
	return renamed
}

// restoreNames restores the committed names of renamed components. Otherwise oasdiff would report
// the new name in each union, although a rename does not change the HTTP messages.
func restoreNames(fresh *yaml.Node, renamed map[string]string) {
	old := map[string]string{}
	for before, after := range renamed {
		old[after] = before
	}
	schemas := tree.Get(fresh, "components", "schemas")
	for i := 0; schemas != nil && i < len(schemas.Content); i += 2 {
		if name, ok := old[schemas.Content[i].Value]; ok {
			schemas.Content[i].Value = name
		}
	}
	tree.RenameReferences(fresh, old)
}

// compareComponents returns the added, removed and renamed components. These changes do not affect
// HTTP messages, but the name of a component is the name of a Go type.
func compareComponents(committed, fresh *yaml.Node, renamed map[string]string) []change {
	before, after := tree.Get(committed, "components", "schemas"), tree.Get(fresh, "components", "schemas")
	var changes []change
	for name := range tree.Pairs(before) {
		if to := renamed[name]; to != "" {
			changes = append(changes, change{true, "component " + name, "renamed to " + to})
		} else if tree.Get(after, name) == nil {
			changes = append(changes, change{true, "component " + name, "removed"})
		}
	}
	for name := range tree.Pairs(after) {
		if tree.Get(before, name) == nil {
			changes = append(changes, change{false, "component " + name, "added"})
		}
	}
	return changes
}

// uncovered returns the differences in components and operations without an oasdiff finding: oasdiff
// does not have a rule for such a keyword. Because the effect is unknown, they count as breaking.
func uncovered(findings []finding, docs *documents) []change {
	committed, fresh := docs.committed, docs.fresh
	covered := map[string]bool{}
	var properties []string // the properties of findings without a place
	for _, f := range findings {
		for name := range strings.SplitSeq(docs.component(f), " and ") {
			covered[name] = true
		}
		covered[strings.ToLower(f.Operation)+" "+f.Path] = true
		if f.placeless() {
			for _, name := range quoted.FindAllString(f.Text, -1) {
				properties = append(properties, "properties/"+strings.Trim(lastName(name), "`")+"/")
			}
		}
	}
	var changes []change
	add := func(name, where string, a, b *yaml.Node) {
		if covered[name] {
			return
		}
		for _, difference := range differences(a, b, "") {
			if !slices.ContainsFunc(properties, func(p string) bool { return strings.HasPrefix(difference, p) }) {
				changes = append(changes, change{true, where, difference})
			}
		}
	}
	for name, schema := range tree.Pairs(tree.Get(committed, "components", "schemas")) {
		if other := tree.Get(fresh, "components", "schemas", name); other != nil {
			add(name, "component "+name, schema, other)
		}
	}
	for path, item := range tree.Pairs(tree.Get(committed, "paths")) {
		for method, op := range tree.Pairs(item) {
			if other := tree.Get(fresh, "paths", path, method); other != nil {
				add(method+" "+path, strings.ToUpper(method)+" "+path, op, other)
			}
		}
	}
	if a, b := tree.Get(committed, "servers"), tree.Get(fresh, "servers"); a != b {
		add("servers", "servers of the document", a, b)
	}
	return changes
}

// differences returns the differences of two nodes as data. It ignores prose, extensions, and the
// order of keys and lists.
func differences(a, b *yaml.Node, path string) []string {
	if a == nil || b == nil || a.Kind != b.Kind || a.Kind == yaml.ScalarNode {
		if a != nil && b != nil && a.Value == b.Value && a.Kind == b.Kind && a.ShortTag() == b.ShortTag() {
			return nil
		}
		return []string{strings.TrimLeft(fmt.Sprintf("%s changed from %s to %s", path, brief(a), brief(b)), "/ ")}
	}
	var found []string
	if a.Kind == yaml.SequenceNode {
		left, right := sorted(a), sorted(b)
		for i := range max(len(left), len(right)) {
			found = append(found, differences(at(left, i), at(right, i), path)...)
		}
		return found
	}
	names := tree.Keys(a)
	for _, name := range tree.Keys(b) {
		if !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	for _, name := range names {
		if isIgnored(path, name) {
			continue
		}
		found = append(found, differences(tree.Get(a, name), tree.Get(b, name), path+"/"+name)...)
	}
	return found
}

// isIgnored reports whether a key is prose, an extension or a name from the overlay, and not the name
// of a property.
func isIgnored(path, name string) bool {
	if strings.HasSuffix(path, "/properties") {
		return false
	}
	return strings.HasPrefix(name, "x-") ||
		slices.Contains([]string{"description", "summary", "title", "example", "examples", "externalDocs", "operationId", "tags"}, name)
}

func at(list []*yaml.Node, i int) *yaml.Node {
	if i < len(list) {
		return list[i]
	}
	return nil
}

// sorted returns the elements of a list, sorted by their text.
func sorted(n *yaml.Node) []*yaml.Node {
	list := slices.Clone(n.Content)
	slices.SortStableFunc(list, func(a, b *yaml.Node) int { return strings.Compare(brief(a), brief(b)) })
	return list
}

// brief returns a node in one line.
func brief(n *yaml.Node) string {
	if n == nil {
		return "absent"
	}
	if n.Kind == yaml.ScalarNode {
		return n.Value
	}
	content, err := yaml.Marshal(n)
	if err != nil {
		return "?"
	}
	return strings.Join(strings.Fields(string(content)), " ")
}
