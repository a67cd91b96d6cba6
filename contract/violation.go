package contract

import (
	"bytes"
	"cmp"
	"encoding/json"
	"slices"
	"strings"
	"unicode/utf8"
)

// Violation is one place where something differs from the document.
type Violation struct {
	// Operation is the operationId; empty where no operation is known.
	Operation string
	// In is "path", "query", "header", "body" (of a request), "response" (its status
	// and body; its headers are "header") or "event".
	In string
	// Pointer is the JSON pointer into the body, response or event ("" is all of it;
	// an event is {"event": …, "data": …}); the name of a path parameter, query
	// parameter or header, with a JSON pointer behind it for what is within it; or
	// "status". A missing property is pointed at as if it were there.
	Pointer string
	// Rule is the JSON Schema keyword that is broken, or one of: json (no JSON value),
	// duplicate (a key twice), repeated and unknown (parameters), encoding (of a
	// query, or a Content-Encoding), route, method, mediaType, status, unexpected (a
	// body where there is none), frame (of an event stream).
	Rule string
	// Value is the offending value as JSON, cut short; empty where there is none.
	Value string
	// Message says what would be right.
	Message string
}

// String returns the violation in one line.
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
		b.WriteString(", have ")
		b.WriteString(v.Value)
	}
	return b.String()
}

// Error makes a violation an error.
func (v Violation) Error() string { return v.String() }

// finding is a violation before it is known where it was found.
type finding struct {
	path    []string
	rule    string
	message string
	value   any
	has     bool     // whether there is a value
	want    []string // the values or types that would be right, for merging
}

// violations turns findings into violations, in an order that does not change from
// run to run.
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
		if f.has {
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

// short writes a value as JSON of at most some hundred bytes.
func short(value any) string {
	const most = 100
	if s, ok := value.(string); ok && len(s) > 2*most {
		value = s[:2*most] // A body of megabytes need not be written out to be cut.
	}
	text := compact(value)
	if len(text) <= most {
		return text
	}
	end := most
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
		return "?" // Decoded JSON always encodes.
	}
	return strings.TrimSuffix(b.String(), "\n")
}
