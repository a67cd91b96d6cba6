package schema_test

import (
	"encoding/json"
	"errors"
	"math/big"
	"net/netip"
	"reflect"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner/internal/schema"
)

type unit string

func (unit) Enum() []unit { return []unit{"celsius", "fahrenheit"} }

type node struct {
	Name string `json:"name"`
	Kids []node `json:"kids"`
}

type ownNode struct {
	Name string    `json:"name"`
	Kids []ownNode `json:"kids"`
}

type namedKey string

func (namedKey) JSONSchema() any { return `{"type":"string","pattern":"^k"}` }

// X has methods that are not methods of the types that embed it.
type X struct {
	V int `json:"v"`
}

func (X) JSONSchema() any { return `{"type":"string"}` }
func (X) Enum() []string  { return []string{"x"} }

type promotes struct {
	*X `json:"-"`
	N  int `json:"n"`
}

func (ownNode) JSONSchema() any {
	return `{"type":"object","properties":{"name":{"type":"string"},"kids":{"type":"array","items":{"$ref":"#"}}},"required":["name","kids"],"additionalProperties":false}`
}

type ping struct{ Pong map[string]*pong }
type pong struct{ Ping *ping }

type base struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

type city struct{ text string }

func (c city) MarshalText() ([]byte, error)  { return []byte(c.text), nil }
func (c *city) UnmarshalText(b []byte) error { c.text = string(b); return nil }

type (
	countedKey     string
	badEnum        string
	badSchema      struct{}
	badSchemaValue struct{}
	badValues      string
	panicking      struct{}
	selfPointer    *selfPointer
)

func (countedKey) JSONSchema() any     { return `{"type":"integer"}` }
func (badEnum) Enum() []badEnum        { panic("no list") }
func (badSchema) JSONSchema() any      { panic("no schema") }
func (badSchemaValue) JSONSchema() any { return panicking{} }
func (badValues) Enum() []panicking    { return make([]panicking, 1) }

func (panicking) MarshalJSON() ([]byte, error) { panic("no JSON") }

type marshals struct{}

func (marshals) MarshalJSON() ([]byte, error) { return nil, nil }

func of[T any](t *testing.T, options schema.Options) string {
	t.Helper()
	s, err := schema.Of(reflect.TypeFor[T](), "In", options)
	if err != nil {
		t.Fatal(err)
	}
	return s.Text()
}

