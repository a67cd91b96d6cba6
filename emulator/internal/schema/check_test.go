package schema

import (
	"strings"
	"testing"
)

// TestCheckCompilesPatternsAndReferences covers errors that the metaschema does not detect.
func TestCheckCompilesPatternsAndReferences(t *testing.T) {
	t.Parallel()
	for schema, want := range map[string]string{
		`{"$ref":"#/$defs/none"}`:                                `/p: $ref: must refer to a location in the schema, got "#/$defs/none"`,
		`{"properties":{"a":{"$ref":"#none"}}}`:                  `/p: $ref: must refer to a location in the schema, got "#none"`,
		`{"items":{"$ref":"#/$defs/a~1b/0"},"$defs":{"a/b":{}}}`: `/p: $ref: must refer to a location in the schema, got "#/$defs/a~1b/0"`,
		`{"$dynamicRef":"#/$defs/none"}`:                         `/p: $ref: must refer to a location in the schema, got "#/$defs/none"`,
		`{"$ref":"other.json"}`:                                  `/p: $ref: must refer to a location in the schema, got "other.json"`,
		`{"$ref":"https://example.com/s.json"}`:                  `/p: $ref: must refer to a location in the schema, got "https://example.com/s.json"`,
		`{"$ref":"file:///etc/passwd"}`:                          `/p: $ref: must refer to a location in the schema, got "file:///etc/passwd"`,
		`{"properties":{"a":{"pattern":"("}}}`:                   `/p/properties/a/pattern: must be a regular expression, got "("`,
		`{"patternProperties":{"[":{}}}`:                         `/p: must be a regular expression, got "["`,
		`{"$defs":{"unused":{"pattern":"*"}}}`:                   `/p/$defs/unused/pattern: must be a regular expression, got "*"`,
		`{"$ref":7}`:                                             `/p/$ref: got number, want string`,
		`{"$anchor":"a","$defs":{"b":{"$anchor":"a"}}}`:          `/p: `,
		`{"$schema":"http://json-schema.org/draft-07/schema#","$ref":"#/definitions/a","definitions":{"a":{"type":"string"}}}`: "",
		`{"$schema":"https://example.com/own","type":"object"}`:                                                                "",
		`{"$ref":"#/$defs/a%25~1b","$defs":{"a%/b":{"$ref":"#"}}}`:                                                             "",
		`{"$ref":"#here","$defs":{"a":{"$anchor":"here"}}}`:                                                                    "",
		`{"$ref":"https://json-schema.org/draft/2020-12/schema"}`:                                                              "",
		`{"pattern":"^(?=.*\\d)\\p{L}+(?<year>\\d{4})$"}`:                                                                      "", // JavaScript
		`{"pattern":"^(?P<year>\\d{4})\\z"}`:                                                                                   "", // Go and Python
		`{"pattern":"^((((a{1000})+)+)+)+$"}`:                                                                                  "",
		`{"pattern":"` + strings.Repeat("(", maxPatternBytes+1) + `"}`:                                                         "", // longer than the bound
		strings.Repeat(`{"not":`, maxDepth+1) + "{}" + strings.Repeat("}", maxDepth+1):                                         "/p: must be nested at most 200 deep",
		strings.Repeat(`{"allOf":[`, 99) + "{}" + strings.Repeat("]}", 99):                                                     "",
		`{"format":"regex","default":"("}`:                                                                                     "",
	} {
		err := new(Checker).Check(schema, "/p")
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%.100s: %v, want %q", schema, err, want)
		}
	}
}

func TestCheckSkipsSchemasBeyondTheBound(t *testing.T) {
	t.Parallel()
	var c Checker
	large := `{"description":"` + strings.Repeat("x", maxChecked/2) + `","pattern":"("}`
	if err := c.Check(large, ""); err == nil {
		t.Error("the first schema was not checked")
	}
	if err := c.Check(large, ""); err != nil {
		t.Errorf("the second schema was checked: %v", err)
	}
}

// BenchmarkCheck measures the largest schemas that are checked, and deeply nested ones.
func BenchmarkCheck(b *testing.B) {
	repeat := func(text string) string {
		return strings.TrimSuffix(strings.Repeat(text, (maxChecked-200)/len(text)), ",")
	}
	for name, schema := range map[string]string{
		"refs":     `{"anyOf":[` + repeat(`{"$ref":"#/$defs/a"},`) + `],"$defs":{"a":{"type":"string"}}}`,
		"patterns": `{"anyOf":[` + repeat(`{"pattern":"((((a{9}){9}){9}){9}){9}"},`) + `]}`,
		"classes":  `{"anyOf":[` + repeat(`{"pattern":"[\\p{L}\\P{L}]*"},`) + `]}`,
		"deep":     strings.Repeat(`{"not":`, 100) + "{}" + strings.Repeat("}", 100),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				if err := new(Checker).Check(schema, ""); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func FuzzCheck(f *testing.F) {
	f.Add(`{"$ref":"#/$defs/a","$defs":{"a":{"pattern":"a|(b"}}}`)
	f.Add(`{"$id":"x","$anchor":"b","$dynamicRef":"#b","patternProperties":{"^a":true}}`)
	f.Fuzz(func(_ *testing.T, schema string) { _ = new(Checker).Check(schema, "") })
}
