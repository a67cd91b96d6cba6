package main

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/speakeasy-api/openapi/overlay"
	"gopkg.in/yaml.v3"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/openapi/internal/tree"
)

// tags names the two groups of operations this module covers.
var tags = []string{"beta.conversations", "beta.agents"}

// A result is what Trim makes of a vendor's document.
type result struct {
	origin   origin
	kept     []byte // the part that is used, as it is before the overlay: see keep
	document []byte // the document for the generator
}

// Trim makes the committed document out of Mistral's full one and the overlay, for the Go
// package that it is generated into. The date is that of the vendor's document; a kept part
// has its own.
func Trim(upstream, overlayText []byte, into *goPackage, date string) (*result, error) {
	doc, err := parse(upstream)
	if err != nil {
		return nil, err
	}
	r := &result{origin: originOf(doc, upstream, date)}
	var renamed map[string]string

	steps := []struct {
		name string
		do   func(*yaml.Node) error
	}{
		{"selecting operations", selectOperations},
		{"keeping what is used", func(doc *yaml.Node) (err error) { r.kept, err = keep(doc, r.origin); return err }},
		{"dropping upstream prose", func(doc *yaml.Node) error { tree.DropProse(doc); return nil }},
		{"linking the vendor's pages", linkPages},
		{"folding #stream paths", foldStreams},
		{"removing unreachable components", prune},
		{"applying the overlay", func(doc *yaml.Node) error { return applyOverlay(doc, overlayText) }},
		{"renaming schemas", func(doc *yaml.Node) (err error) { renamed, err = renameSchemas(doc); return err }},
		{"naming shared unions", nameUnions},
		{"removing unreachable components", prune},
		{"checking the result", func(doc *yaml.Node) error { return check(doc, into, renamed) }},
	}
	for _, step := range steps {
		if err := step.do(doc); err != nil {
			return nil, fmt.Errorf("%s: %w", step.name, err)
		}
	}

	r.origin.writeTo(doc)
	tree.SortPairs(tree.Get(doc, "components", "schemas"), func(name string, _ *yaml.Node) string { return name })
	tidy(doc)
	doc.HeadComment = "# Made by openapi/trim from Mistral's OpenAPI document and overlay.yaml. Do not edit."
	r.document, err = encode(doc)
	return r, err
}

// parse reads a vendor's document and returns its root.
func parse(upstream []byte) (*yaml.Node, error) {
	var file yaml.Node
	if err := yaml.Unmarshal(upstream, &file); err != nil {
		return nil, fmt.Errorf("reading the upstream document: %w", err)
	}
	if file.Kind != yaml.DocumentNode || !strings.HasPrefix(tree.Text(tree.Get(file.Content[0], "openapi")), "3.1.") {
		return nil, errors.New("the upstream document is not OpenAPI 3.1")
	}
	doc := file.Content[0]
	if tree.Get(doc, "components", "schemas") == nil {
		return nil, errors.New("the upstream document has no components.schemas")
	}
	doc.Content[0].HeadComment = "" // of the file, which the result replaces
	return doc, refuseAliases(doc)
}

func encode(doc *yaml.Node) ([]byte, error) {
	var out bytes.Buffer
	enc := yaml.NewEncoder(&out)
	enc.SetIndent(2)
	if err := enc.Encode(doc); err != nil {
		return nil, err
	}
	return out.Bytes(), enc.Close()
}

// refuseAliases refuses YAML's own references: everything here takes a node for
// what it is, and would overlook one that merely points elsewhere.
func refuseAliases(doc *yaml.Node) error {
	var errs []error
	tree.Walk(doc, "", func(pointer string, n *yaml.Node) {
		if n.Kind == yaml.AliasNode {
			errs = append(errs, fmt.Errorf("%s is the YAML alias *%s: write it out", pointer, n.Value))
		}
	})
	return errors.Join(errs...)
}

// selectOperations keeps what carries one of our tags. Paths are not matched by
// name, so an operation that upstream adds to the group is not missed.
func selectOperations(doc *yaml.Node) error {
	tree.Filter(doc, func(key string, _ *yaml.Node) bool {
		return slices.Contains([]string{"openapi", "info", "jsonSchemaDialect", "servers", "security", "tags", "paths", "components"}, key)
	})
	tree.Filter(tree.Get(doc, "paths"), func(_ string, item *yaml.Node) bool {
		tree.Filter(item, func(key string, op *yaml.Node) bool {
			if !tree.IsMethod(key) {
				return true // what belongs to the whole path, for check to judge
			}
			return tagOf(op) != ""
		})
		return slices.ContainsFunc(tree.Keys(item), tree.IsMethod)
	})
	for _, tag := range tags {
		found := false
		tree.Walk(tree.Get(doc, "paths"), "", func(_ string, n *yaml.Node) { found = found || n.Value == tag })
		if !found {
			return fmt.Errorf("no operation is tagged %q: upstream must have renamed the tag", tag)
		}
	}
	var names []*yaml.Node
	for _, tag := range tags {
		names = append(names, &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{tree.Scalar("name"), tree.Scalar(tag)}})
	}
	tree.Set(doc, "tags", &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Content: names})
	return nil
}

// tagOf returns the tag of ours that an operation has.
func tagOf(op *yaml.Node) string {
	for _, tag := range tree.Elements(tree.Value(op, "tags")) {
		if slices.Contains(tags, tag.Value) {
			return tag.Value
		}
	}
	return ""
}