// The texts are compared as sent, including the order of properties.
func TestSchemasOfTypes(t *testing.T) {
	t.Parallel()
	const integer = `{"type":"integer"}`
	object := func(properties, required string) string {
		if required != "" {
			required = `"required":[` + required + `],`
		}
		return `{"type":"object","properties":{` + properties + `},` + required + `"additionalProperties":false}`
	}
	for name, c := range map[string]struct{ got, want string }{
		"described and optional": {of[struct {
			Units string `json:"units,omitempty" enum:"celsius,fahrenheit"`
			City  string `json:"city" jsonschema:"name of the city"`
		}](t, schema.Options{}), object(`"units":{"type":"string","enum":["celsius","fahrenheit"]},"city":{"type":"string","description":"name of the city"}`, `"city"`)},
		"bounds": {of[struct {
			N     int     `json:"n" minimum:"0" maximum:"100"`
			Limit int     `json:"limit,omitempty" minimum:"1" jsonschema:"most"`
			F     float64 `json:"f" minimum:"0.5"`
		}](t, schema.Options{}), object(`"n":{"type":"integer","minimum":0,"maximum":100},"limit":{"type":"integer","minimum":1,"description":"most"},"f":{"type":"number","minimum":0.5}`, `"n","f"`)},
		"pointers and slices": {of[struct {
			A *string  `json:"a,omitempty"`
			B []string `json:"b"`
			C *int     `json:"c" minimum:"1" jsonschema:"count"`
			D [2]bool  `json:"d"`
			E []byte   `json:"e"`
		}](t, schema.Options{}), object(`"a":{"anyOf":[{"type":"string"},{"type":"null"}]},"b":{"type":"array","items":{"type":"string"}},`+
			`"c":{"anyOf":[{"type":"integer","minimum":1},{"type":"null"}],"description":"count"},`+
			`"d":{"type":"array","minItems":2,"maxItems":2,"items":{"type":"boolean"}},"e":{"type":"string","contentEncoding":"base64"}`, `"b","c","d","e"`)},
		"no fields": {of[struct{}](t, schema.Options{}), object("", "")},
		"sized integers": {of[struct {
			A uint8
			B int16
			C uint
			D int64
		}](t, schema.Options{}), object(`"A":{"type":"integer","minimum":0,"maximum":255},"B":{"type":"integer","minimum":-32768,"maximum":32767},"C":{"type":"integer","minimum":0},"D":`+integer, `"A","B","C","D"`)},
		"enumerations": {of[struct {
			A unit            `json:"a"`
			B []unit          `json:"b"`
			C map[string]unit `json:"c"`
			D *unit           `json:"d"`
		}](t, schema.Options{}), strings.ReplaceAll(object(`"a":U,"b":{"type":"array","items":U},"c":{"type":"object","additionalProperties":U},"d":{"anyOf":[U,{"type":"null"}]}`, `"a","b","c","d"`),
			"U", `{"type":"string","enum":["celsius","fahrenheit"]}`)},
		"embedded": {of[struct {
			base
			Name  int  `json:"name"`
			Named base `json:"named"`
			skip  int
			Out   int `json:"-"`
		}](t, schema.Options{}), object(`"id":{"type":"string"},"name":`+integer+`,"named":`+object(`"id":{"type":"string"},"name":{"type":"string"}`, `"id","name"`), `"id","name","named"`)},
		"texts, times, anything": {of[struct {
			A city
			B time.Time
			C big.Int
			D any
			E json.RawMessage
			F *big.Float
		}](t, schema.Options{}), object(`"A":{"type":"string"},"B":{"type":"string","format":"date-time"},"C":{"type":"integer"},"D":{},"E":{},"F":{"anyOf":[{"type":"string"},{"type":"null"}]}`, `"A","B","C","D","E","F"`)},
		"all required": {of[struct {
			A int  `json:"a,omitempty" jsonschema:"text"`
			B *int `json:"b,omitzero"`
		}](t, schema.Options{AllRequired: true}), object(`"a":{"anyOf":[`+integer+`,{"type":"null"}],"description":"text"},"b":{"anyOf":[`+integer+`,{"type":"null"}]}`, `"a","b"`)},
		"wrapped": {of[[]string](t, schema.Options{Wrap: true}), object(`"value":{"type":"array","items":{"type":"string"}}`, `"value"`)},
		"own schema": {of[struct {
			Root ownNode `json:"root"`
		}](t, schema.Options{}), object(`"root":{"type":"object","properties":{"name":{"type":"string"},"kids":{"type":"array","items":{"$ref":"#/properties/root"}}},"required":["name","kids"],"additionalProperties":false}`, `"root"`)},
		"schema by type": {of[struct{ D time.Duration }](t, schema.Options{Types: map[reflect.Type]json.RawMessage{reflect.TypeFor[time.Duration](): json.RawMessage(`{"type":"integer","minimum":1}`)}}),
			object(`"D":{"type":"integer","minimum":1}`, `"D"`)},
		"enumerated keys": {of[map[unit]int](t, schema.Options{}), `{"type":"object","propertyNames":{"type":"string","enum":["celsius","fahrenheit"]},"additionalProperties":{"type":"integer"}}`},
		"described keys": {of[struct{ M map[namedKey]int }](t, schema.Options{}),
			object(`"M":{"type":"object","propertyNames":{"type":"string","pattern":"^k"},"additionalProperties":{"type":"integer"}}`, `"M"`)},
		"keys that are texts": {of[map[city]int](t, schema.Options{}), `{"type":"object","additionalProperties":{"type":"integer"}}`},
		"bounds beyond int64": {of[struct {
			U uint64  `json:"u" maximum:"18446744073709551615"`
			F float64 `json:"f" maximum:"99999999999999999999"`
			I int64   `json:"i" minimum:"-9223372036854775808"`
		}](t, schema.Options{}), object(`"u":{"type":"integer","minimum":0,"maximum":18446744073709551615},"f":{"type":"number","maximum":99999999999999999999},`+
			`"i":{"type":"integer","minimum":-9223372036854775808}`, `"u","f","i"`)},
		"promoted methods": {of[struct {
			A promotes    `json:"a"`
			B struct{ X } `json:"b"`
		}](t, schema.Options{}), object(`"a":`+object(`"n":`+integer, `"n"`)+`,"b":`+object(`"v":`+integer, `"v"`), `"a","b"`)},
		"named embedded": {of[struct {
			base `json:"base"`
		}](t, schema.Options{}), object(`"base":`+object(`"id":{"type":"string"},"name":{"type":"string"}`, `"id","name"`), `"base"`)},
		"pointer escapes": {of[struct {
			Root ownNode `json:"a%2Fb"`
		}](t, schema.Options{}), object(`"a%2Fb":{"type":"object","properties":{"name":{"type":"string"},"kids":{"type":"array","items":{"$ref":"#/properties/a%252Fb"}}},"required":["name","kids"],"additionalProperties":false}`, `"a%2Fb"`)},
		"map": {of[map[string]float64](t, schema.Options{}), `{"type":"object","additionalProperties":{"type":"number"}}`},
	} {
		if c.got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", name, c.got, c.want)
		}
	}
}

