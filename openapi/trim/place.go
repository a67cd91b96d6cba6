package main

import (
	"regexp"
	"strings"
)

// A place is the way of keys to a node. An element of a list that is selected by a condition
// has the condition before its index.

var (
	simple    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
	number    = regexp.MustCompile(`^[0-9]+$`)
	condition = regexp.MustCompile(`^\[\?.*\]$`)
)

// pointer is the JSON pointer of a place.
func pointer(place []string) string {
	var b strings.Builder
	for _, key := range place {
		if !condition.MatchString(key) {
			b.WriteString("/" + strings.NewReplacer("~", "~0", "/", "~1").Replace(key))
		}
	}
	return b.String()
}

// target is the JSONPath by which the overlay finds a place: before it renames schemas.
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
		case i > 0 && condition.MatchString(place[i-1]): // it is selected already
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
