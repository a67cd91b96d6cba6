package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"gopkg.in/yaml.v3"
)

// readOrigins returns the lines that identify the two vendor documents: the origin of the committed
// document, from the file UPSTREAM in its directory, and the upstream document.
func readOrigins(in inputs) (string, error) {
	content, err := os.ReadFile(in.upstream)
	if err != nil {
		return "", err
	}
	upstream := fmt.Sprintf("sha256: %x", sha256.Sum256(content))
	known, err := os.ReadFile(filepath.Join(filepath.Dir(in.committed), "UPSTREAM"))
	if errors.Is(err, fs.ErrNotExist) {
		return "upstream: " + upstream + "\n", nil
	} else if err != nil {
		return "", err
	}
	committed := strings.Join(strings.Split(strings.TrimSpace(string(known)), "\n"), ", ")
	if strings.HasSuffix(committed, upstream) {
		upstream = "the same document"
	}
	return "committed: generated from upstream with " + committed + "\nupstream: " + upstream + "\n", nil
}

// compareDescriptions compares the vendor's descriptions with the fingerprints in upstream.yaml, in
// the directory of the committed document.
func compareDescriptions(in inputs, upstream *yaml.Node) ([]string, error) {
	path := filepath.Join(filepath.Dir(in.committed), "upstream.yaml")
	kept, err := readDocument(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return descriptionChanges(kept, upstream), nil
}