func TestTypesWithoutSchema(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		typ  reflect.Type
		want []string
	}{
		{reflect.TypeFor[struct{ Filter struct{ Done chan int } }](), []string{"In.Filter.Done", "chan int cannot be encoded as JSON"}},
		{reflect.TypeFor[struct{ F []func() }](), []string{"In.F", "func() cannot be encoded as JSON"}},
		{reflect.TypeFor[struct {
			W map[string]interface{ Close() }
		}](), []string{"In.W", "interface with methods"}},
		{reflect.TypeFor[struct{ C *complex64 }](), []string{"In.C", "complex64"}},
		{reflect.TypeFor[struct{ M map[struct{ X int }]string }](), []string{"In.M", "keys"}},
		{reflect.TypeFor[struct{ M map[int]string }](), []string{"In.M", "keys"}},
		{reflect.TypeFor[struct{ M map[countedKey]string }](), []string{"In.M[key]", "countedKey", "type integer"}},
		{reflect.TypeFor[struct{ M map[badEnum]string }](), []string{"In.M[key]", "badEnum", "panic: no list"}},
		{reflect.TypeFor[struct{ E []badEnum }](), []string{"In.E", "Enum method of schema_test.badEnum", "panic: no list"}},
		{reflect.TypeFor[struct{ S badSchema }](), []string{"In.S", "JSONSchema method of schema_test.badSchema", "panic: no schema"}},
		{reflect.TypeFor[struct{ S *badSchemaValue }](), []string{"In.S", "JSONSchema method of schema_test.badSchemaValue", "panic: no JSON"}},
		{reflect.TypeFor[struct{ E badValues }](), []string{"In.E", "Enum method of schema_test.badValues", "panic: no JSON"}},
		{reflect.TypeFor[struct{ P *selfPointer }](), []string{"In.P", "pointer to itself"}},
		{reflect.TypeFor[struct {
			N int64 `minimum:"99999999999999999999"`
		}](), []string{"In.N", "minimum", "99999999999999999999", "int64 can represent"}},
		{reflect.TypeFor[struct {
			N *int `maximum:"-9223372036854775809"`
		}](), []string{"In.N", "maximum", "int can represent"}},
		{reflect.TypeFor[struct {
			N uint64 `maximum:"18446744073709551616"`
		}](), []string{"In.N", "maximum", "uint64 can represent"}},
		{reflect.TypeFor[struct {
			N int64 `enum:"1,99999999999999999999"`
		}](), []string{"In.N", "enum", "int64 can represent"}},
		{reflect.TypeFor[struct {
			F float64 `maximum:"1e400"`
		}](), []string{"In.F", "maximum", "float64 can represent"}},
		{reflect.TypeFor[struct {
			F float32 `minimum:"1e39"`
		}](), []string{"In.F", "minimum", "float32 can represent"}},
		{reflect.TypeFor[struct {
			F float64 `minimum:"1e2000"`
		}](), []string{"In.F", "minimum", "number"}},
		{reflect.TypeFor[struct {
			S string `maxLength:"99999999999999999999"`
		}](), []string{"In.S", "maxLength", "non-negative integer"}},
		{reflect.TypeFor[struct{ D time.Duration }](), []string{"In.D", "nanoseconds"}},
		{reflect.TypeFor[struct{ N json.Number }](), []string{"In.N", "json.Number"}},
		{reflect.TypeFor[struct{ M marshals }](), []string{"In.M", "marshals", "JSONSchema"}},
		{reflect.TypeFor[struct {
			S int `json:",string"`
		}](), []string{"In.S", "string"}},
		{reflect.TypeFor[struct {
			S string `jsonschema:" "`
		}](), []string{"In.S", "jsonschema", "empty"}},
		{reflect.TypeFor[struct {
			S string `jsonschema:"required,enum=a"`
		}](), []string{"In.S", "description"}},
		{reflect.TypeFor[struct {
			S string `minimum:"1"`
		}](), []string{"In.S", "minimum", "integer or number"}},
		{reflect.TypeFor[struct {
			N int `minimum:"low"`
		}](), []string{"In.N", "number"}},
		{reflect.TypeFor[struct {
			N uint8 `maximum:"300"`
		}](), []string{"In.N", "at most 255"}},
		{reflect.TypeFor[struct {
			N int `enum:"1,two"`
		}](), []string{"In.N", "enum"}},
		{reflect.TypeFor[struct {
			T time.Time `format:"date"`
		}](), []string{"In.T", "the type already has a format"}},
		{reflect.TypeFor[struct {
			S string `pattern:"("`
		}](), []string{"In.S", "pattern", "regular expression"}},
		{reflect.TypeFor[struct {
			S string `minLength:"5" maxLength:"2"`
		}](), []string{"In.S", "a minimum above the maximum"}},
		{reflect.TypeFor[node](), []string{"In.Kids", "node → Kids → node", "SchemaOf"}},
		{reflect.TypeFor[struct{ P *ping }](), []string{"ping → Pong → pong → Ping → ping"}},
	} {
		_, err := schema.Of(c.typ, "In", schema.Options{})
		if err == nil {
			t.Errorf("%v has a schema", c.typ)
			continue
		}
		for _, want := range c.want {
			if !strings.Contains(err.Error(), want) {
				t.Errorf("%v: %v, want %q in it", c.typ, err, want)
			}
		}
	}
}

