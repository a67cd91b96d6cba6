package emulator

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"

	"gopkg.in/yaml.v3"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

func parseRules(data []byte) (script, error) {
	document, err := readDocument(data, "script")
	if err != nil {
		return nil, err
	}
	if document == nil {
		return nil, errors.New("script: it is empty: want rules")
	}
	var rules script
	err = readMapping(document, "script", fields{"rules": readList(func(i int, item *yaml.Node) error {
		r, err := parseRule(item, fmt.Sprintf("script: rule %d", i+1))
		rules = append(rules, r)
		return err
	})})
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
		var values map[string]string
		if err := texts(&values)(path, node); err != nil {
			return err
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
