package runner

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"regexp"
	"slices"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner/internal/schema"
)

// Tool is a function that a model may call. It is immutable. Its function may be called
// concurrently, within one run (see [Sequential]) and across runs.
type Tool struct {
	definition generated.Function
	parameters *schema.Schema
	toolOptions

	// prepare decodes arguments that are a JSON object. It returns the call to make, or the
	// findings about the arguments. It is nil if the caller answers the calls.
	prepare func(arguments []byte) (func(context.Context) (any, error), []schema.Finding)
}

// toolName matches the names that the service accepts.
var toolName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)

// builtins are the names of the service's own tools.
var builtins = []string{
	string(generated.ToolTypeCodeInterpreter), string(generated.ToolTypeConnector), string(generated.ToolTypeDocumentLibrary),
	string(generated.ToolTypeFunction), string(generated.ToolTypeImageGeneration), string(generated.ToolTypeWebSearch), string(generated.ToolTypeWebSearchPremium),
}

// NewTool returns a tool that calls a function. The model sees the name (1 to 64 letters, digits, _
// and -), the description and the schema of In.
//
// In is a struct, a pointer to a struct, or a map with string keys. Its schema follows the rules of
// encoding/json: see the package comment. If the arguments do not match the schema, f is not
// called. The model receives the findings and may try again.
//
// The model receives the result of f: a string or a [json.RawMessage] unchanged, struct{} as "ok",
// and any other value as JSON. If f returns an error or panics, the model receives "The function
// failed." without the text of the error: see [Explain] and [Abort].
//
// The context of f ends with the run, and after [WithTimeout]. [CallFrom] returns the call from
// this context.
//
// The error is a [*ConfigError].
func NewTool[In, Out any](name, description string, f func(context.Context, In) (Out, error), options ...ToolOption) (*Tool, error) {
	o, err := toolOptionsOf(name, options)
	if err != nil {
		return nil, err
	}
	t := reflect.TypeFor[In]()
	if t == reflect.TypeFor[json.RawMessage]() {
		return nil, &ConfigError{Tool: name, Field: "In", Value: t, Rule: "must be a struct, or a map with string keys; use RawTool for undecoded arguments and your own schema"}
	}
	if f == nil {
		return nil, &ConfigError{Tool: name, Field: "f", Rule: "must be a function; use RawTool for calls that the caller answers"}
	}
	base := t
	if base.Kind() == reflect.Pointer {
		base = base.Elem()
	}
	parameters, err := schemaOf(base, "In", o.schemaOptions)
	if err != nil {
		return nil, typeError(name, err)
	}
	if !parameters.IsObject() {
		return nil, &ConfigError{Tool: name, Field: "In", Value: t, Rule: "must be a struct or a pointer to one, or a map with string keys"}
	}
	definition := generated.Function{
		Name: name, Description: description, Parameters: generated.JSONText(parameters.Text()), Strict: !o.loose && parameters.IsClosed(),
	}
	return newTool(definition, parameters.Schema, o, func(arguments []byte) (func(context.Context) (any, error), []schema.Finding) {
		var in In
		if findings := decode(parameters.Schema, arguments, &in); len(findings) > 0 {
			return nil, findings
		}
		return func(ctx context.Context) (any, error) { return f(ctx, in) }, nil
	})
}