// linkPages points each operation to the vendor's page about it. The fragment is the id that
// the operation has upstream; the overlay gives it another one.
func linkPages(doc *yaml.Node) error {
	for _, item := range tree.Pairs(tree.Get(doc, "paths")) {
		for method, op := range tree.Pairs(item) {
			if tree.IsMethod(method) {
				page := "https://docs.mistral.ai/api/endpoint/" + strings.ReplaceAll(tagOf(op), ".", "/") + "#operation-" + tree.Text(tree.Value(op, "operationId"))
				tree.Set(op, "externalDocs", tree.Mapping("url", page))
			}
		}
	}
	return nil
}

// prune removes the schemas and security schemes that nothing refers to. A Go
// type named by x-go-type counts as a reference: that is how the narrow unions
// of upstream point at the shared ones.
func prune(doc *yaml.Node) error {
	schemas := tree.Get(doc, "components", "schemas")
	reached := map[string]bool{}
	var missing error
	var reach func(n *yaml.Node)
	add := func(name, pointer string) {
		if reached[name] {
			return
		}
		reached[name] = true
		schema := tree.Value(schemas, name)
		if schema == nil {
			missing = errors.Join(missing, fmt.Errorf("%s refers to the schema %q, which does not exist", pointer, name))
			return
		}
		reach(schema)
	}
	reach = func(n *yaml.Node) {
		tree.Walk(n, "", func(pointer string, n *yaml.Node) {
			if name, ok := tree.Referenced(n); ok {
				add(name, pointer)
			} else if ref := tree.Value(n, "$ref"); ref != nil && ref.Kind == yaml.ScalarNode {
				missing = errors.Join(missing, fmt.Errorf("%s refers to %q, which is not a component schema", pointer, ref.Value))
			}
			for _, target := range tree.Pairs(tree.Value(n, "mapping")) {
				if name, ok := strings.CutPrefix(target.Value, tree.SchemaPrefix); ok {
					add(name, pointer+"/mapping")
				}
			}
			if goType := strings.TrimPrefix(tree.Text(tree.Value(n, "x-go-type")), "[]"); tree.Value(schemas, goType) != nil {
				add(goType, pointer)
			}
		})
	}
	reach(tree.Get(doc, "paths"))
	if missing != nil {
		return missing
	}
	tree.Filter(schemas, func(name string, _ *yaml.Node) bool {
		return reached[name]
	})
	tree.Filter(tree.Get(doc, "components"), func(key string, _ *yaml.Node) bool { return key == "schemas" || key == "securitySchemes" })
	tree.Filter(tree.Get(doc, "components", "securitySchemes"), func(name string, _ *yaml.Node) bool {
		return slices.ContainsFunc(tree.Elements(tree.Get(doc, "security")), func(r *yaml.Node) bool { return tree.Value(r, name) != nil })
	})
	return nil
}

// applyOverlay demands that every action finds its target and changes it, and
// that what the overlay describes exists: an update of a property that upstream
// has dropped would bring back an empty one.
func applyOverlay(doc *yaml.Node, overlayText []byte) error {
	o, err := overlay.ParseReader(bytes.NewReader(overlayText))
	if err != nil {
		return err
	}
	if err := o.Validate(); err != nil {
		return err
	}
	existed := map[string]bool{}
	tree.Walk(doc, "", func(pointer string, _ *yaml.Node) { existed[pointer] = true })
	warnings, err := o.ApplyToStrict(doc)
	if err != nil {
		return err
	}
	if len(warnings) > 0 {
		return errors.New(strings.Join(warnings, "\n"))
	}
	var errs []error
	tree.Walk(doc, "", func(pointer string, n *yaml.Node) {
		if !existed[pointer] && tree.OnlyDescribed(n) {
			errs = append(errs, fmt.Errorf("the overlay describes %s, which upstream does not have", pointer))
		}
	})
	return errors.Join(errs...)
}

// renameSchemas carries out the overlay's x-rename: an overlay cannot rename a
// key together with the references to it. It returns the old names by the new ones.
func renameSchemas(doc *yaml.Node) (old map[string]string, err error) {
	old = map[string]string{}
	schemas := tree.Get(doc, "components", "schemas")
	names := map[string]string{}
	for i := 0; i < len(schemas.Content); i += 2 {
		key, schema := schemas.Content[i], schemas.Content[i+1]
		to := tree.Text(tree.Value(schema, "x-rename"))
		if to == "" {
			continue
		}
		if tree.Value(schemas, to) != nil {
			return nil, fmt.Errorf("%s cannot be renamed to %s: there is one already", key.Value, to)
		}
		names[key.Value], old[to] = to, key.Value
		key.Value = to
		tree.Filter(schema, func(key string, _ *yaml.Node) bool { return key != "x-rename" })
	}
	tree.RenameReferences(doc, names)
	return old, nil
}

// leading are the keys that a reader looks for first.
var leading = []string{"operationId", "name", "in", "title", "summary", "description"}

// tidy gives the document one form, whether a line came from upstream or from
// the overlay. A key leads only where its value is a scalar: elsewhere it is the
// name of a property.
func tidy(doc *yaml.Node) {
	tree.Walk(doc, "", func(_ string, n *yaml.Node) {
		n.Style &^= yaml.FlowStyle
		if n.Kind != yaml.MappingNode {
			return
		}
		tree.SortPairs(n, func(key string, v *yaml.Node) int {
			if i := slices.Index(leading, key); i >= 0 && v.Kind == yaml.ScalarNode {
				return i
			}
			return len(leading)
		})
		for _, key := range []string{"summary", "description"} {
			if prose := tree.Value(n, key); prose != nil && prose.Kind == yaml.ScalarNode {
				prose.Style = 0
			}
		}
	})
}
