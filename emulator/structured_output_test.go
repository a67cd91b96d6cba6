package emulator_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// TestOutputMatchesSchema requests JSON for each schema with several prompts. Another library
// validates the output.
func TestOutputMatchesSchema(t *testing.T) {
	t.Parallel()
	e := emulator.New(emulator.Config{})
	for _, schema := range []string{
		`{"type":"object","properties":{"a":{"type":"string"},"b":{"type":"integer"}},"required":["b","c"]}`,
		`{"type":"object","properties":{"a":{"$ref":"#/$defs/a"}},"required":["a"],"additionalProperties":false,"$defs":{"a":{"type":"integer","minimum":90,"maximum":95}}}`,
		`{"type":"object","additionalProperties":{"type":"boolean"},"minProperties":3}`,
		`{"type":"object","properties":{"a":{},"b":true,"c":{"type":"null"}},"minProperties":2,"required":["c"]}`,
		`{"type":"array","items":{"type":"string"},"minItems":3,"uniqueItems":true}`,
		`{"type":"array","items":{"enum":["red","green","blue"]},"minItems":3,"uniqueItems":true}`,
		`{"type":"array","items":{"type":"number","minimum":0,"maximum":9},"minItems":4,"uniqueItems":true}`,
		`{"type":"array","items":{"type":"object","properties":{"n":{"type":"integer"}},"required":["n"]},"minItems":2,"maxItems":2}`,
		`{"type":"array","prefixItems":[{"type":"string"},{"type":"integer"}],"items":{"type":"boolean"},"minItems":3}`,
		`{"type":"array","items":{"type":"string"},"maxItems":0}`,
		`{"type":"integer","exclusiveMinimum":5,"exclusiveMaximum":7}`,
		`{"type":"integer","multipleOf":7,"minimum":15}`,
		`{"type":"integer","maximum":-3}`,
		`{"type":"number","exclusiveMinimum":0,"exclusiveMaximum":0.5}`,
		`{"type":"number","multipleOf":0.25,"minimum":3.1,"maximum":3.4}`,
		`{"type":"string","minLength":300}`,
		`{"type":"string","maxLength":3}`,
		`{"type":"string","pattern":"^[A-Z]{3}-[0-9]{4}$"}`,
		`{"type":"string","pattern":"^(foo|bar)+\\.txt$","minLength":20}`,
		`{"type":"string","pattern":"^\\d+$","minLength":5,"maxLength":5}`,
		`{"type":"string","pattern":"^x?.[!-/]*(a|b){2,}$","minLength":6}`,
		`{"type":"string","pattern":"^[!-/] [ ]$"}`,
		`{"type":"array","items":{"type":"string","pattern":"^[a-z]+$"},"minItems":3,"uniqueItems":true}`,
		`{"allOf":[{"type":"integer","minimum":3,"maximum":90},{"minimum":50,"maximum":60},{"$ref":"#/$defs/a"}],"$defs":{"a":{"multipleOf":11}}}`,
		`{"allOf":[{"type":"string","minLength":3},{"minLength":30,"maxLength":40}]}`,
		`{"type":"object","properties":{"a":{"$ref":"#/anyOf/1"}},"required":["a"],"anyOf":[{},{"type":"integer"}]}`,
		`{"type":"string","format":"date-time"}`,
		`{"type":"string","format":"uuid"}`,
		`{"type":"string","format":"email"}`,
		`{"type":"string","format":"ipv6"}`,
		`{"type":["null","string"]}`,
		`{"anyOf":[{"type":"integer","minimum":10},{"type":"string"}]}`,
		`{"oneOf":[{"type":"object","properties":{"k":{"const":"a"}},"required":["k"]},{"type":"object","properties":{"k":{"const":"b"}},"required":["k"]}]}`,
		`{"allOf":[{"type":"object","properties":{"a":{"type":"integer"}},"required":["a"]},{"properties":{"a":{"minimum":50},"b":{"type":"string","maxLength":1}},"required":["b"]}]}`,
		`{"allOf":[{"enum":["x","y"]},{"enum":["y","z"]}]}`,
		`{"const":{"a":[1,null]}}`,
		`{"default":"d"}`,
		`{"$ref":"#/$defs/node","$defs":{"node":{"type":"object","properties":{"value":{"type":"integer"},"next":{"anyOf":[{"$ref":"#/$defs/node"},{"type":"null"}]}},"required":["value","next"]}}}`,
		`{"$ref":"#/$defs/tree","$defs":{"tree":{"type":"object","properties":{"children":{"type":"array","items":{"$ref":"#/$defs/tree"}}},"required":["children"]}}}`,
		`{"$ref":"#/$defs/a~1b","$defs":{"a/b":{"type":"boolean"}}}`,
		`{"properties":{"a":{"minimum":1}}}`,
	} {
		validator := compiled(t, schema)
		for _, text := range []string{"Hello", "Give me 93 or \"red\" for Paris in 2.5 hours", "", "-7"} {
			request := textRequest(text)
			request.CompletionArgs.ResponseFormat = generated.ResponseFormat{
				Type: generated.ResponseFormatsJSONSchema, JSONSchema: generated.JSONSchema{Name: "s", Schema: object(t, schema)},
			}
			w := direct(t.Context(), e, http.MethodPost, "/v1/conversations", encoded(t, request))
			got := textOf(decoded[generated.ConversationResponse](t, w).Outputs)
			value, err := jsonschema.UnmarshalJSON(strings.NewReader(got))
			if err == nil {
				err = validator.Validate(value)
			}
			if err != nil {
				t.Errorf("%s, %q: %.300s: %v", schema, text, got, err)
			}
		}
	}
}

