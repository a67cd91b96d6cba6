package ratelimited

import (
	"bytes"
	"fmt"
	"reflect"
	"regexp"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// functionName matches valid function names.
var functionName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)

// checkTools rejects unset tools, invalid or duplicate function names, and invalid schemas.
func checkTools(tools []generated.Tool) *RequestError {
	names := map[string]int{}
	for i, tool := range tools {
		field := fmt.Sprintf("tools[%d]", i)
		if tool.IsZero() {
			return &RequestError{Field: field, Value: nil, Rule: "is required: use generated.NewTool"}
		}
		f, ok := tool.Value().(generated.FunctionTool)
		if !ok {
			continue
		}
		name := f.Function.Name
		if !functionName.MatchString(name) {
			return &RequestError{Field: field + ".function.name", Value: name, Rule: "must be 1 to 64 letters, digits, _ or -"}
		}
		if before, twice := names[name]; twice {
			return &RequestError{Field: field + ".function.name", Value: name, Rule: fmt.Sprintf("must be unique, already used by tools[%d]", before)}
		}
		names[name] = i
		if finding := checkSchema(field+".function.parameters", f.Function.Parameters); finding != nil {
			return finding
		}
	}
	return nil
}

// checkFormat rejects a response format whose type and schema do not match.
func checkFormat(args generated.CompletionArgs) *RequestError {
	const field = "completion_args.response_format"
	format := args.ResponseFormat
	schema := format.JSONSchema
	chosen := format.Type == generated.ResponseFormatsJSONSchema
	switch {
	case !chosen && (schema.Name != "" || schema.Description != "" || !generated.IsUnset(schema.Schema) || schema.Strict):
		return &RequestError{Field: field + ".type", Value: string(format.Type), Rule: "must be json_schema (generated.ResponseFormatsJSONSchema) if json_schema is set"}
	case chosen && schema.Name == "":
		return &RequestError{Field: field + ".json_schema.name", Value: "", Rule: "must not be empty if the type is json_schema"}
	case chosen && generated.IsUnset(schema.Schema):
		return &RequestError{Field: field + ".json_schema.schema", Value: nil, Rule: "is required if the type is json_schema"}
	}
	return checkSchema(field+".json_schema.schema", schema.Schema)
}

// checkSchema rejects a value that is not a JSON Schema. An unset schema is valid.
func checkSchema(field string, schema generated.JSON) *RequestError {
	const rule = "must be a JSON Schema: a JSON object or a boolean"
	if generated.IsUnset(schema) {
		return nil
	}
	if _, ok := schema.(map[string]any); ok {
		return nil
	}
	text, err := generated.EncodeJSON(schema)
	if err != nil {
		return &RequestError{Field: field, Value: briefValue(schema), Rule: rule, Err: err}
	}
	switch firstByte(bytes.TrimSpace(text)) {
	case '{', 't', 'f':
		return nil
	}
	return &RequestError{Field: field, Value: excerpt(text), Rule: rule}
}

// briefValue formats a free-form value for an error message.
func briefValue(value generated.JSON) any {
	if text, ok := value.([]byte); ok {
		return excerpt(text)
	}
	if v := reflect.ValueOf(value); v.Kind() == reflect.String {
		return oneLine(v.String())
	}
	return fmt.Sprintf("%T", value)
}
