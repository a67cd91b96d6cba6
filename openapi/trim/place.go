package main

import (
	"regexp"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/openapi/internal/tree"
)

// A place is the list of keys from the root to a node. If a condition selects an element of a
// list, the condition precedes the index.

var (
	simple    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	number    = regexp.MustCompile(`^[0-9]+$`)
	condition = regexp.MustCompile(`^\[\?.*\]$`)
)

// pointer returns the JSON pointer of a place.
func pointer(place []string) string {
	var b strings.Builder
	for _, key := range place {
		if !condition.MatchString(key) {
			b.WriteString(tree.Pointer("", key))
		}
	}
	return b.String()
}

// target returns the JSONPath of a place for the overlay, with the upstream names of schemas.
func (c *checker) target(place []string) string {
	var b strings.Builder
	b.WriteString("$")
	for i, key := range place {
		if i == 2 && place[0] == "components" && c.upstream[key] != "" {
			key = c.upstream[key]
		}
		switch {
		case condition.MatchString(key):
			b.WriteString(key)
		case i > 0 && condition.MatchString(place[i-1]): // the condition has selected the element
		case number.MatchString(key) && (place[i-1] == "anyOf" || place[i-1] == "oneOf" || place[i-1] == "allOf"):
			b.WriteString("[" + key + "]")
		case simple.MatchString(key):
			b.WriteString("." + key)
		default:
			b.WriteString("['" + key + "']")
		}
	}
	return b.String()
}
