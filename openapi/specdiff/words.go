package main

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// namesBelow and dataBelow are the keywords with names and with data below them, as in
// openapi/trim.
var (
	namesBelow = []string{"properties", "patternProperties", "$defs", "schemas", "securitySchemes", "paths", "responses", "content", "mapping", "headers"}
	dataBelow  = []string{"default", "const", "enum", "examples", "example"}
)

// keywords visits each mapping whose keys are keywords of OpenAPI: neither names nor data.
func keywords(n *yaml.Node, path []string, names bool, visit func(path []string, n *yaml.Node)) {
	if n != nil && n.Kind == yaml.MappingNode && !names {
		visit(path, n)
	}
	for i, v := range elements(n) {
		key := strconv.Itoa(i)
		if name := text(get(v, "name")); name != "" { // of a parameter
			key = name
		}
		keywords(v, append(slices.Clone(path), key), false, visit)
	}
	for key, v := range pairs(n) {
		if names || !slices.Contains(dataBelow, key) {
			keywords(v, append(slices.Clone(path), key), !names && slices.Contains(namesBelow, key), visit)
		}
	}
}

func isProse(key string) bool {
	return slices.Contains([]string{"description", "summary", "title", "example", "examples", "externalDocs"}, key)
}

// dropProse removes what is for people to read and the vendor's extensions.
func dropProse(doc *yaml.Node) {
	keywords(doc, nil, false, func(_ []string, n *yaml.Node) {
		filter(n, func(key string, _ *yaml.Node) bool { return !isProse(key) && !strings.HasPrefix(key, "x-") })
	})
}

// wording says what the vendor words differently in a place that both documents have. The
// kept part has fingerprints in place of the words, and so has upstream if it is one.
func wording(kept, upstream *yaml.Node) []string {
	inPlace := fingerprint
	if get(upstream, "info", "x-upstream") != nil {
		inPlace = text
	}
	before := map[string]*yaml.Node{}
	keywords(kept, nil, false, func(path []string, n *yaml.Node) { before[strings.Join(path, "\n")] = n })
	var changes []string
	keywords(upstream, nil, false, func(path []string, n *yaml.Node) {
		old := before[strings.Join(path, "\n")]
		if old == nil {
			return
		}
		for _, key := range []string{"summary", "title", "description", "example", "examples", "externalDocs"} {
			was, is := text(get(old, key)), ""
			if words := get(n, key); words != nil {
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

// fingerprint is the beginning of the SHA-256 of a value, as openapi/trim writes it.
func fingerprint(n *yaml.Node) string {
	content, err := yaml.Marshal(n)
	if err != nil {
		return "unreadable"
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:6])
}
