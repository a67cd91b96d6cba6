package schema

import (
	"encoding/json"
	"errors"
	"strings"
)

// Check returns the parts of a value that break the schema, at most ten.
func (s *Schema) Check(v Value) []Finding {
	var c check
	c.value(s.root, v, "")
	return c.findings
}

// Decode validates a value that [Parse] returned, as [Schema.Check] does. If the value is valid,
// Decode stores it in the variable that target points to. If the schema requires an integer, a
// number such as 3.0 is decoded as 3.
func (s *Schema) Decode(v Value, target any) []Finding {
	var c check
	if c.value(s.root, v, ""); len(c.findings) > 0 {
		return c.findings
	}
	return decodeFindings(json.Unmarshal([]byte(applyEdits(v.source, c.integers)), target))
}

// applyEdits applies edits to a text. Several edits may have the same position; they are equal.
func applyEdits(text string, edits []edit) string {
	if len(edits) == 0 {
		return text
	}
	byStart := make(map[int]edit, len(edits))
	for _, e := range edits {
		byStart[e.start] = e
	}
	out := make([]byte, 0, len(text))
	for i := 0; i < len(text); {
		if e, ok := byStart[i]; ok {
			out = append(out, e.text...)
			i = e.end
			continue
		}
		out = append(out, text[i])
		i++
	}
	return string(out)
}

// decodeFindings explains, for a model, why valid text was not decoded: a number does not fit into its
// field, or a caller's type rejects a text.
func decodeFindings(err error) []Finding {
	if err == nil {
		return nil
	}
	var mismatch *json.UnmarshalTypeError
	if !errors.As(err, &mismatch) {
		return []Finding{{Rule: "contains a text that does not have the expected form"}}
	}
	at := ""
	if mismatch.Field != "" {
		for name := range strings.SplitSeq(mismatch.Field, ".") {
			at = pointer(at, name)
		}
	}
	return []Finding{{Pointer: at, Rule: "is out of range, got " + cut(mismatch.Value, 60)}}
}
