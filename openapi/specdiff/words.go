package main

import (
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/openapi/internal/tree"
)

// wording says what the vendor words differently in a place that both documents have. The
// kept part has fingerprints in place of the words, and so has upstream if it is one.
func wording(kept, upstream *yaml.Node) []string {
	inPlace := tree.Fingerprint
	if tree.Get(upstream, "info", "x-upstream") != nil {
		inPlace = tree.Text
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
			if words := tree.Get(n, key); words != nil {
				is = inPlace(words)
			}
			switch {
			case was == is:
			case was == "":
				changes = append(changes, readable(path)+": a new "+key)
			case is == "":
				changes = append(changes, readable(path)+": no "+key+" any more")
			default:
				changes = append(changes, readable(path)+": another "+key)
			}
		}
	})
	return changes
}

// readable names a place as people do: by its operation, or by its component and property.
func readable(path []string) string {
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
		between := " "
		if rest[i] == "properties" && i+1 < len(rest) {
			between = "."
			i++
		}
		name.WriteString(between + rest[i])
	}
	return name.String()
}