func object(t *testing.T, text string) map[string]any {
	t.Helper()
	var value map[string]any
	if err := json.Unmarshal([]byte(text), &value); err != nil {
		t.Fatal(err)
	}
	return value
}

func compiled(t *testing.T, schema string) *jsonschema.Schema {
	t.Helper()
	value, err := jsonschema.UnmarshalJSON(strings.NewReader(schema))
	if err != nil {
		t.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("s.json", value); err != nil {
		t.Fatal(err)
	}
	validator, err := compiler.Compile("s.json")
	if err != nil {
		t.Fatal(err)
	}
	return validator
}

// The model returns valid JSON even if no value, or only an infinite one, matches the schema.
func TestOutputForUnsatisfiableSchemas(t *testing.T) {
	t.Parallel()
	e := emulator.New(emulator.Config{})
	for _, schema := range []string{
		`{"$ref":"#"}`,
		`{"allOf":[{"$ref":"#"},{"$ref":"#"}]}`,
		`{"type":"object","properties":{"a":{"$ref":"#"},"b":{"$ref":"#"}},"required":["a"]}`,
		`{"type":"object","properties":{"a":{"$ref":"#"},"b":{"$ref":"#"}},"required":["a","b"]}`,
		`{"type":"array","items":{"$ref":"#"},"minItems":2}`,
		`{"type":"array","minItems":1e300}`,
		`{"type":"string","minLength":1e300}`,
		`{"type":"string","pattern":"(?=a)b(?!c)"}`,
		`{"type":"string","pattern":"a{1000}b{1000}","maxLength":3}`,
		`{"type":"string","pattern":"(((((((()*)*)*)*)*)*)*)*x^"}`,
		`{"type":"integer","minimum":2,"maximum":1}`,
		`{"anyOf":[true]}`,
		`{"enum":[]}`,
	} {
		request := textRequest("x")
		request.CompletionArgs.ResponseFormat = generated.ResponseFormat{
			Type: generated.ResponseFormatsJSONSchema, JSONSchema: generated.JSONSchema{Name: "s", Schema: object(t, schema)},
		}
		w := direct(t.Context(), e, http.MethodPost, "/v1/conversations", encoded(t, request))
		if got := textOf(decoded[generated.ConversationResponse](t, w).Outputs); !json.Valid([]byte(got)) {
			t.Errorf("%s: output is %.300s, want valid JSON", schema, got)
		}
	}
}

// The properties of structured output, and of the arguments of a call, have the order of the
// schema.
func TestOutputHasPropertiesInSchemaOrder(t *testing.T) {
	t.Parallel()
	a := start(t, emulator.Config{})
	const schema = `{"type":"object","properties":{"reason":{"const":1},"answer":{"const":2},"a":{"type":"object","properties":{"y":{"const":3},"x":{"const":4}},"required":["x","y"]}},"required":["answer","a","reason"]}`
	const want = `{"reason":1,"answer":2,"a":{"y":3,"x":4}}`
	args := `{"model":"m","inputs":"weather","completion_args":{"response_format":{"type":"json_schema","json_schema":{"name":"s","schema":` + schema + `}}}}`
	if got := textOf(read[generated.ConversationResponse](a.do(http.MethodPost, "/v1/conversations", args)).Outputs); got != want {
		t.Errorf("message: %s, want %s", got, want)
	}
	tool := `{"model":"m","inputs":"weather","tools":[{"type":"function","function":{"name":"weather","parameters":` + schema + `}}]}`
	response := read[generated.ConversationResponse](a.do(http.MethodPost, "/v1/conversations", tool))
	if calls := response.FunctionCalls(); len(calls) != 1 || string(calls[0].Arguments) != want {
		t.Errorf("call: %+v, want %s", calls, want)
	}
}
