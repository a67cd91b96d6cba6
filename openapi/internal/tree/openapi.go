package tree

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"

	"gopkg.in/yaml.v3"
)

// SchemaPrefix begins each reference to a component schema.
const SchemaPrefix = "#/components/schemas/"

// Reference returns a reference to a component schema.
func Reference(name string) *yaml.Node {
	return &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{
		Scalar("$ref"),
		{Kind: yaml.ScalarNode, Tag: "!!str", Style: yaml.SingleQuotedStyle, Value: SchemaPrefix + name},
	}}
}

// Referenced returns the name of the component schema that a node of the form {$ref: …} refers
// to. It returns false for other nodes.
func Referenced(n *yaml.Node) (string, bool) {
	ref := Value(n, "$ref")
	if ref == nil {
		return "", false
	}
	return strings.CutPrefix(ref.Value, SchemaPrefix)
}

// RenameReferences changes all references to the component schemas in newNames, a map from old
// to new names.
func RenameReferences(doc *yaml.Node, newNames map[string]string) {
	Walk(doc, "", func(_ string, n *yaml.Node) {
		if name, ok := strings.CutPrefix(n.Value, SchemaPrefix); ok && newNames[name] != "" {
			n.Value = SchemaPrefix + newNames[name]
		}
	})
}

// IsMethod reports whether a key of a path item is an HTTP method.
func IsMethod(key string) bool {
	return slices.Contains([]string{"get", "put", "post", "delete", "options", "head", "patch", "trace"}, key)
}

var (
	// nameKeywords are the keywords whose value is a mapping of names, such as property names. A
	// property may have the name "description".
	nameKeywords = []string{"properties", "patternProperties", "$defs", "schemas", "securitySchemes", "paths", "responses", "content", "mapping", "headers"}
	// dataKeywords are the keywords whose value is data and not a schema.
	dataKeywords = []string{"default", "const", "enum", "examples", "example"}
)

// VisitObjects visits each mapping whose keys are OpenAPI keywords: neither names nor data. The
// path consists of the keys from the root; for a parameter, its name replaces the index.
func VisitObjects(doc *yaml.Node, visit func(path []string, n *yaml.Node)) {
	visitObjects(doc, nil, false, visit)
}

func visitObjects(n *yaml.Node, path []string, names bool, visit func(path []string, n *yaml.Node)) {
	if n != nil && n.Kind == yaml.MappingNode && !names {
		visit(path, n)
	}
	for i, v := range Elements(n) {
		key := strconv.Itoa(i)
		if name := Text(Value(v, "name")); name != "" {
			key = name
		}
		visitObjects(v, append(slices.Clone(path), key), false, visit)
	}
	for key, v := range Pairs(n) {
		if names || !slices.Contains(dataKeywords, key) {
			visitObjects(v, append(slices.Clone(path), key), !names && slices.Contains(nameKeywords, key), visit)
		}
	}
}

// IsProse reports whether the value of a keyword is text for people.
func IsProse(key string) bool {
	return slices.Contains([]string{"description", "summary", "title", "example", "examples", "externalDocs"}, key)
}

// DropProse removes the text for people and the vendor's extensions, which are for other
// generators.
func DropProse(doc *yaml.Node) {
	VisitObjects(doc, func(_ []string, n *yaml.Node) {
		Filter(n, func(key string, _ *yaml.Node) bool { return !IsProse(key) && !strings.HasPrefix(key, "x-") })
	})
}

// OnlyDescribed reports whether a mapping contains descriptions and extensions, but nothing else.
func OnlyDescribed(n *yaml.Node) bool {
	names := Keys(n)
	return len(names) > 0 && !slices.ContainsFunc(names, func(key string) bool {
		return key != "summary" && key != "description" && !strings.HasPrefix(key, "x-")
	})
}

// Fingerprint returns the first 12 hexadecimal digits of the SHA-256 of a value. It replaces the
// vendor's prose in upstream.yaml.
func Fingerprint(n *yaml.Node) string {
	content, err := yaml.Marshal(n)
	if err != nil {
		return "unreadable"
	}
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:6])
}
