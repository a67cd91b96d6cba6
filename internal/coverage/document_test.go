package coverage_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
)

// document is an OpenAPI document. This package parses it without the code of other
// packages, because it validates them.
type document struct {
	root     node
	compiler *jsonschema.Compiler
}

// documentURL identifies the document in the compiler. The compiler never loads it.
const documentURL = "coverage:///openapi.json"

func readDocument(raw []byte) (*document, error) {
	var value any
	if err := yaml.Unmarshal(raw, &value); err != nil {
		return nil, err
	}
	text, err := json.Marshal(value)
	if err != nil {
		return nil, err
	}
	if value, err = jsonschema.UnmarshalJSON(bytes.NewReader(text)); err != nil {
		return nil, err
	}
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	if err := compiler.AddResource(documentURL, value); err != nil {
		return nil, err
	}
	return &document{root: node{value: value}, compiler: compiler}, nil
}

// accepts reports whether a schema accepts a value.
func (d *document) accepts(schema node, value any) (bool, error) {
	compiled, err := d.compiler.Compile(documentURL + (&url.URL{Fragment: schema.pointer}).String())
	if err != nil {
		return false, err
	}
	return compiled.Validate(value) == nil, nil
}

// resolve returns the target of a $ref. It returns other nodes unchanged. Keywords beside
// a $ref must be annotations.
func (d *document) resolve(n node) (node, error) {
	const maxRefs = 16 // the longest chain of references, to stop at a cycle
	for range maxRefs {
		ref := n.text("$ref")
		if ref == "" {
			return n, nil
		}
		path, local := strings.CutPrefix(ref, "#/")
		if !local {
			return node{}, fmt.Errorf("%s: $ref must refer to this document, got %q", n.pointer, ref)
		}
		for key := range n.object() {
			if key != "$ref" && !annotations[key] && !strings.HasPrefix(key, "x-") {
				return node{}, fmt.Errorf("%s: %s beside a $ref is not supported", n.pointer, key)
			}
		}
		target := d.root
		for token := range strings.SplitSeq(path, "/") {
			target = target.child(unescape.Replace(token))
		}
		if target.value == nil {
			return node{}, fmt.Errorf("%s: $ref %q: target not found", n.pointer, ref)
		}
		n = target
	}
	return node{}, fmt.Errorf("%s: $ref forms a cycle", n.pointer)
}

// node is a value in the document, with its JSON pointer.
type node struct {
	pointer string
	value   any
}

func (n node) object() map[string]any { object, _ := n.value.(map[string]any); return object }

func (n node) text(key string) string { text, _ := n.object()[key].(string); return text }

func (n node) has(key string) bool { _, ok := n.object()[key]; return ok }

// child returns a member of an object. The child's value is nil if the member does not
// exist.
func (n node) child(key string) node {
	return node{n.pointer + "/" + escape.Replace(key), n.object()[key]}
}

// members returns the members of an object, sorted by name.
func (n node) members() []node {
	var list []node
	for _, key := range slices.Sorted(maps.Keys(n.object())) {
		list = append(list, n.child(key))
	}
	return list
}

// items returns the items of an array.
func (n node) items() []node {
	array, _ := n.value.([]any)
	list := make([]node, len(array))
	for i, value := range array {
		list[i] = node{n.pointer + "/" + strconv.Itoa(i), value}
	}
	return list
}

// name returns the last token of the node's JSON pointer.
func (n node) name() string {
	return unescape.Replace(n.pointer[strings.LastIndexByte(n.pointer, '/')+1:])
}

var (
	escape   = strings.NewReplacer("~", "~0", "/", "~1")
	unescape = strings.NewReplacer("~1", "/", "~0", "~")
)

const (
	mediaJSON   = "application/json"
	mediaEvents = "text/event-stream"
)

// operation is one path and method. Its response may be JSON or a stream.
type operation struct {
	id         string
	path       []string // the segments of the path template
	parameters []node
	request    node            // the schema of the body; no value without one
	responses  map[string]node // the response by status
	streams    bool
}

// streamed returns the name of the streaming variant of an operation.
func streamed(id string) string { return id + "Stream" }

var methods = []string{"get", "put", "post", "delete", "options", "head", "patch", "trace"}

func (d *document) operations() ([]operation, error) {
	var list []operation
	for _, path := range d.root.child("paths").members() {
		for _, method := range methods {
			if !path.has(method) {
				continue
			}
			n := path.child(method)
			op := operation{
				id: n.text("operationId"), path: strings.Split(path.name(), "/"), responses: map[string]node{},
			}
			if op.id == "" {
				return nil, errors.New(n.pointer + ": operationId is missing")
			}
			for _, p := range slices.Concat(path.child("parameters").items(), n.child("parameters").items()) {
				p, err := d.resolve(p)
				if err != nil {
					return nil, err
				}
				op.parameters = append(op.parameters, p)
			}
			body, err := d.resolve(n.child("requestBody"))
			if err != nil {
				return nil, err
			}
			op.request = body.child("content").child(mediaJSON).child("schema")
			for _, r := range n.child("responses").members() {
				status := r.name()
				if op.responses[status], err = d.resolve(r); err != nil {
					return nil, err
				}
				op.streams = op.streams || op.responses[status].child("content").has(mediaEvents)
			}
			list = append(list, op)
		}
	}
	return list, nil
}
