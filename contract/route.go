package contract

import (
	"fmt"
	"net/url"
	"strings"
)

// segment is one part of a path template between slashes.
type segment struct {
	name  string // of the parameter, or the text itself
	param bool
}

func parseTemplate(path string) ([]segment, error) {
	rest, ok := strings.CutPrefix(path, "/")
	if !ok {
		return nil, fmt.Errorf("path %q does not start with a slash", path)
	}
	var segments []segment
	for part := range strings.SplitSeq(rest, "/") {
		switch {
		case strings.HasPrefix(part, "{") && strings.HasSuffix(part, "}"):
			segments = append(segments, segment{name: part[1 : len(part)-1], param: true})
		case strings.ContainsAny(part, "{}"):
			return nil, fmt.Errorf("path %q mixes text and a parameter in %q", path, part)
		default:
			segments = append(segments, segment{name: part})
		}
	}
	return segments, nil
}

// Route finds the operation of a method and a path as it is on the wire, so that a
// slash within a parameter (%2F) does not part it. Text in a template goes before a
// parameter: /v1/agents/pages is not an agent. No parameter is empty.
func (c *Contract) Route(method, escapedPath string) (*Operation, bool) {
	op, _ := c.route(method, escapedPath)
	return op, op != nil
}

// route also returns the decoded segments of the path.
func (c *Contract) route(method, escapedPath string) (*Operation, []string) {
	parts, ok := splitPath(escapedPath)
	if !ok {
		return nil, nil
	}
	var best *Operation
	for _, op := range c.operations {
		if op.Method == method && op.matches(parts) && (best == nil || op.moreExact(best)) {
			best = op
		}
	}
	return best, parts
}

// methods returns the methods that a path has, whatever they are.
func (c *Contract) methods(escapedPath string) []string {
	parts, ok := splitPath(escapedPath)
	if !ok {
		return nil
	}
	var found []string
	for _, op := range c.operations {
		if op.matches(parts) {
			found = append(found, op.Method)
		}
	}
	return found
}

func splitPath(escapedPath string) ([]string, bool) {
	rest, ok := strings.CutPrefix(escapedPath, "/")
	if !ok {
		return nil, false
	}
	parts := strings.Split(rest, "/")
	for i, part := range parts {
		decoded, err := url.PathUnescape(part)
		if err != nil {
			return nil, false
		}
		parts[i] = decoded
	}
	return parts, true
}

func (op *Operation) matches(parts []string) bool {
	if len(parts) != len(op.segments) {
		return false
	}
	for i, s := range op.segments {
		if s.param && parts[i] == "" || !s.param && parts[i] != s.name {
			return false
		}
	}
	return true
}

// moreExact compares two operations that match the same path: the one with text
// where the other has a parameter, read from the left, is the more exact.
func (op *Operation) moreExact(other *Operation) bool {
	for i, s := range op.segments {
		if s.param != other.segments[i].param {
			return other.segments[i].param
		}
	}
	return false
}
