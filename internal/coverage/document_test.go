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

// document is an OpenAPI document, read anew: what judges the rest of the module has
// no reader in common with it.
type document struct {
	root     node
	compiler *jsonschema.Compiler
}

// documentURL is a name only: nothing is ever loaded.
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

// accepts reports whether a value is of a schema.
func (d *document) accepts(schema node, value any) (bool, error) {
	compiled, err := d.compiler.Compile(documentURL + (&url.URL{Fragment: schema.pointer}).String())
	if err != nil {
		return false, err
	}
	return compiled.Validate(value) == nil, nil
}

// follow returns what a $ref refers to, and other nodes as they are. What stands
// beside a $ref may only say something about it.
func (d *document) follow(n node) (node, error) {
	const most = 16 // far more than anyone writes, and the end of a circle
	for range most {
		ref := n.text("$ref")
		if ref == "" {
			return n, nil
		}
		path, local := strings.CutPrefix(ref, "#/")
		if !local {
			return node{}, fmt.Errorf("%s: $ref %q leaves the document", n.pointer, ref)
		}
		for key := range n.object() {
			if key != "$ref" && !says[key] && !strings.HasPrefix(key, "x-") {
				return node{}, fmt.Errorf("%s: %s beside a $ref is not looked at", n.pointer, key)
			}
		}
		target := d.root
		for token := range strings.SplitSeq(path, "/") {
			target = target.child(unescape.Replace(token))
		}
		if target.value == nil {
			return node{}, fmt.Errorf("%s: $ref %q refers to nothing", n.pointer, ref)
		}
		n = target
	}
	return node{}, fmt.Errorf("%s: $ref goes round in a circle", n.pointer)
}

// node is a value in the document and where it is, as a JSON pointer.
type node struct {
	pointer string
	value   any
}

func (n node) object() map[string]any { object, _ := n.value.(map[string]any); return object }

func (n node) text(key string) string { text, _ := n.object()[key].(string); return text }

func (n node) has(key string) bool { _, ok := n.object()[key]; return ok }

// child returns a member of an object; its value is nil where there is none.
func (n node) child(key string) node {
	return node{n.pointer + "/" + escape.Replace(key), n.object()[key]}
}

// members returns the members of an object by name.
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

// name is the last token of where the node is.
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

// operation is one URL and method, which may answer with JSON or with a stream.
type operation struct {
	id         string
	path       []string // the template's segments
	parameters []node
	request    node            // the schema of the body; no value without one
	replies    map[string]node // the response by status
	streams    bool
}

// streamed is the name of an operation's twin that streams.
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
				id: n.text("operationId"), path: strings.Split(path.name(), "/"), replies: map[string]node{},
			}
			if op.id == "" {
				return nil, errors.New(n.pointer + ": no operationId")
			}
			for _, p := range slices.Concat(path.child("parameters").items(), n.child("parameters").items()) {
				p, err := d.follow(p)
				if err != nil {
					return nil, err
				}
				op.parameters = append(op.parameters, p)
			}
			body, err := d.follow(n.child("requestBody"))
			if err != nil {
				return nil, err
			}
			op.request = body.child("content").child(mediaJSON).child("schema")
			for _, r := range n.child("responses").members() {
				status := r.name()
				if op.replies[status], err = d.follow(r); err != nil {
					return nil, err
				}
				op.streams = op.streams || op.replies[status].child("content").has(mediaEvents)
			}
			list = append(list, op)
		}
	}
	return list, nil
}
