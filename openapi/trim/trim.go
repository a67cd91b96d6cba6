package main

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/speakeasy-api/openapi/overlay"
	"gopkg.in/yaml.v3"
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
		{"dropping upstream prose", func(doc *yaml.Node) error { dropProse(doc, false); return nil }},
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
	sortPairs(get(doc, "components", "schemas"), func(name string, _ *yaml.Node) string { return name })
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
	if file.Kind != yaml.DocumentNode || !strings.HasPrefix(text(get(file.Content[0], "openapi")), "3.1.") {
		return nil, errors.New("the upstream document is not OpenAPI 3.1")
	}
	doc := file.Content[0]
	if get(doc, "components", "schemas") == nil {
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
	walk(doc, "", func(pointer string, n *yaml.Node) {
		if n.Kind == yaml.AliasNode {
			errs = append(errs, fmt.Errorf("%s is the YAML alias *%s: write it out", pointer, n.Value))
		}
	})
	return errors.Join(errs...)
}

// selectOperations keeps what carries one of our tags. Paths are not matched by
// name, so an operation that upstream adds to the group is not missed.
func selectOperations(doc *yaml.Node) error {
	filter(doc, func(key string, _ *yaml.Node) bool {
		return slices.Contains([]string{"openapi", "info", "jsonSchemaDialect", "servers", "security", "tags", "paths", "components"}, key)
	})
	filter(get(doc, "paths"), func(_ string, item *yaml.Node) bool {
		filter(item, func(key string, op *yaml.Node) bool {
			if !isMethod(key) {
				return true // what belongs to the whole path, for check to judge
			}
			return tagOf(op) != ""
		})
		return slices.ContainsFunc(keys(item), isMethod)
	})
	for _, tag := range tags {
		found := false
		walk(get(doc, "paths"), "", func(_ string, n *yaml.Node) { found = found || n.Value == tag })
		if !found {
			return fmt.Errorf("no operation is tagged %q: upstream must have renamed the tag", tag)
		}
	}
	var names []*yaml.Node
	for _, tag := range tags {
		names = append(names, &yaml.Node{Kind: yaml.MappingNode, Tag: "!!map", Content: []*yaml.Node{scalar("name"), scalar(tag)}})
	}
	set(doc, "tags", &yaml.Node{Kind: yaml.SequenceNode, Tag: "!!seq", Content: names})
	return nil
}

// tagOf returns the tag of ours that an operation has.
func tagOf(op *yaml.Node) string {
	for _, tag := range elements(value(op, "tags")) {
		if slices.Contains(tags, tag.Value) {
			return tag.Value
		}
	}
	return ""
}

// linkPages points each operation to the vendor's page about it. The fragment is the id that
// the operation has upstream; the overlay gives it another one.
func linkPages(doc *yaml.Node) error {
	for _, item := range pairs(get(doc, "paths")) {
		for method, op := range pairs(item) {
			if isMethod(method) {
				page := "https://docs.mistral.ai/api/endpoint/" + strings.ReplaceAll(tagOf(op), ".", "/") + "#operation-" + text(value(op, "operationId"))
				set(op, "externalDocs", mapping("url", page))
			}
		}
	}
	return nil
}

func isMethod(key string) bool {
	return slices.Contains([]string{"get", "put", "post", "delete", "options", "head", "patch", "trace"}, key)
}

// namesBelow are the keywords whose members are named by the author of the
// document: a property may well be called "description".
var namesBelow = []string{"properties", "patternProperties", "$defs", "schemas", "securitySchemes", "paths", "responses", "content", "mapping", "headers"}

// dataBelow are the keywords whose value is data, not schema.
var dataBelow = []string{"default", "const", "enum", "examples", "example"}

// isProse reports whether a keyword is for people to read.
func isProse(key string) bool {
	return slices.Contains([]string{"description", "summary", "title", "example", "examples", "externalDocs"}, key)
}

// dropProse removes what is for people to read, and the vendor's extensions: what they say
// is for other generators.
func dropProse(n *yaml.Node, names bool) {
	keywords(n, names, func(schema *yaml.Node) {
		filter(schema, func(key string, _ *yaml.Node) bool { return !isProse(key) && !strings.HasPrefix(key, "x-") })
	})
}

// keywords visits each mapping whose keys are keywords of OpenAPI: neither names nor data.
func keywords(n *yaml.Node, names bool, visit func(*yaml.Node)) {
	if n.Kind == yaml.MappingNode && !names {
		visit(n)
	}
	for _, v := range elements(n) {
		keywords(v, false, visit)
	}
	for key, v := range pairs(n) {
		if names || !slices.Contains(dataBelow, key) {
			keywords(v, !names && slices.Contains(namesBelow, key), visit)
		}
	}
}

