package schema

import (
	"encoding/json"
	"errors"
	"strings"
)

// Check returns what of a value breaks the schema: at most ten findings.
func (s *Schema) Check(v Value) []Finding {
	var c check
	c.value(s.root, v, "")
	return c.findings
}

// Decode is [Schema.Check] of a value that [Parse] returned, and decodes one that fits into what
// target points to. A number such as 3.0 is decoded into an integer as 3 where the schema asks
// for an integer.
func (s *Schema) Decode(v Value, target any) []Finding {
	var c check
	if c.value(s.root, v, ""); len(c.findings) > 0 {
		return c.findings
	}
	return undecodable(json.Unmarshal([]byte(edited(v.source, c.whole)), target))
}

// edited applies edits, of which several may be of the same part.
func edited(text string, edits []edit) string {
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

// undecodable says in words for a model why text that fits its schema was not decoded: it has
// a number that its field cannot hold, or a text that a type of the caller's refuses.
func undecodable(err error) []Finding {
	if err == nil {
		return nil
	}
	var mismatch *json.UnmarshalTypeError
	if !errors.As(err, &mismatch) {
		return []Finding{{Rule: "a text in it does not have the form that is expected there"}}
	}
	at := ""
	if mismatch.Field != "" {
		for name := range strings.SplitSeq(mismatch.Field, ".") {
			at = pointer(at, name)
		}
	}
	return []Finding{{Pointer: at, Rule: "is out of range, got " + cut(mismatch.Value, 60)}}
}
