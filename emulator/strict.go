package emulator

import (
	"fmt"
	"slices"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/schema"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/state"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// checkRequest rejects requests that the document allows and the real API does not. They
// contain unknown models, invalid function names or schemas, or response formats that
// strict mode does not support. model is nil if the request does not set one.
func (e *Emulator) checkRequest(model *string, tools []generated.Tool, args generated.CompletionArgs) *wire.Failure {
	if model != nil && (*model == "" || len(e.cfg.Models) > 0 && !slices.Contains(e.cfg.Models, *model)) {
		return wire.APIError(400, "Invalid model: "+wire.Short(*model), "invalid_model", "1500")
	}
	var schemas schema.Checker
	if refused := checkFunctions(tools, &schemas); refused != nil {
		return refused
	}
	return checkFormat(args.ResponseFormat, &schemas)
}

// checkFormat rejects a json_schema with another type, the type json_schema without a
// json_schema, and a json_schema with an invalid name or schema.
func checkFormat(format generated.ResponseFormat, schemas *schema.Checker) *wire.Failure {
	given := format.JSONSchema
	isSet := given.Name != "" || given.Description != "" || !generated.IsUnset(given.Schema) || given.Strict
	if chosen := format.Type == generated.ResponseFormatsJSONSchema; !chosen && !isSet {
		return nil
	} else if chosen != isSet {
		return wire.ValueError("json_schema must be set if the type is json_schema, and only then", "body", "completion_args", "response_format")
	}
	if refused := state.CheckName("Schema", given.Name); refused != nil {
		return refused
	}
	const place = "/completion_args/response_format/json_schema/schema"
	err := schemas.Check(given.Schema, place)
	if err == nil && given.Strict {
		err = schema.CheckStrict(given.Schema, place)
	}
	return invalidSchema(err)
}

func checkFunctions(tools []generated.Tool, schemas *schema.Checker) *wire.Failure {
	seen := map[string]bool{}
	for i, tool := range tools {
		f, ok := tool.Value().(generated.FunctionTool)
		if !ok {
			continue
		}
		name := f.Function.Name
		if refused := state.CheckName("Function", name); refused != nil {
			return refused
		}
		if seen[name] {
			return wire.BadRequest(fmt.Sprintf("Function name %s is used by more than one tool", name), "3000")
		}
		seen[name] = true
		if refused := invalidSchema(schemas.Check(f.Function.Parameters, fmt.Sprintf("/tools/%d/function/parameters", i))); refused != nil {
			return refused
		}
	}
	return nil
}

func invalidSchema(err error) *wire.Failure {
	if err == nil {
		return nil
	}
	return wire.BadRequest("Invalid schema: "+err.Error(), "3000")
}
