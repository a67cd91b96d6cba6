package emulator

import (
	"fmt"
	"slices"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/schema"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/state"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// checkRequest refuses what the document allows and the service does not: unknown models,
// function names and schemas that are none, and formats that strict mode cannot take. model
// is "" if the request sets none.
func (e *Emulator) checkRequest(model string, tools []generated.Tool, args generated.CompletionArgs) *wire.Failure {
	if model != "" && len(e.cfg.Models) > 0 && !slices.Contains(e.cfg.Models, model) {
		return wire.APIError(400, "Invalid model: "+wire.Short(model), "invalid_model", "1500")
	}
	if refused := checkFunctions(tools); refused != nil {
		return refused
	}
	format := args.ResponseFormat.JSONSchema
	const place = "/completion_args/response_format/json_schema/schema"
	err := schema.Check(format.Schema, place)
	if err == nil && format.Strict && !generated.IsUnset(format.Schema) {
		err = schema.CheckStrict(format.Schema, place)
	}
	return invalidSchema(err)
}

func checkFunctions(tools []generated.Tool) *wire.Failure {
	seen := map[string]bool{}
	for i, tool := range tools {
		f, ok := tool.Value().(generated.FunctionTool)
		if !ok {
			continue
		}
		name := f.Function.Name
		if refused := state.CheckFunctionName(name); refused != nil {
			return refused
		}
		if seen[name] {
			return wire.BadRequest(fmt.Sprintf("Function name %s is used by more than one tool", name), "3000")
		}
		seen[name] = true
		if refused := invalidSchema(schema.Check(f.Function.Parameters, fmt.Sprintf("/tools/%d/function/parameters", i))); refused != nil {
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
