package contract

import (
	"fmt"
	"net/url"
	"strings"
)

// segment is the part of a path template between two slashes.
type segment struct {
	name  string // the parameter's name, or the literal text
	param bool
}

func parseTemplate(path string) ([]segment, error) {
	rest, ok := strings.CutPrefix(path, "/")
	if !ok {
		return nil, fmt.Errorf("path must start with a slash, got %q", path)
	}
	var segments []segment
	for part := range strings.SplitSeq(rest, "/") {
		switch {
		case strings.HasPrefix(part, "{") && strings.HasSuffix(part, "}"):
			segments = append(segments, segment{name: part[1 : len(part)-1], param: true})
		case strings.ContainsAny(part, "{}"):
			return nil, fmt.Errorf("path %q: segment must be text or one parameter, got %q", path, part)
		default:
			segments = append(segments, segment{name: part})
		}
	}
	return segments, nil
}

// Route returns the operation for a method and a path, and reports whether it exists. The
// path must be escaped, as in the request line, because a parameter may contain an escaped
// slash (%2F). Literal segments take precedence over parameters: /v1/agents/pages is not
// an agent. Parameters must not be empty.
func (c *Contract) Route(method, escapedPath string) (*Operation, bool) {
	op, _ := c.route(method, escapedPath)
	return op, op != nil
}

// route is Route, and also returns the decoded segments of the path.
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

// methods returns the methods of all operations with a path.
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

// moreExact compares two operations that match the same path. It reports whether op has
// literal text at the first segment where exactly one of the two has a parameter.
func (op *Operation) moreExact(other *Operation) bool {
	for i, s := range op.segments {
		if s.param != other.segments[i].param {
			return other.segments[i].param
		}
	}
	return false
}
