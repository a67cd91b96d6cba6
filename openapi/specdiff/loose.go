package main

import (
	"bytes"
	"slices"
	"strings"

	"github.com/speakeasy-api/openapi/overlay"
	"gopkg.in/yaml.v3"
)

// writeLoose writes what trim would make of the upstream document if it let pass
// whatever the overlay does not fit. The result serves for a comparison, not for
// the generator: an operation has upstream's name, say, and a union may lack its
// own. A difference that is of trim's making alone must not show, so the steps
// follow trim's.
func writeLoose(upstream, committed *yaml.Node, overlayText []byte, out string) error {
	listed := elements(get(committed, "tags"))
	tags := make([]string, 0, len(listed))
	for _, tag := range listed {
		tags = append(tags, text(get(tag, "name")))
	}
	selectTagged(upstream, tags)
	dropProse(upstream)
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
	filter(get(doc, "paths"), func(_ string, item *yaml.Node) bool {
		filter(item, func(key string, op *yaml.Node) bool {
			return !isMethod(key) || slices.ContainsFunc(elements(get(op, "tags")), func(t *yaml.Node) bool { return slices.Contains(tags, t.Value) })
		})
		return slices.ContainsFunc(keys(item), isMethod)
	})
}

// foldStreams merges each path "P#stream" into "P": the body is that which both
// are built on, and the events become a second media type of the reply. A path
// that has no such twin stays, for the report to call it new.
func foldStreams(doc *yaml.Node) {
	paths := get(doc, "paths")
	filter(paths, func(path string, item *yaml.Node) bool {
		plain, _, found := strings.Cut(path, "#stream")
		folded := found
		for method, op := range pairs(item) {
			twin := get(paths, plain, method)
			if !found || twin == nil {
				folded = false
				continue
			}
			if media := get(twin, "requestBody", "content", "application/json"); media != nil {
				name, _ := strings.CutPrefix(text(get(media, "schema", "$ref")), schemaPrefix)
				if base := elements(get(doc, "components", "schemas", name, "allOf")); len(base) > 0 {
					set(media, "schema", base[0])
				}
			}
			events, reply := get(op, "responses", "200", "content", "text/event-stream"), get(twin, "responses", "200", "content")
			if events != nil && reply != nil {
				set(reply, "text/event-stream", events)
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
	walk(doc, "", func(path string, _ *yaml.Node) { existed[path] = true })
	for _, action := range o.Actions {
		one := *o
		one.Actions = []overlay.Action{action}
		_ = one.ApplyTo(doc) // trim has named what does not fit
	}
	walk(doc, "", func(path string, n *yaml.Node) {
		filter(n, func(key string, v *yaml.Node) bool { return existed[path+"/"+key] || !onlyDescribed(v) })
	})
	return nil
}

func onlyDescribed(n *yaml.Node) bool {
	names := keys(n)
	return len(names) > 0 && !slices.ContainsFunc(names, func(key string) bool {
		return key != "summary" && key != "description" && !strings.HasPrefix(key, "x-")
	})
}

// renameSchemas carries out the overlay's x-rename.
func renameSchemas(doc *yaml.Node) {
	schemas := get(doc, "components", "schemas")
	names := map[string]string{}
	for i := 0; schemas != nil && i < len(schemas.Content); i += 2 {
		key := schemas.Content[i]
		if to := text(get(schemas.Content[i+1], "x-rename")); to != "" {
			names[key.Value] = to
			key.Value = to
		}
	}
	walk(doc, "", func(_ string, n *yaml.Node) {
		if name, ok := strings.CutPrefix(n.Value, schemaPrefix); ok && names[name] != "" {
			n.Value = schemaPrefix + names[name]
		}
	})
}

// dropDangling removes what refers to a component that upstream no longer has:
// members of unions and discriminator values that the overlay writes out.
func dropDangling(doc *yaml.Node) {
	schemas := get(doc, "components", "schemas")
	dangles := func(ref string) bool {
		name, ok := strings.CutPrefix(ref, schemaPrefix)
		return ok && get(schemas, name) == nil
	}
	walk(doc, "", func(_ string, n *yaml.Node) {
		filter(get(n, "discriminator", "mapping"), func(_ string, target *yaml.Node) bool { return !dangles(target.Value) })
		for _, members := range []*yaml.Node{get(n, "anyOf"), get(n, "oneOf")} {
			if members != nil {
				members.Content = slices.DeleteFunc(members.Content, func(m *yaml.Node) bool { return dangles(text(get(m, "$ref"))) })
			}
		}
	})
}

// nameUnions replaces every inline union that has the members of a component by
// a reference to that component.
func nameUnions(doc *yaml.Node) {
	named := map[string]string{}
	names := map[*yaml.Node]bool{}
	for name, schema := range pairs(get(doc, "components", "schemas")) {
		if members := unionMembers(schema); members != "" {
			named[members] = name
			names[schema] = true
		}
	}
	walk(doc, "", func(_ string, n *yaml.Node) {
		if name := named[unionMembers(n)]; name != "" && !names[n] {
			*n = yaml.Node{Kind: yaml.MappingNode, Tag: "!!map"}
			set(n, "$ref", &yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: schemaPrefix + name})
		}
	})
}

// unionMembers lists the components that a schema chooses between; nothing for
// fewer than two.
func unionMembers(n *yaml.Node) string {
	var members []string
	for _, keyword := range []string{"oneOf", "anyOf"} {
		for _, member := range elements(get(n, keyword)) {
			members = append(members, keyword+" "+brief(member))
		}
	}
	if len(members) < 2 || !strings.Contains(strings.Join(members[1:], ""), schemaPrefix) {
		return ""
	}
	return strings.Join(members, "\n")
}

// prune keeps the schemas that an operation reaches, be it by way of an
// x-go-type, and the security schemes of the whole document.
func prune(doc *yaml.Node) {
	schemas := get(doc, "components", "schemas")
	reached := map[string]bool{}
	var reach func(n *yaml.Node)
	reach = func(n *yaml.Node) {
		walk(n, "", func(path string, n *yaml.Node) {
			name, ok := strings.CutPrefix(n.Value, schemaPrefix)
			if strings.HasSuffix(path, "/x-go-type") {
				name, ok = strings.TrimPrefix(n.Value, "[]"), true
			}
			if ok && !reached[name] {
				reached[name] = true
				reach(get(schemas, name))
			}
		})
	}
	reach(get(doc, "paths"))
	filter(schemas, func(name string, _ *yaml.Node) bool { return reached[name] })
	filter(get(doc, "components", "securitySchemes"), func(name string, _ *yaml.Node) bool {
		return slices.ContainsFunc(elements(get(doc, "security")), func(r *yaml.Node) bool { return get(r, name) != nil })
	})
}
