package main

import (
	"bytes"
	"slices"
	"strings"

	"github.com/speakeasy-api/openapi/overlay"
	"gopkg.in/yaml.v3"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/openapi/internal/tree"
)

// writeLoose trims the upstream document and ignores the errors of the overlay. The result is only
// for a comparison and not for the generator. For example, an operation may have upstream's name,
// and a union may lack a name. The steps are those of trim, so that the trim itself does not
// cause differences.
func writeLoose(upstream, committed *yaml.Node, overlayText []byte, out string) error {
	listed := tree.Elements(tree.Get(committed, "tags"))
	tags := make([]string, 0, len(listed))
	for _, tag := range listed {
		tags = append(tags, tree.Text(tree.Get(tag, "name")))
	}
	selectTagged(upstream, tags)
	tree.DropProse(upstream)
	mergeStreams(upstream)
	prune(upstream)
	if err := applyLoosely(upstream, overlayText); err != nil {
		return err
	}
	renameSchemas(upstream)
	dropDangling(upstream)
	nameUnions(upstream)
	prune(upstream)
	return writeDocument(out, upstream)
}

// selectTagged keeps the operations that have one of the tags.
func selectTagged(doc *yaml.Node, tags []string) {
	tree.Filter(tree.Get(doc, "paths"), func(_ string, item *yaml.Node) bool {
		tree.Filter(item, func(key string, op *yaml.Node) bool {
			return !tree.IsMethod(key) || slices.ContainsFunc(tree.Elements(tree.Get(op, "tags")), func(t *yaml.Node) bool { return slices.Contains(tags, t.Value) })
		})
		return slices.ContainsFunc(tree.Keys(item), tree.IsMethod)
	})
}

// mergeStreams merges each path "P#stream" into "P". The merged request has the schema that both
// extend, and the events become a second media type of the response. A path without a plain path
// remains, and the report lists it as added.
func mergeStreams(doc *yaml.Node) {
	paths := tree.Get(doc, "paths")
	tree.Filter(paths, func(path string, item *yaml.Node) bool {
		plain, _, found := strings.Cut(path, "#stream")
		merged := found
		for method, op := range tree.Pairs(item) {
			plainOp := tree.Get(paths, plain, method)
			if !found || plainOp == nil {
				merged = false
				continue
			}
			if media := tree.Get(plainOp, "requestBody", "content", "application/json"); media != nil {
				name, _ := strings.CutPrefix(tree.Text(tree.Get(media, "schema", "$ref")), tree.SchemaPrefix)
				if base := tree.Elements(tree.Get(doc, "components", "schemas", name, "allOf")); len(base) > 0 {
					tree.Set(media, "schema", base[0])
				}
			}
			events, response := tree.Get(op, "responses", "200", "content", "text/event-stream"), tree.Get(plainOp, "responses", "200", "content")
			if events != nil && response != nil {
				tree.Set(response, "text/event-stream", events)
			}
		}
		return !merged
	})
}

// applyLoosely applies the overlay actions that find their target. It removes parts that an action
// created only to describe them.
func applyLoosely(doc *yaml.Node, overlayText []byte) error {
	o, err := overlay.ParseReader(bytes.NewReader(overlayText))
	if err != nil {
		return err
	}
	existed := map[string]bool{}
	tree.Walk(doc, "", func(path string, _ *yaml.Node) { existed[path] = true })
	for _, action := range o.Actions {
		one := *o
		one.Actions = []overlay.Action{action}
		_ = one.ApplyTo(doc) // trim has reported the error
	}
	tree.Walk(doc, "", func(path string, n *yaml.Node) {
		tree.Filter(n, func(key string, v *yaml.Node) bool { return existed[tree.Pointer(path, key)] || !tree.OnlyDescribed(v) })
	})
	return nil
}

// renameSchemas applies the overlay's x-rename.
func renameSchemas(doc *yaml.Node) {
	schemas := tree.Get(doc, "components", "schemas")
	names := map[string]string{}
	for i := 0; schemas != nil && i < len(schemas.Content); i += 2 {
		key := schemas.Content[i]
		if to := tree.Text(tree.Get(schemas.Content[i+1], "x-rename")); to != "" {
			names[key.Value] = to
			key.Value = to
		}
	}
	tree.RenameReferences(doc, names)
}

// dropDangling removes references to components that upstream has removed: members of unions and
// discriminator values that the overlay lists.
func dropDangling(doc *yaml.Node) {
	schemas := tree.Get(doc, "components", "schemas")
	dangles := func(ref string) bool {
		name, ok := strings.CutPrefix(ref, tree.SchemaPrefix)
		return ok && tree.Get(schemas, name) == nil
	}
	tree.Walk(doc, "", func(_ string, n *yaml.Node) {
		tree.Filter(tree.Get(n, "discriminator", "mapping"), func(_ string, target *yaml.Node) bool { return !dangles(target.Value) })
		for _, members := range []*yaml.Node{tree.Get(n, "anyOf"), tree.Get(n, "oneOf")} {
			if members != nil {
				members.Content = slices.DeleteFunc(members.Content, func(m *yaml.Node) bool { return dangles(tree.Text(tree.Get(m, "$ref"))) })
			}
		}
	})
}

// nameUnions replaces every inline union that has the same members as a component with a reference
// to that component.
func nameUnions(doc *yaml.Node) {
	named := map[string]string{}
	names := map[*yaml.Node]bool{}
	for name, schema := range tree.Pairs(tree.Get(doc, "components", "schemas")) {
		if members := unionMembers(schema); members != "" {
			named[members] = name
			names[schema] = true
		}
	}
	tree.Walk(doc, "", func(_ string, n *yaml.Node) {
		if name := named[unionMembers(n)]; name != "" && !names[n] {
			*n = yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
			tree.Set(n, "$ref", tree.Scalar(tree.SchemaPrefix+name))
		}
	})
}

// unionMembers returns the members of a union as a text. It returns "" for fewer than two members.
func unionMembers(n *yaml.Node) string {
	var members []string
	for _, keyword := range []string{"oneOf", "anyOf"} {
		for _, member := range tree.Elements(tree.Get(n, keyword)) {
			members = append(members, keyword+" "+brief(member))
		}
	}
	if len(members) < 2 || !strings.Contains(strings.Join(members[1:], ""), tree.SchemaPrefix) {
		return ""
	}
	return strings.Join(members, "\n")
}

// prune keeps the schemas that an operation refers to, also through x-go-type, and the security
// schemes of the document.
func prune(doc *yaml.Node) {
	schemas := tree.Get(doc, "components", "schemas")
	reached := map[string]bool{}
	var reach func(n *yaml.Node)
	reach = func(n *yaml.Node) {
		tree.Walk(n, "", func(path string, n *yaml.Node) {
			name, ok := strings.CutPrefix(n.Value, tree.SchemaPrefix)
			if strings.HasSuffix(path, "/x-go-type") {
				name, ok = strings.TrimPrefix(n.Value, "[]"), true
			}
			if ok && !reached[name] {
				reached[name] = true
				reach(tree.Get(schemas, name))
			}
		})
	}
	reach(tree.Get(doc, "paths"))
	tree.Filter(schemas, func(name string, _ *yaml.Node) bool { return reached[name] })
	tree.Filter(tree.Get(doc, "components", "securitySchemes"), func(name string, _ *yaml.Node) bool {
		return slices.ContainsFunc(tree.Elements(tree.Get(doc, "security")), func(r *yaml.Node) bool { return tree.Get(r, name) != nil })
	})
}