func TestOpenParts(t *testing.T) {
	t.Parallel()
	s, err := schema.Of(reflect.TypeFor[struct {
		A string
		B struct{ C map[string]any }
	}](), "T", schema.Options{})
	if err != nil || !slices.Equal(s.Open, []string{"T.B.C", "T.B.C"}) || s.IsClosed() {
		t.Errorf("open parts are %q, closed %v, %v", s.Open, s.IsClosed(), err)
	}
	closed, err := schema.Of(reflect.TypeFor[struct{ A []ownNode }](), "T", schema.Options{})
	if err != nil || len(closed.Open) > 0 || !closed.IsClosed() {
		t.Errorf("open parts are %q, closed %v, %v", closed.Open, closed.IsClosed(), err)
	}
}

// A schema has the fields that encoding/json writes.
func TestFieldsOfEncodingJSON(t *testing.T) {
	t.Parallel()
	type inner struct {
		A, B int
		C    int `json:"c"`
	}
	type Other struct {
		B int
		C int `json:"D"`
		E int
	}
	type both struct {
		inner
		Other
		X int `json:"E"`
		Y int `json:"ä,omitempty"`
	}
	type (
		Left  struct{ inner }
		Right struct{ inner }
	)
	type Twice struct {
		L struct{ inner }
		both
		Other `json:"other"`
	}
	for _, value := range []any{both{}, Twice{}, struct {
		*Other
		F any `json:"f,omitempty"`
	}{Other: &Other{}, F: 1}, struct {
		Left
		Right
	}{}, struct {
		X int `json:"V"`
		V int
	}{}} {
		text, err := json.Marshal(value)
		if err != nil {
			t.Fatal(err)
		}
		s, err := schema.Of(reflect.TypeOf(value), "T", schema.Options{})
		if err != nil {
			t.Fatal(err)
		}
		if findings, err := check(s.Schema, text); err != nil || len(findings) > 0 {
			t.Errorf("%T: %s does not match %s: %v %v", value, text, s.Text(), findings, err)
		}
	}
}

// check parses and checks a text.
func check(s *schema.Schema, text []byte) ([]schema.Finding, error) {
	v, err := schema.Parse(text)
	if err != nil {
		return nil, err
	}
	return s.Check(v), nil
}

