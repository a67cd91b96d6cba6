package main

import (
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/openapi/internal/tree"
)

// descriptionChanges returns the changes of the vendor's descriptions in places that both
// documents contain. The kept part contains fingerprints instead of descriptions. If upstream is
// a kept part too, it also contains fingerprints.
func descriptionChanges(kept, upstream *yaml.Node) []string {
	fingerprintOf := tree.Fingerprint
	if tree.Get(upstream, "info", "x-upstream") != nil {
		fingerprintOf = tree.Text
	}
	before := map[string]*yaml.Node{}
	tree.VisitObjects(kept, func(path []string, n *yaml.Node) { before[strings.Join(path, "\n")] = n })
	var changes []string
	tree.VisitObjects(upstream, func(path []string, n *yaml.Node) {
		old := before[strings.Join(path, "\n")]
		if old == nil {
			return
		}
		for _, key := range []string{"summary", "title", "description", "example", "examples", "externalDocs"} {
			was, is := tree.Text(tree.Get(old, key)), ""
			if prose := tree.Get(n, key); prose != nil {
				is = fingerprintOf(prose)
			}
			switch {
			case was == is:
			case was == "":
				changes = append(changes, placeName(path)+": new "+key)
			case is == "":
				changes = append(changes, placeName(path)+": removed "+key)
			default:
				changes = append(changes, placeName(path)+": changed "+key)
			}
		}
	})
	return changes
}

// placeName returns a readable name of a place: its operation, or its component and property.
func placeName(path []string) string {
	var name strings.Builder
	var rest []string
	switch {
	case len(path) == 0:
		return "document"
	case path[0] == "paths" && len(path) > 2:
		name.WriteString(strings.ToUpper(path[2]) + " " + path[1])
		rest = path[3:]
	case path[0] == "components" && len(path) > 2:
		name.WriteString(path[2])
		rest = path[3:]
	default:
		name.WriteString(path[0])
		rest = path[1:]
	}
	for i := 0; i < len(rest); i++ {
		separator := " "
		if rest[i] == "properties" && i+1 < len(rest) {
			separator = "."
			i++
		}
		name.WriteString(separator + rest[i])
	}
	return name.String()
}
