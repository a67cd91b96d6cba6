package emulator

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"time"

	"gopkg.in/yaml.v3"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

func parseRules(data []byte) (script, error) {
	var document yaml.Node
	decoder := yaml.NewDecoder(bytes.NewReader(data))
	switch err := decoder.Decode(&document); {
	case errors.Is(err, io.EOF):
		return nil, errors.New("script: it is empty: want rules")
	case err != nil:
		return nil, fmt.Errorf("script: %w", err)
	}
	if err := decoder.Decode(new(yaml.Node)); !errors.Is(err, io.EOF) {
		return nil, errors.New("script: there is more behind its document")
	}
	var rules script
	err := readMapping(document.Content[0], "script", fields{"rules": func(path string, node *yaml.Node) error {
		node = resolved(node)
		if node.Kind != yaml.SequenceNode {
			return wrong(path, node, "a list")
		}
		for i, item := range node.Content {
			r, err := parseRule(item, fmt.Sprintf("script: rule %d", i+1))
			if err != nil {
				return err
			}
			rules = append(rules, r)
		}
		return nil
	}})
	if err == nil && len(rules) == 0 {
		err = errors.New("script: rules: want at least one")
	}
	return rules, err
}

func parseRule(node *yaml.Node, path string) (rule, error) {
	var r rule
	err := readMapping(node, path, fields{
		"match":  expression(&r.match),
		"result": expression(&r.result),
		"model":  text(&r.model),
		"reply":  text(&r.reply),
		"delay":  duration(&r.delay),
		"call": func(path string, node *yaml.Node) error {
			r.call = &generated.FunctionCallEntry{Arguments: "{}"}
			if err := readMapping(node, path, fields{"name": text(&r.call.Name), "arguments": arguments(&r.call.Arguments)}); err != nil {
				return err
			}
			return required(path, node, "name", r.call.Name != "")
		},
		"error": func(path string, node *yaml.Node) error {
			r.err = new(Error)
			if err := readMapping(node, path, fields{
				"status": status(&r.err.Status), "message": text(&r.err.Message), "body": text(&r.err.Body), "header": header(&r.err.Header),
			}); err != nil {
				return err
			}
			return required(path, node, "status", r.err.Status != 0)
		},
	})
	if err == nil && r.reply == "" && r.call == nil && r.err == nil && r.delay == 0 {
		err = fmt.Errorf("%s: want a reply, call, error or delay (line %d)", path, node.Line)
	}
	return r, err
}

// fields are the readers of a mapping's fields, each given the path to its field.
type fields map[string]func(path string, node *yaml.Node) error

// readMapping reads each field of a mapping, and refuses those it does not know.
func readMapping(node *yaml.Node, path string, known fields) error {
	if node = resolved(node); node.Kind != yaml.MappingNode {
		return wrong(path, node, "a mapping")
	}
	seen := map[string]bool{}
	for i := 0; i+1 < len(node.Content); i += 2 {
		key, value := node.Content[i], node.Content[i+1]
		read, ok := known[key.Value]
		switch {
		case !ok:
			var names []string
			for name := range known {
				names = append(names, name)
			}
			slices.Sort(names)
			return fmt.Errorf("%s: %s is unknown: want %s (line %d)", path, key.Value, strings.Join(names, ", "), key.Line)
		case seen[key.Value]:
			return fmt.Errorf("%s: %s is there twice (line %d)", path, key.Value, key.Line)
		}
		seen[key.Value] = true
		if err := read(path+": "+key.Value, value); err != nil {
			return err
		}
	}
	return nil
}

// resolved follows an alias to what it stands for.
func resolved(node *yaml.Node) *yaml.Node {
	if node.Kind == yaml.AliasNode {
		return node.Alias
	}
	return node
}

func wrong(path string, node *yaml.Node, want string) error {
	value := node.Value
	switch node.Kind {
	case yaml.MappingNode:
		value = "a mapping"
	case yaml.SequenceNode:
		value = "a list"
	default:
		value = fmt.Sprintf("%q", value)
	}
	return fmt.Errorf("%s is %s: want %s (line %d)", path, value, want, node.Line)
}

func required(path string, node *yaml.Node, name string, has bool) error {
	if has {
		return nil
	}
	return fmt.Errorf("%s: want a %s (line %d)", path, name, node.Line)
}

// text reads a scalar that is not empty; 12 and true are texts too.
func text(into *string) func(string, *yaml.Node) error {
	return func(path string, node *yaml.Node) error {
		if node = resolved(node); node.Kind != yaml.ScalarNode || node.Tag == "!!null" || node.Value == "" {
			return wrong(path, node, "a text")
		}
		*into = node.Value
		return nil
	}
}

func expression(into **regexp.Regexp) func(string, *yaml.Node) error {
	return func(path string, node *yaml.Node) error {
		var source string
		if err := text(&source)(path, node); err != nil {
			return err
		}
		compiled, err := regexp.Compile(source)
		if err != nil {
			return fmt.Errorf("%s is %q: %w (line %d)", path, source, err, node.Line)
		}
		*into = compiled
		return nil
	}
}

func duration(into *time.Duration) func(string, *yaml.Node) error {
	return func(path string, node *yaml.Node) error {
		node = resolved(node)
		d, err := time.ParseDuration(node.Value)
		if node.Kind != yaml.ScalarNode || err != nil || d <= 0 {
			return wrong(path, node, `a time above 0, as "300ms"`)
		}
		*into = d
		return nil
	}
}

func status(into *int) func(string, *yaml.Node) error {
	return func(path string, node *yaml.Node) error {
		node = resolved(node)
		if err := node.Decode(into); err != nil || *into < 400 || *into > 599 {
			return wrong(path, node, "a status from 400 to 599")
		}
		return nil
	}
}

func header(into *http.Header) func(string, *yaml.Node) error {
	return func(path string, node *yaml.Node) error {
		node = resolved(node)
		var values map[string]string
		if err := node.Decode(&values); err != nil {
			return wrong(path, node, "names and texts")
		}
		if err := (Fault{Header: values}).validateHeader(traits{reply: new(failure)}); err != nil {
			return fmt.Errorf("%s: %w (line %d)", path, err, node.Line)
		}
		*into = http.Header{}
		for name, value := range values {
			into.Set(name, value)
		}
		return nil
	}
}

// arguments reads a mapping, which is sent as JSON, or a text, which is sent as it is.
func arguments(into *generated.FunctionCallEntryArguments) func(string, *yaml.Node) error {
	return func(path string, node *yaml.Node) error {
		node = resolved(node)
		switch {
		case node.Kind == yaml.ScalarNode && node.Tag == "!!str":
			*into = generated.FunctionCallEntryArguments(node.Value)
			return nil
		case node.Kind != yaml.MappingNode:
			return wrong(path, node, "a mapping or a text")
		}
		var value map[string]any
		if err := node.Decode(&value); err != nil {
			return fmt.Errorf("%s: %w", path, err)
		}
		data, err := json.Marshal(value)
		if err != nil {
			return fmt.Errorf("%s: cannot be JSON: %w (line %d)", path, err, node.Line)
		}
		*into = generated.FunctionCallEntryArguments(data)
		return nil
	}
}
