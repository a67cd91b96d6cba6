package schema

import (
	"encoding/json"
	"errors"
	"strings"
)

// Check parses text and checks it. The error is a [*ParseError]; findings are at most ten.
func (s *Schema) Check(text []byte) ([]Finding, error) {
	_, findings, err := s.check(text)
	return findings, err
}

// Decode is [Schema.Check], and decodes text that fits into what target points to. A number
// such as 3.0 is decoded into an integer as 3 where the schema asks for an integer.
func (s *Schema) Decode(text []byte, target any) ([]Finding, error) {
	text, findings, err := s.check(text)
	if err != nil || len(findings) > 0 {
		return findings, err
	}
	return undecodable(json.Unmarshal(text, target)), nil
}

// check returns the text with its integers as Go reads them.
func (s *Schema) check(text []byte) ([]byte, []Finding, error) {
	v, err := Parse(text)
	if err != nil {
		return nil, nil, err
	}
	var c check
	c.value(s.root, v, "")
	return edited(text, c.whole), c.findings, nil
}

// edited applies edits, of which several may be of the same part.
func edited(text []byte, edits []edit) []byte {
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
	return out
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