// prune removes the schemas and security schemes that nothing refers to. A Go
// type named by x-go-type counts as a reference: that is how the narrow unions
// of upstream point at the shared ones.
func prune(doc *yaml.Node) error {
	schemas := get(doc, "components", "schemas")
	reached := map[string]bool{}
	var missing error
	var reach func(n *yaml.Node)
	add := func(name, pointer string) {
		if reached[name] {
			return
		}
		reached[name] = true
		schema := value(schemas, name)
		if schema == nil {
			missing = errors.Join(missing, fmt.Errorf("%s refers to the schema %q, which does not exist", pointer, name))
			return
		}
		reach(schema)
	}
	reach = func(n *yaml.Node) {
		walk(n, "", func(pointer string, n *yaml.Node) {
			if name, ok := referenced(n); ok {
				add(name, pointer)
			} else if ref := value(n, "$ref"); ref != nil && ref.Kind == yaml.ScalarNode {
				missing = errors.Join(missing, fmt.Errorf("%s refers to %q, which is not a component schema", pointer, ref.Value))
			}
			for _, target := range pairs(value(n, "mapping")) {
				if name, ok := strings.CutPrefix(target.Value, schemaPrefix); ok {
					add(name, pointer+"/mapping")
				}
			}
			if goType := strings.TrimPrefix(text(value(n, "x-go-type")), "[]"); value(schemas, goType) != nil {
				add(goType, pointer)
			}
		})
	}
	reach(get(doc, "paths"))
	if missing != nil {
		return missing
	}
	filter(schemas, func(name string, _ *yaml.Node) bool {
		return reached[name]
	})
	filter(get(doc, "components"), func(key string, _ *yaml.Node) bool { return key == "schemas" || key == "securitySchemes" })
	filter(get(doc, "components", "securitySchemes"), func(name string, _ *yaml.Node) bool {
		return slices.ContainsFunc(elements(get(doc, "security")), func(r *yaml.Node) bool { return value(r, name) != nil })
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
	walk(doc, "", func(pointer string, _ *yaml.Node) { existed[pointer] = true })
	warnings, err := o.ApplyToStrict(doc)
	if err != nil {
		return err
	}
	if len(warnings) > 0 {
		return errors.New(strings.Join(warnings, "\n"))
	}
	var errs []error
	walk(doc, "", func(pointer string, n *yaml.Node) {
		if !existed[pointer] && onlyDescribed(n) {
			errs = append(errs, fmt.Errorf("the overlay describes %s, which upstream does not have", pointer))
		}
	})
	return errors.Join(errs...)
}

// onlyDescribed reports whether a mapping has nothing but what describes a thing.
func onlyDescribed(n *yaml.Node) bool {
	names := keys(n)
	return len(names) > 0 && !slices.ContainsFunc(names, func(key string) bool {
		return key != "summary" && key != "description" && !strings.HasPrefix(key, "x-")
	})
}

// renameSchemas carries out the overlay's x-rename: an overlay cannot rename a
// key together with the references to it. It returns the old names by the new ones.
func renameSchemas(doc *yaml.Node) (old map[string]string, err error) {
	old = map[string]string{}
	schemas := get(doc, "components", "schemas")
	names := map[string]string{}
	for i := 0; i < len(schemas.Content); i += 2 {
		key, schema := schemas.Content[i], schemas.Content[i+1]
		to := text(value(schema, "x-rename"))
		if to == "" {
			continue
		}
		if value(schemas, to) != nil {
			return nil, fmt.Errorf("%s cannot be renamed to %s: there is one already", key.Value, to)
		}
		names[key.Value], old[to] = to, key.Value
		key.Value = to
		filter(schema, func(key string, _ *yaml.Node) bool { return key != "x-rename" })
	}
	walk(doc, "", func(_ string, n *yaml.Node) {
		if name, ok := strings.CutPrefix(n.Value, schemaPrefix); ok && names[name] != "" {
			n.Value = schemaPrefix + names[name]
		}
	})
	return old, nil
}

// leading are the keys that a reader looks for first.
var leading = []string{"operationId", "name", "in", "title", "summary", "description"}

// tidy gives the document one form, whether a line came from upstream or from
// the overlay. A key leads only where its value is a scalar: elsewhere it is the
// name of a property.
func tidy(doc *yaml.Node) {
	walk(doc, "", func(_ string, n *yaml.Node) {
		n.Style &^= yaml.FlowStyle
		if n.Kind != yaml.MappingNode {
			return
		}
		sortPairs(n, func(key string, v *yaml.Node) int {
			if i := slices.Index(leading, key); i >= 0 && v.Kind == yaml.ScalarNode {
				return i
			}
			return len(leading)
		})
		for _, key := range []string{"summary", "description"} {
			if prose := value(n, key); prose != nil && prose.Kind == yaml.ScalarNode {
				prose.Style = 0
			}
		}
	})
}
