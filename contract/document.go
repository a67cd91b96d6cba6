package contract

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"gopkg.in/yaml.v3"
)

// document is an OpenAPI document, decoded to JSON values.
type document struct{ root map[string]any }

func parseDocument(raw []byte) (*document, error) {
	var value any
	if err := yaml.Unmarshal(raw, &value); err != nil {
		return nil, fmt.Errorf("document: %w", err)
	}
	value, err := jsonValue(value)
	if err != nil {
		return nil, fmt.Errorf("document: %w", err)
	}
	root, ok := value.(map[string]any)
	if !ok {
		return nil, errors.New("document: must be an object")
	}
	if version, _ := root["openapi"].(string); !strings.HasPrefix(version, "3.1.") {
		return nil, fmt.Errorf("document: openapi: must be 3.1, got %q", version)
	}
	return &document{root: root}, nil
}

// jsonValue converts a YAML value to a JSON value. YAML keys may be numbers, and YAML
// times need no quotes.
func jsonValue(value any) (any, error) {
	var err error
	switch v := value.(type) {
	case map[string]any:
		for key, child := range v {
			if v[key], err = jsonValue(child); err != nil {
				return nil, err
			}
		}
		return v, nil
	case map[any]any:
		object := make(map[string]any, len(v))
		for key, child := range v {
			if object[fmt.Sprint(key)], err = jsonValue(child); err != nil {
				return nil, err
			}
		}
		return object, nil
	case []any:
		for i, child := range v {
			if v[i], err = jsonValue(child); err != nil {
				return nil, err
			}
		}
		return v, nil
	case time.Time:
		return v.Format(time.RFC3339Nano), nil
	case nil, string, bool, int, int64, uint64, float64:
		return v, nil
	default:
		return nil, fmt.Errorf("JSON cannot represent type %T", v)
	}
}

// node is a value in the document, with its JSON pointer.
type node struct {
	doc     *document
	pointer string
	value   any
}

func (d *document) top() node { return node{doc: d, value: d.root} }

// child returns a member of an object. The child's value is nil if the member does not
// exist.
func (n node) child(key string) node {
	object, _ := n.value.(map[string]any)
	return node{doc: n.doc, pointer: n.pointer + "/" + escapeToken(key), value: object[key]}
}

// resolve returns the target of a local $ref. It returns other nodes unchanged.
func (n node) resolve() (node, error) {
	const maxRefs = 16 // the longest chain of references, to stop at a cycle
	for range maxRefs {
		object, _ := n.value.(map[string]any)
		ref, ok := object["$ref"].(string)
		if !ok {
			return n, nil
		}
		path, local := strings.CutPrefix(ref, "#/")
		if !local {
			return node{}, fmt.Errorf("%s: $ref must refer to this document, got %q", n.pointer, ref)
		}
		target := n.doc.top()
		for token := range strings.SplitSeq(path, "/") {
			token, err := url.PathUnescape(token)
			if err != nil {
				return node{}, fmt.Errorf("%s: $ref %q: %w", n.pointer, ref, err)
			}
			target = target.child(unescapeToken(token))
		}
		if target.value == nil {
			return node{}, fmt.Errorf("%s: $ref %q: target not found", n.pointer, ref)
		}
		n = target
	}
	return node{}, fmt.Errorf("%s: $ref forms a cycle", n.pointer)
}

func (n node) has(key string) bool {
	object, _ := n.value.(map[string]any)
	_, ok := object[key]
	return ok
}

func (n node) text(key string) string {
	s, _ := n.child(key).value.(string)
	return s
}

func (n node) flag(key string) bool {
	b, _ := n.child(key).value.(bool)
	return b
}

// members returns the members of an object, sorted by name.
func (n node) members() []node {
	object, _ := n.value.(map[string]any)
	list := make([]node, 0, len(object))
	for _, key := range slices.Sorted(maps.Keys(object)) {
		list = append(list, n.child(key))
	}
	return list
}

// items returns the items of an array.
func (n node) items() []node {
	array, _ := n.value.([]any)
	list := make([]node, len(array))
	for i, value := range array {
		list[i] = node{doc: n.doc, pointer: fmt.Sprintf("%s/%d", n.pointer, i), value: value}
	}
	return list
}

// name returns the last token of the node's JSON pointer.
func (n node) name() string {
	return unescapeToken(n.pointer[strings.LastIndexByte(n.pointer, '/')+1:])
}

var (
	tokenEscaper   = strings.NewReplacer("~", "~0", "/", "~1")
	tokenUnescaper = strings.NewReplacer("~1", "/", "~0", "~")
)

func escapeToken(token string) string   { return tokenEscaper.Replace(token) }
func unescapeToken(token string) string { return tokenUnescaper.Replace(token) }

// schemas compiles the schemas of one document.
type schemas struct{ compiler *jsonschema.Compiler }

// documentURL identifies the document in the compiler. The compiler never loads it.
const documentURL = "contract:///openapi.json"

func newSchemas(doc *document) (*schemas, error) {
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.AssertFormat()
	compiler.UseLoader(noLoader{})
	if err := compiler.AddResource(documentURL, doc.root); err != nil {
		return nil, err
	}
	return &schemas{compiler: compiler}, nil
}

func (s *schemas) compile(n node) (*jsonschema.Schema, error) {
	var fragment strings.Builder
	for token := range strings.SplitSeq(strings.TrimPrefix(n.pointer, "/"), "/") {
		fragment.WriteByte('/')
		fragment.WriteString(url.PathEscape(token))
	}
	return s.compiler.Compile(documentURL + "#" + fragment.String())
}

// noLoader prevents a $ref from reading files or the network.
type noLoader struct{}

func (noLoader) Load(url string) (any, error) {
	return nil, fmt.Errorf("$ref must refer to this document, got %q", url)
}
