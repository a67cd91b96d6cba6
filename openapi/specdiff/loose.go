package main

import (
	"bytes"
	"slices"
	"strings"

	"github.com/speakeasy-api/openapi/overlay"
	"gopkg.in/yaml.v3"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/openapi/internal/tree"
)

// writeLoose writes what trim would make of the upstream document if it let pass
// whatever the overlay does not fit. The result serves for a comparison, not for
// the generator: an operation has upstream's name, say, and a union may lack its
// own. A difference that is of trim's making alone must not show, so the steps
// follow trim's.
func writeLoose(upstream, committed *yaml.Node, overlayText []byte, out string) error {
	listed := tree.Elements(tree.Get(committed, "tags"))
	tags := make([]string, 0, len(listed))
	for _, tag := range listed {
		tags = append(tags, tree.Text(tree.Get(tag, "name")))
	}
	selectTagged(upstream, tags)
	tree.DropProse(upstream)
	foldStreams(upstream)
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

// foldStreams merges each path "P#stream" into "P": the body is that which both
// are built on, and the events become a second media type of the reply. A path
// that has no such twin stays, for the report to call it new.
func foldStreams(doc *yaml.Node) {
	paths := tree.Get(doc, "paths")
	tree.Filter(paths, func(path string, item *yaml.Node) bool {
		plain, _, found := strings.Cut(path, "#stream")
		folded := found
		for method, op := range tree.Pairs(item) {
			twin := tree.Get(paths, plain, method)
			if !found || twin == nil {
				folded = false
				continue
			}
			if media := tree.Get(twin, "requestBody", "content", "application/json"); media != nil {
				name, _ := strings.CutPrefix(tree.Text(tree.Get(media, "schema", "$ref")), tree.SchemaPrefix)
				if base := tree.Elements(tree.Get(doc, "components", "schemas", name, "allOf")); len(base) > 0 {
					tree.Set(media, "schema", base[0])
				}
			}
			events, reply := tree.Get(op, "responses", "200", "content", "text/event-stream"), tree.Get(twin, "responses", "200", "content")
			if events != nil && reply != nil {
				tree.Set(reply, "text/event-stream", events)
			}
		}
		return !folded
	})
}

// applyLoosely carries out those actions of the overlay that find their target,
// and removes what came into being by being described.
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
		_ = one.ApplyTo(doc) // trim has named what does not fit
	}
	tree.Walk(doc, "", func(path string, n *yaml.Node) {
		tree.Filter(n, func(key string, v *yaml.Node) bool { return existed[tree.Pointer(path, key)] || !tree.OnlyDescribed(v) })
	})
	return nil
}

// renameSchemas carries out the overlay's x-rename.
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

// dropDangling removes what refers to a component that upstream no longer has:
// members of unions and discriminator values that the overlay writes out.
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

// nameUnions replaces every inline union that has the members of a component by
// a reference to that component.
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

// unionMembers lists the components that a schema chooses between; nothing for
// fewer than two.
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

// prune keeps the schemas that an operation reaches, be it by way of an
// x-go-type, and the security schemes of the whole document.
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
