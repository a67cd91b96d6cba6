package contract

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
)

// Violation is one difference between traffic and the document.
type Violation struct {
	// Operation is the operationId. It is empty if the operation is unknown.
	Operation string
	// In is the part of the traffic: "path", "query", "header", "body", "response" or
	// "event". "body" is the body of a request. "response" is the status code and the
	// body of a response. "header" applies to requests and responses.
	In string
	// Pointer is the place within In. For a body, a response or an event, it is a JSON
	// pointer; "" is the whole value. An event is {"event": …, "data": …}. For the path,
	// the query and the header, it is the name of the parameter or header field. A JSON
	// pointer into the value may follow. For a status code, it is "status". For an unknown
	// operation, it is the path. For a missing property, it is the place where the
	// property belongs.
	Pointer string
	// Rule is the violated JSON Schema keyword, or one of these words:
	//
	//   - json: the value is not JSON
	//   - duplicate: an object has a key twice
	//   - repeated, unknown: a parameter is set twice, or is not declared
	//   - encoding: the query cannot be decoded, or the body has a Content-Encoding
	//   - route, method: the document does not have the path or the method
	//   - mediaType, status: the document does not declare it for the operation
	//   - unexpected: a body or an event must not be sent
	//   - frame: the event stream ends inside an event
	Rule string
	// Value is the invalid value as JSON, truncated to about 100 bytes. It is empty if
	// the value is missing.
	Value string
	// Message describes the requirement.
	Message string
}

// String returns the violation as one line of text.
func (v Violation) String() string {
	var b strings.Builder
	if v.Operation != "" {
		b.WriteString(v.Operation)
		b.WriteString(": ")
	}
	b.WriteString(v.In)
	if v.Pointer != "" {
		b.WriteByte(' ')
		b.WriteString(v.Pointer)
	}
	b.WriteString(": ")
	b.WriteString(v.Rule)
	b.WriteString(": ")
	b.WriteString(v.Message)
	if v.Value != "" {
		b.WriteString(", got ")
		b.WriteString(v.Value)
	}
	return b.String()
}

// Error implements error. It returns the same text as String.
func (v Violation) Error() string { return v.String() }

// finding is a violation without its operation and its part of the traffic.
type finding struct {
	path     []string
	rule     string
	message  string
	value    any
	hasValue bool
	accepted []string // the accepted values or types, to merge the branches of a union
}

// violations converts findings to violations, sorted by pointer and rule.
func violations(operation, in, prefix string, found []finding) []Violation {
	if len(found) == 0 {
		return nil
	}
	list := make([]Violation, len(found))
	for i, f := range found {
		list[i] = Violation{
			Operation: operation, In: in, Pointer: prefix + pointer(f.path),
			Rule: f.rule, Message: f.message,
		}
		if f.hasValue {
			list[i].Value = short(f.value)
		}
	}
	slices.SortStableFunc(list, func(a, b Violation) int {
		return cmp.Or(cmp.Compare(a.Pointer, b.Pointer), cmp.Compare(a.Rule, b.Rule))
	})
	return list
}

func pointer(path []string) string {
	var b strings.Builder
	for _, token := range path {
		b.WriteByte('/')
		b.WriteString(escapeToken(token))
	}
	return b.String()
}

// short returns a value as JSON, truncated to about 100 bytes.
func short(value any) string {
	const maxLength = 100
	if s, ok := value.(string); ok && len(s) > 2*maxLength {
		value = s[:2*maxLength] // Do not encode megabytes and then truncate them.
	}
	text := compact(value)
	if len(text) <= maxLength {
		return text
	}
	end := maxLength
	for end > 0 && !utf8.RuneStart(text[end]) {
		end--
	}
	return text[:end] + "…"
}

func compact(value any) string {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	if err := e.Encode(value); err != nil {
		return "?" // unreachable: decoded JSON always encodes
	}
	return strings.TrimSuffix(b.String(), "\n")
}
