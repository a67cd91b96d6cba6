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

// readOrigins says from which document of the vendor's the committed one was made, by the
// file UPSTREAM beside it, and which one it is compared with.
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
	return "committed: made from upstream of " + committed + "\nupstream: " + upstream + "\n", nil
}

// compareWording compares the vendor's words with those that upstream.yaml, beside the
// committed document, has fingerprints of.
func compareWording(in inputs, upstream *yaml.Node) ([]string, error) {
	path := filepath.Join(filepath.Dir(in.committed), "upstream.yaml")
	kept, err := readDocument(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	} else if err != nil {
		return nil, err
	}
	return wording(kept, upstream), nil
}
