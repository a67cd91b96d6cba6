package wire

import (
	"encoding/json"
	"errors"
	"net/http"
	"regexp"
	"strconv"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/contract"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/server"
)

// FieldError is one error of a 422, in the form of pydantic.
type FieldError struct {
	Type  string         `json:"type"`
	Loc   []any          `json:"loc"`
	Msg   string         `json:"msg"`
	Input any            `json:"input,omitempty"`
	Ctx   map[string]any `json:"ctx,omitempty"`
}

// Refuse returns a 422 with a list of errors.
func Refuse(list ...FieldError) *Failure {
	return &Failure{Status: http.StatusUnprocessableEntity, Body: map[string]any{"detail": list}}
}

// ValueError returns the 422 for a field that has the right type but an invalid value.
func ValueError(message string, loc ...any) *Failure {
	return Refuse(FieldError{Type: "value_error", Loc: loc, Msg: "Value error, " + message})
}

// Unprocessable returns the 422 for an error of the generated decoders.
func Unprocessable(err error) *Failure {
	var format *server.InvalidParamFormatError
	if errors.As(err, &format) {
		return ValueError("cannot be decoded: "+format.Err.Error(), "query", format.ParamName)
	}
	return ValueError(err.Error(), "body")
}

// Unreadable returns the 422 for a value that the document allows and the generated types
// cannot represent, such as an integer of more than 64 bits.
func Unreadable(value generated.Mismatch) *Failure {
	loc := []any{"body"}
	for name := range strings.SplitSeq(strings.TrimPrefix(value.Pointer, "/"), "/") {
		loc = append(loc, name)
	}
	return ValueError("cannot be decoded: "+value.String(), loc...)
}

// Invalid returns the 422 for a request that does not conform to the document.
func Invalid(found []contract.Violation, r *http.Request, body []byte) *Failure {
	var root any
	_ = json.Unmarshal(body, &root) // If the content is not JSON, a violation reports it.
	const maxErrors = 100
	found = found[:min(len(found), maxErrors)]
	list := make([]FieldError, len(found))
	for i, v := range found {
		list[i] = translate(v)
		switch v.In {
		case "body":
			list[i].Loc, list[i].Input = locate(root, v.Pointer, v.Rule == "required")
		case "header":
			list[i].Loc = []any{"body"}
			list[i].Type, list[i].Msg = "model_attributes_type", "Input should be a valid dictionary or object to extract fields from"
			list[i].Input = string(body[:min(len(body), maxInput)])
		default:
			name, _, _ := strings.Cut(v.Pointer, "/")
			list[i].Loc = []any{v.In, name}
			if v.Rule != "required" {
				list[i].Input = r.URL.Query().Get(name)
			}
		}
		if size := len(Encode(list[i].Input)); size > maxInput {
			list[i].Input = nil
		}
	}
	return Refuse(list...)
}

// maxInput is the maximum size in bytes of an invalid value that a 422 repeats.
const maxInput = 4 << 10

// locate converts a JSON pointer to a path in the form of pydantic, with numbers for list
// indices, and returns the value at the pointer. If a property is missing, it returns the
// object.
func locate(root any, pointer string, missing bool) ([]any, any) {
	loc := []any{"body"}
	value := root
	if pointer == "" {
		return loc, value
	}
	tokens := strings.Split(pointer[1:], "/")
	for i, token := range tokens {
		token = strings.NewReplacer("~1", "/", "~0", "~").Replace(token)
		switch v := value.(type) {
		case []any:
			n, err := strconv.Atoi(token)
			if err != nil || n < 0 || n >= len(v) {
				return append(loc, token), nil
			}
			loc = append(loc, n)
			value = v[n]
		case map[string]any:
			loc = append(loc, token)
			if missing && i == len(tokens)-1 {
				return loc, v
			}
			value = v[token]
		default:
			return append(loc, token), nil
		}
	}
	return loc, value
}

// translate converts a violation to the type and message of pydantic.
func translate(v contract.Violation) FieldError {
	want, _, _ := strings.Cut(strings.TrimPrefix(v.Message, "must be "), " (as ") // Cuts the variant of a union.
	amount := number.FindString(want)
	switch v.Rule {
	case "required":
		return FieldError{Type: "missing", Msg: "Field required"}
	case "json", "duplicate":
		return FieldError{Type: "json_invalid", Msg: "JSON decode error", Ctx: map[string]any{"error": want}}
	case "type":
		return wrongType(want)
	case "additionalProperties", "unknown":
		return FieldError{Type: "extra_forbidden", Msg: "Extra inputs are not permitted"}
	case "enum", "const":
		expected := strings.ReplaceAll(strings.TrimPrefix(want, "one of "), `"`, "'")
		if last := strings.LastIndex(expected, ", "); last >= 0 {
			expected = expected[:last] + " or " + expected[last+2:]
		}
		return FieldError{Type: "literal_error", Msg: "Input should be " + expected, Ctx: map[string]any{"expected": expected}}
	case "minimum":
		return FieldError{Type: "greater_than_equal", Msg: "Input should be greater than or equal to " + amount}
	case "maximum":
		return FieldError{Type: "less_than_equal", Msg: "Input should be less than or equal to " + amount}
	case "minLength":
		return FieldError{Type: "string_too_short", Msg: "String should have at least " + amount + " characters"}
	case "maxLength":
		return FieldError{Type: "string_too_long", Msg: "String should have at most " + amount + " characters"}
	case "minItems":
		return FieldError{Type: "too_short", Msg: "List should have at least " + amount + " items after validation"}
	case "pattern":
		return FieldError{Type: "string_pattern_mismatch", Msg: "String should match pattern '" + strings.TrimPrefix(want, "must match ") + "'"}
	case "format":
		return FieldError{Type: "datetime_from_date_parsing", Msg: "Input should be a valid datetime"}
	default:
		return FieldError{Type: "value_error", Msg: "Value error, " + v.Message}
	}
}

var number = regexp.MustCompile(`-?[0-9]+(\.[0-9]+)?`)

func wrongType(want string) FieldError {
	first, _, _ := strings.Cut(want, " or ")
	words, ok := map[string][2]string{
		"string": {"string", "string"}, "integer": {"int", "integer"}, "number": {"float", "number"},
		"boolean": {"bool", "boolean"}, "array": {"list", "list"},
	}[first]
	if !ok {
		words = [2]string{"model_attributes", "dictionary or object to extract fields from"}
	}
	return FieldError{Type: words[0] + "_type", Msg: "Input should be a valid " + words[1]}
}