// decode parses and decodes a text.
func decode(s *schema.Schema, text string, target any) ([]schema.Finding, error) {
	v, err := schema.Parse([]byte(text))
	if err != nil {
		return nil, err
	}
	return s.Decode(v, target), nil
}

func compile(t testing.TB, text string) *schema.Schema {
	t.Helper()
	s, err := schema.Compile([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// numbers returns n comma-separated numbers.
func numbers(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = strconv.Itoa(i)
	}
	return strings.Join(list, ",")
}

func TestFindings(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ schema, text, want string }{
		{`{"type":"object","properties":{"city":{"type":"string"}},"required":["city"],"additionalProperties":false}`, `{"City":"Paris"}`,
			"/city: is required, but missing; /City: is not a known property; the known properties are: city"},
		{`{"type":"integer"}`, `3.0`, ""},
		{`{"type":"integer"}`, `3e0`, ""},
		{`{"type":"integer"}`, `3.5`, "must be of type integer, got 3.5"},
		{`{"type":"integer","maximum":9223372036854775807}`, `9223372036854775808`, "must be at most 9223372036854775807, got 9223372036854775808"},
		{`{"type":"number","minimum":1e999999999}`, `1`, "schema"},
		{`{"type":"number","minimum":1}`, `1e-999999999`, "must be a number with fewer than 1,000 digits, got 1e-999999999"},
		{`{"enum":["a",3,{"x":[1]}]}`, `{"x":[1.0]}`, ""},
		{`{"enum":["a",3]}`, `4`, `must be one of "a", 3, got 4`},
		{`{"const":null}`, `0`, `must be null, got 0`},
		{`{"type":["string","null"],"maxLength":2}`, `"äöü"`, "must have at most 2 characters, got 3"},
		{`{"pattern":"^a+$"}`, `"b"`, `must match the pattern ^a+$, got "b"`},
		{`{"format":"date"}`, `"today"`, `must be a date such as 2026-01-31, got "today"`},
		{`{"contentEncoding":"base64"}`, `"%"`, `must be base64 text, got "%"`},
		{`{"items":{"type":"string"},"minItems":2}`, `[1]`, "must have at least 2 items, got 1; /0: must be of type string, got 1"},
		{`{"items":{"type":"integer"},"uniqueItems":true}`, `[1,1.0]`, "/1: must differ from the items before it"},
		{`{"anyOf":[{"type":"object","required":["a"]},{"type":"null"}]}`, `{}`, "/a: is required, but missing"},
		{`{"anyOf":[{"type":"string"},{"type":"null"}]}`, `1`, "must be of type string or null, got 1"},
		{`{"oneOf":[{"minimum":1},{"maximum":5}]}`, `3`, "must match exactly one of its forms, but matches 2"},
		{`{"not":{"type":"string"}}`, `"x"`, `must not have the excluded form, got "x"`},
		{`{"if":{"required":["a"]},"then":{"required":["b"]},"else":{"required":["c"]}}`, `{"a":1}`, "/b: is required, but missing"},
		{`{"if":{"required":["a"]},"then":{"required":["b"]},"else":{"required":["c"]}}`, `{}`, "/c: is required, but missing"},
		{`{"$defs":{"n":{"type":"object","properties":{"next":{"$ref":"#/$defs/n"}},"additionalProperties":false}},"$ref":"#/$defs/n"}`, `{"next":{"next":{"x":1}}}`,
			"/next/next/x: is not a known property; the known properties are: next"},
		{`{"$ref":"#"}`, `1`, "must be simpler: checking it takes too long"},
		{`{"anyOf":[{"$ref":"#"},{"$ref":"#"}]}`, `1`, "simpler"},
		{`{"patternProperties":{"^x-":{"type":"string"}},"additionalProperties":false,"propertyNames":{"maxLength":4}}`, `{"x-a":1,"y":2,"x-long":""}`,
			"/x-a: must be of type string, got 1; /y: is not a known property; /x-long: must have at most 4 characters, got 6"},
		{`{"type":"array","uniqueItems":true}`, "[" + numbers(20_000) + "]", "must be simpler: checking it takes too long"},
		{`{"dependentRequired":{"a":["b"]}}`, `{"a":1}`, `/b: is required together with "a", but missing`},
		{`{"multipleOf":0.1}`, `0.3`, ""},
		{`{"properties":{"a/b":{"type":"string"}}}`, `{"a/b":1}`, "/a~1b: must be of type string, got 1"},
		{`false`, `1`, "must be absent"},
		{`{"type":"object"}`, `{"a":1} {}`, "must be one JSON value, but other text follows it"},
		{`{"type":"object"}`, `{"a":`, "must be a complete JSON value, but the text ends inside it"},
		{`{"type":"object"}`, ``, "must be a JSON value, got an empty text"},
		{`{"type":"number"}`, `NaN`, "must be valid JSON, but is invalid near offset 1"},
		{`{}`, strings.Repeat("[", 20_000), "must be nested at most 500 levels deep"},
		{`{}`, strings.Repeat(`{"a":`, 501) + "1" + strings.Repeat("}", 501), "must be nested at most 500 levels deep"},
		{`{}`, strings.Repeat("[", 500) + strings.Repeat("]", 500), ""},
		{`{}`, `["` + strings.Repeat(`[\"`, 1000) + `"]`, ""},
		{`{"type":"strnig"}`, ``, "schema"},
		{`{"$ref":"https://example.com/x"}`, ``, "schema"},
		{`{"minLength":-1}`, ``, "schema"},
		{`[]`, ``, "schema"},
	} {
		s, err := schema.Compile([]byte(c.schema))
		if c.want == "schema" {
			if err == nil {
				t.Errorf("%s is accepted as a schema", c.schema)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", c.schema, err)
			continue
		}
		findings, err := check(s, []byte(c.text))
		var all []string
		for _, f := range findings {
			all = append(all, f.String())
		}
		got := strings.Join(all, "; ")
		if err != nil {
			got = err.Error()
		}
		if got != c.want && (c.want == "" || !strings.Contains(got, c.want)) {
			t.Errorf("%s\n%.60s\n got %s\nwant %s", c.schema, c.text, got, c.want)
		}
	}
}

func TestFindingsAreBounded(t *testing.T) {
	t.Parallel()
	s := compile(t, `{"type":"object","properties":{"a":{"type":"array","items":{"type":"integer"}}}}`)
	findings, err := check(s, []byte(`{"a":[`+strings.TrimSuffix(strings.Repeat(`"`+strings.Repeat("x", 5000)+`",`, 50), ",")+`]}`))
	if err != nil || len(findings) != 10 || len(schema.Text(findings)) > 2100 {
		t.Errorf("%d findings, %d bytes, %v", len(findings), len(schema.Text(findings)), err)
	}
}

// A finding that exceeds the maximum text is shortened, not omitted.
func TestLongFinding(t *testing.T) {
	t.Parallel()
	text := schema.Text([]schema.Finding{{Pointer: "/a", Rule: strings.Repeat("long ", 1000)}, {Pointer: "/b", Rule: "short"}})
	if !strings.HasPrefix(text, "- /a: long") || len(text) > 2100 || !strings.HasSuffix(text, "and 1 more") {
		t.Errorf("%d bytes: %.40s … %.20s", len(text), text, text[len(text)-20:])
	}
}

// A check uses memory in proportion to the text, for any nesting and any names.
func TestMemoryOfNestedValues(t *testing.T) {
	s := compile(t, `{"type":"object","properties":{"a":{"$ref":"#/$defs/any"}},"$defs":{"any":{"items":{"$ref":"#/$defs/any"},"additionalProperties":{"$ref":"#/$defs/any"}}}}`)
	name := strings.Repeat("n", 1000)
	for _, text := range []string{
		`{"a":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + "}",
		`{"a":` + strings.Repeat("[", 490) + strings.Repeat("]", 490) + "}",
		`{"a":` + strings.Repeat(`{"`+name+`":`, 490) + "1" + strings.Repeat("}", 490) + "}",
	} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, _ = check(s, []byte(text))
		runtime.ReadMemStats(&after)
		if got, limit := after.TotalAlloc-before.TotalAlloc, uint64(20*len(text)+1<<20); got > limit {
			t.Errorf("%d bytes of text: %d bytes, want at most %d", len(text), got, limit)
		}
	}
}

// Values that encoding/json would merge or reject are findings.
func TestFindingsOfDecoding(t *testing.T) {
	t.Parallel()
	type in struct {
		Name string       `json:"name"`
		IP   netip.Addr   `json:"ip"`
		M    map[unit]int `json:"m"`
		P    *pair        `json:"p,omitempty"`
	}
	s, err := schema.Of(reflect.TypeFor[in](), "In", schema.Options{})
	if err != nil {
		t.Fatal(err)
	}
	for text, want := range map[string]string{
		`{"name":"a","ip":"1.1.1.1","m":{"celsius":1}}`:           "",
		`{"name":"a","name":"b","ip":"1.1.1.1","m":{}}`:           "/name: must occur only once",
		`{"name":"a","ip":"here","m":{}}`:                         `/ip: does not have the expected form, got "here"`,
		`{"name":"a","ip":"1.1.1.1","m":{"kelvin":1}}`:            `/m/kelvin: must be one of "celsius", "fahrenheit", got "kelvin"`,
		`{"name":"a","ip":"1.1.1.1","m":{},"p":{"A":1,"A":null}}`: "/p/A: must occur only once",
	} {
		findings, err := decode(s.Schema, text, new(in))
		got := ""
		if len(findings) > 0 {
			got = findings[0].String()
		}
		if err != nil || got != want {
			t.Errorf("%s: %v, %v, want %s", text, findings, err, want)
		}
	}
}

type pair struct{ A *int }

func TestDecode(t *testing.T) {
	t.Parallel()
	type in struct {
		N    int64           `json:"n"`
		List []int           `json:"list"`
		Raw  json.RawMessage `json:"raw"`
		U    uint64          `json:"u"`
	}
	s, err := schema.Of(reflect.TypeFor[in](), "In", schema.Options{})
	if err != nil {
		t.Fatal(err)
	}
	var got in
	findings, err := decode(s.Schema, `{"n": 9007199254740993, "list": [3.0, 3e0, 12E1, -0.0], "raw": {"b": 1.0, "a": "<"}, "u": 18446744073709551615}`, &got)
	if err != nil || len(findings) > 0 || got.N != 9007199254740993 || !slices.Equal(got.List, []int{3, 3, 120, 0}) || string(got.Raw) != `{"b": 1.0, "a": "<"}` || got.U != 1<<64-1 {
		t.Errorf("%+v, %v, %v", got, findings, err)
	}
	for text, want := range map[string]string{
		`{"n":9223372036854775808,"list":[],"raw":1,"u":0}`:  "/n: must be at most 9223372036854775807",
		`{"n":1e30,"list":[],"raw":1,"u":0}`:                 "/n: must be at most 9223372036854775807",
		`{"n":0,"list":[],"raw":1,"u":18446744073709551616}`: "/u: must be at most 18446744073709551615",
		`{"n":0,"list":null,"raw":1,"u":0}`:                  "/list: must be of type array, got null",
	} {
		findings, err := decode(s.Schema, text, new(in))
		if err != nil || len(findings) != 1 || !strings.HasPrefix(findings[0].String(), want) {
			t.Errorf("%s: %v, %v, want %s", text, findings, err, want)
		}
	}
}

// FuzzParse compares values with those of encoding/json.
func FuzzParse(f *testing.F) {
	for _, text := range []string{`{"a":[1,"\u00e9\\",true,null,-0.5e+3],"":{}}`, ` [ ] `, `"ü\""`, `{"a":1,"a":2}`, `[1,]`, `nul`, `{"a"`, `1 2`, "\"\xff\""} {
		f.Add(text)
	}
	open := compile(f, `{}`)
	f.Fuzz(func(t *testing.T, text string) {
		v, err := schema.Parse([]byte(text))
		if parse := (*schema.ParseError)(nil); errors.As(err, &parse) && parse.Deep {
			t.Skip()
		}
		if (err == nil) != json.Valid([]byte(text)) {
			t.Fatalf("%q: %v", text, err)
		}
		if err != nil {
			return
		}
		var got, want any
		if findings := open.Decode(v, &got); len(findings) > 0 {
			t.Skip() // a number beyond float64
		}
		if err := json.Unmarshal([]byte(text), &want); err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%q: %v and %v, %v", text, got, want, err)
		}
		if s, err := schema.Compile([]byte(`{"enum":[` + text + `]}`)); err == nil {
			if findings := s.Check(v); len(findings) > 0 {
				t.Errorf("%q does not equal itself: %v", text, findings)
			}
		}
	})
}
