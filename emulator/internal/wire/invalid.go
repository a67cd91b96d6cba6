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

// FieldError is one error of a 422, as pydantic writes it.
type FieldError struct {
	Type  string         `json:"type"`
	Loc   []any          `json:"loc"`
	Msg   string         `json:"msg"`
	Input any            `json:"input,omitempty"`
	Ctx   map[string]any `json:"ctx,omitempty"`
}

// Refuse returns a 422 that reports these errors.
func Refuse(list ...FieldError) *Failure {
	return &Failure{Status: http.StatusUnprocessableEntity, Body: map[string]any{"detail": list}}
}

// ValueError returns the 422 for a field that is well-formed and wrong.
func ValueError(message string, loc ...any) *Failure {
	return Refuse(FieldError{Type: "value_error", Loc: loc, Msg: "Value error, " + message})
}

// Unprocessable reports what the generated code could not read.
func Unprocessable(err error) *Failure {
	var format *server.InvalidParamFormatError
	if errors.As(err, &format) {
		return ValueError("cannot be read: "+format.Err.Error(), "query", format.ParamName)
	}
	return ValueError(err.Error(), "body")
}

// Unreadable reports a value that the generated types cannot hold though the document
// allows it, such as an integer of more than 64 bits.
func Unreadable(value generated.Mismatch) *Failure {
	loc := []any{"body"}
	for name := range strings.SplitSeq(strings.TrimPrefix(value.Pointer, "/"), "/") {
		loc = append(loc, name)
	}
	return ValueError("cannot be read: "+value.String(), loc...)
}

// Invalid reports where a request differs from the document.
func Invalid(found []contract.Violation, r *http.Request, body []byte) *Failure {
	var root any
	_ = json.Unmarshal(body, &root) // Content that is not JSON is reported as such.
	const limit = 100               // More tell nothing new.
	found = found[:min(len(found), limit)]
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

// maxInput is the number of bytes of a refused value that the refusal repeats.
const maxInput = 4 << 10

// locate turns a JSON pointer into a path as pydantic writes it, list positions being
// numbers, and finds the value there; that around it when it is missing.
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

// translate gives a broken rule pydantic's name and words.
func translate(v contract.Violation) FieldError {
	want, _, _ := strings.Cut(strings.TrimPrefix(v.Message, "must be "), " (as ") // of a union
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
