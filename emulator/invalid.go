package emulator

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

// fieldError is one error of a 422, as pydantic writes it.
type fieldError struct {
	Type  string         `json:"type"`
	Loc   []any          `json:"loc"`
	Msg   string         `json:"msg"`
	Input any            `json:"input,omitempty"`
	Ctx   map[string]any `json:"ctx,omitempty"`
}

func refuse(list ...fieldError) *failure {
	return &failure{status: http.StatusUnprocessableEntity, body: map[string]any{"detail": list}}
}

// valueError is what pydantic says when a field is well-formed and not good.
func valueError(message string, loc ...any) *failure {
	return refuse(fieldError{Type: "value_error", Loc: loc, Msg: "Value error, " + message})
}

// unprocessable reports what the generated code could not read.
func unprocessable(err error) *failure {
	var format *server.InvalidParamFormatError
	if errors.As(err, &format) {
		return valueError("cannot be read: "+format.Err.Error(), "query", format.ParamName)
	}
	return valueError(err.Error(), "body")
}

// unreadable reports a value that the generated types cannot hold though the document
// allows it, such as an integer of more than 64 bits.
func unreadable(value generated.Mismatch) *failure {
	loc := []any{"body"}
	for name := range strings.SplitSeq(strings.TrimPrefix(value.Pointer, "/"), "/") {
		loc = append(loc, name)
	}
	return valueError("cannot be read: "+value.String(), loc...)
}

// invalid reports where a request differs from the document.
func invalid(found []contract.Violation, r *http.Request, body []byte) *failure {
	var root any
	_ = json.Unmarshal(body, &root) // What is no JSON is reported as such.
	const most = 100                // More tell nothing new.
	found = found[:min(len(found), most)]
	list := make([]fieldError, len(found))
	for i, v := range found {
		list[i] = translate(v)
		switch v.In {
		case "body":
			list[i].Loc, list[i].Input = locate(root, v.Pointer, v.Rule == "required")
		case "header":
			list[i].Loc = []any{"body"}
			list[i].Type, list[i].Msg = "model_attributes_type", "Input should be a valid dictionary or object to extract fields from"
			list[i].Input = string(body[:min(len(body), mostInput)])
		default:
			name, _, _ := strings.Cut(v.Pointer, "/")
			list[i].Loc = []any{v.In, name}
			if v.Rule != "required" {
				list[i].Input = r.URL.Query().Get(name)
			}
		}
		if size := len(encode(list[i].Input)); size > mostInput {
			list[i].Input = nil
		}
	}
	return refuse(list...)
}

// mostInput is the most bytes of a refused value that the refusal repeats.
const mostInput = 4 << 10

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
func translate(v contract.Violation) fieldError {
	want, _, _ := strings.Cut(strings.TrimPrefix(v.Message, "want "), " (as ") // of a union
	amount := number.FindString(want)
	switch v.Rule {
	case "required":
		return fieldError{Type: "missing", Msg: "Field required"}
	case "json", "duplicate":
		return fieldError{Type: "json_invalid", Msg: "JSON decode error", Ctx: map[string]any{"error": want}}
	case "type":
		return wrongType(want)
	case "additionalProperties", "unknown":
		return fieldError{Type: "extra_forbidden", Msg: "Extra inputs are not permitted"}
	case "enum", "const":
		expected := strings.ReplaceAll(strings.TrimPrefix(want, "one of "), `"`, "'")
		if last := strings.LastIndex(expected, ", "); last >= 0 {
			expected = expected[:last] + " or " + expected[last+2:]
		}
		return fieldError{Type: "literal_error", Msg: "Input should be " + expected, Ctx: map[string]any{"expected": expected}}
	case "minimum":
		return fieldError{Type: "greater_than_equal", Msg: "Input should be greater than or equal to " + amount}
	case "maximum":
		return fieldError{Type: "less_than_equal", Msg: "Input should be less than or equal to " + amount}
	case "minLength":
		return fieldError{Type: "string_too_short", Msg: "String should have at least " + amount + " characters"}
	case "maxLength":
		return fieldError{Type: "string_too_long", Msg: "String should have at most " + amount + " characters"}
	case "minItems":
		return fieldError{Type: "too_short", Msg: "List should have at least " + amount + " items after validation"}
	case "pattern":
		return fieldError{Type: "string_pattern_mismatch", Msg: "String should match pattern '" + strings.TrimPrefix(want, "a match of ") + "'"}
	case "format":
		return fieldError{Type: "datetime_from_date_parsing", Msg: "Input should be a valid datetime"}
	default:
		return fieldError{Type: "value_error", Msg: "Value error, " + v.Message}
	}
}

var number = regexp.MustCompile(`-?[0-9]+(\.[0-9]+)?`)

func wrongType(want string) fieldError {
	switch first, _, _ := strings.Cut(want, " or "); first {
	case "string":
		return fieldError{Type: "string_type", Msg: "Input should be a valid string"}
	case "integer":
		return fieldError{Type: "int_type", Msg: "Input should be a valid integer"}
	case "number":
		return fieldError{Type: "float_type", Msg: "Input should be a valid number"}
	case "boolean":
		return fieldError{Type: "bool_type", Msg: "Input should be a valid boolean"}
	case "array":
		return fieldError{Type: "list_type", Msg: "Input should be a valid list"}
	default:
		return fieldError{Type: "model_attributes_type", Msg: "Input should be a valid dictionary or object to extract fields from"}
	}
}
