package main

import (
	"fmt"
	"os"
	"strings"

	"gopkg.in/yaml.v3"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/openapi/internal/tree"
)

// readDocument reads an OpenAPI 3.1 document and returns its root node.
func readDocument(path string) (*yaml.Node, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var file yaml.Node
	if err := yaml.Unmarshal(content, &file); err != nil {
		return nil, fmt.Errorf("%s is not YAML: %w", path, err)
	}
	if len(file.Content) == 0 || !strings.HasPrefix(tree.Text(tree.Get(file.Content[0], "openapi")), "3.1.") {
		return nil, fmt.Errorf("%s is not an OpenAPI 3.1 document", path)
	}
	return file.Content[0], nil
}

func writeDocument(path string, doc *yaml.Node) error {
	content, err := yaml.Marshal(doc)
	if err != nil {
		return err
	}
	return os.WriteFile(path, content, 0o600)
}