// RawTool returns a tool with an explicit definition. The function f receives the arguments as the
// model wrote them: a JSON object that matches the definition's Parameters. It returns the text for
// the model. Parameters is a JSON Schema of type "object", in any form of [generated.JSON]; if it
// is unset, every object matches. Strict is sent unchanged. Otherwise RawTool behaves like
// [NewTool].
//
// If f is nil, [Config.Decide] answers the calls, or the caller after a [*PendingError].
func RawTool(definition generated.Function, f func(context.Context, json.RawMessage) (string, error), options ...ToolOption) (*Tool, error) {
	o, err := toolOptionsOf(definition.Name, options)
	if err != nil {
		return nil, err
	}
	text, err := schema.Encode(definition.Parameters)
	if err != nil {
		return nil, &ConfigError{Tool: definition.Name, Field: "Parameters", Rule: "must be a JSON Schema: " + err.Error(), Err: err}
	}
	if text == nil {
		text = json.RawMessage(`{"type":"object","properties":{}}`)
	}
	parameters, err := schema.Compile(text)
	if err != nil {
		return nil, &ConfigError{Tool: definition.Name, Field: "Parameters", Rule: "must be a JSON Schema: " + err.Error(), Err: err}
	}
	if bytes.TrimSpace(text)[0] != '{' || !parameters.AllowsObject() {
		return nil, &ConfigError{Tool: definition.Name, Field: "Parameters", Value: string(text), Rule: `must be a JSON Schema of type "object"`}
	}
	definition.Parameters = generated.JSONText(text)
	if f == nil {
		return newTool(definition, parameters, o, nil)
	}
	return newTool(definition, parameters, o, func(arguments []byte) (func(context.Context) (any, error), []schema.Finding) {
		if findings := decode(parameters, arguments, nil); len(findings) > 0 {
			return nil, findings
		}
		return func(ctx context.Context) (any, error) { return f(ctx, arguments) }, nil
	})
}

func newTool(definition generated.Function, parameters *schema.Schema, o toolOptions, prepare func([]byte) (func(context.Context) (any, error), []schema.Finding)) (*Tool, error) {
	const nameRule = "must be 1 to 64 letters, digits, _ or -"
	switch {
	case !toolName.MatchString(definition.Name):
		return nil, &ConfigError{Tool: definition.Name, Field: "name", Value: definition.Name, Rule: nameRule}
	case slices.Contains(builtins, definition.Name):
		return nil, &ConfigError{Tool: definition.Name, Field: "name", Value: definition.Name, Rule: "must not be the name of a built-in tool of the service"}
	case strings.TrimSpace(definition.Description) == "":
		return nil, &ConfigError{Tool: definition.Name, Field: "description", Value: definition.Description, Rule: "must not be blank: the model decides by it when to call the tool"}
	}
	return &Tool{definition: definition, parameters: parameters, toolOptions: o, prepare: prepare}, nil
}

// Name returns the name of the tool.
func (t *Tool) Name() string {
	if t == nil {
		return ""
	}
	return t.definition.Name
}

// Definition returns the definition that is sent to the model. The same tool has a byte-identical
// definition in every process.
func (t *Tool) Definition() generated.Tool {
	if t == nil {
		return generated.Tool{}
	}
	return generated.NewTool(generated.FunctionTool{Function: t.definition})
}

// decode validates arguments, and decodes them unless target is nil.
func decode(s *schema.Schema, arguments []byte, target any) []schema.Finding {
	v, err := schema.Parse(arguments)
	switch {
	case err != nil:
		return []schema.Finding{{Rule: err.Error()}}
	case v.Kind() != '{':
		return []schema.Finding{{Rule: "must be a JSON object"}}
	case target == nil:
		return s.Check(v)
	}
	return s.Decode(v, target)
}

// argumentsOf returns the arguments of a call, or {} if they are unset.
func argumentsOf(call generated.FunctionCallEntry) []byte {
	text := bytes.TrimSpace([]byte(call.Arguments))
	if len(text) == 0 || string(text) == "null" {
		return []byte("{}")
	}
	return text
}

// encode returns the text that the model receives for a function's result.
func encode(result any) (string, error) {
	switch r := result.(type) {
	case string:
		return r, nil
	case json.RawMessage:
		return string(r), nil
	case struct{}:
		return "ok", nil
	}
	var b bytes.Buffer
	encoder := json.NewEncoder(&b)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(result); err != nil {
		return "", fmt.Errorf("runner: cannot encode the result as JSON: %w", err)
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}
