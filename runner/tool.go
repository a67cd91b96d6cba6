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

// Tool is a function that a model may call. It is immutable; its function is called from many
// goroutines at once, in one run (see [Sequential]) and in several.
type Tool struct {
	definition generated.Function
	parameters *schema.Schema
	toolOptions

	// prepare decodes arguments that are a JSON object, and returns the call to make, or what
	// is wrong with the arguments. It is nil if calls are left to the caller.
	prepare func(arguments []byte) (func(context.Context) (any, error), []schema.Finding)
}

// toolName matches names that the service accepts.
var toolName = regexp.MustCompile(`^[a-zA-Z0-9_-]{1,64}$`)

// builtins are the names of the service's own tools.
var builtins = []string{
	string(generated.ToolTypeCodeInterpreter), string(generated.ToolTypeConnector), string(generated.ToolTypeDocumentLibrary),
	string(generated.ToolTypeFunction), string(generated.ToolTypeImageGeneration), string(generated.ToolTypeWebSearch), string(generated.ToolTypeWebSearchPremium),
}

// NewTool makes a tool of a function. The model calls it by name (1 to 64 letters, digits, _
// and -), and reads its description and the schema of In to know when and how.
//
// In is a struct or a pointer to one, or a map with string keys. Its schema follows the rules
// of encoding/json: see the package comment. Arguments that break it do not reach f: the model
// is told what is wrong with them, and may try again.
//
// The model is told what f returns: a string and a [json.RawMessage] as they are, struct{} as
// "ok", any other value as JSON. If f returns an error, the model is told "The function
// failed." and nothing of the error: see [Explain] and [Abort]. The same is told of a panic.
// The context that f is given ends with the run, and after [WithTimeout]; [CallFrom] returns
// which call it is.
//
// The error is a [*ConfigError].
func NewTool[In, Out any](name, description string, f func(context.Context, In) (Out, error), options ...ToolOption) (*Tool, error) {
	o, err := toolOptionsOf(name, options)
	if err != nil {
		return nil, err
	}
	t := reflect.TypeFor[In]()
	if t == reflect.TypeFor[json.RawMessage]() {
		return nil, &ConfigError{Tool: name, Field: "In", Value: t, Rule: "must be a struct, or a map with string keys; RawTool takes arguments as they are, with a schema of yours"}
	}
	if f == nil {
		return nil, &ConfigError{Tool: name, Field: "f", Rule: "must be a function; RawTool declares one that the caller answers"}
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

// RawTool makes a tool of a definition and a function that is given the arguments as the model
// wrote them, a JSON object that fits the definition's Parameters, and returns what the model
// is told. Parameters is a JSON Schema of objects, as [generated.JSON] allows it; unset, any
// object fits. Strict is sent unchanged. Everything else is as for [NewTool].
//
// If f is nil, calls are left to [Config.Decide], or to the caller by a [*PendingError].
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
	if bytes.TrimSpace(text)[0] != '{' {
		return nil, &ConfigError{Tool: definition.Name, Field: "Parameters", Value: string(text), Rule: "must be a JSON Schema of objects"}
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
		return nil, &ConfigError{Tool: definition.Name, Field: "name", Value: definition.Name, Rule: "must not be the name of a tool of the service"}
	case strings.TrimSpace(definition.Description) == "":
		return nil, &ConfigError{Tool: definition.Name, Field: "description", Value: definition.Description, Rule: "must not be blank: the model goes by it"}
	}
	return &Tool{definition: definition, parameters: parameters, toolOptions: o, prepare: prepare}, nil
}

// Name returns the name by which the model calls the tool.
func (t *Tool) Name() string {
	if t == nil {
		return ""
	}
	return t.definition.Name
}

// Definition returns what the model is told of the tool. The same tool has the same definition,
// to the byte, in every process.
func (t *Tool) Definition() generated.Tool {
	if t == nil {
		return generated.Tool{}
	}
	return generated.NewTool(generated.FunctionTool{Function: t.definition})
}

// decode checks arguments, and decodes them unless target is nil.
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

// argumentsOf returns the arguments of a call as a JSON object where they are unset.
func argumentsOf(call generated.FunctionCallEntry) []byte {
	text := bytes.TrimSpace([]byte(call.Arguments))
	if len(text) == 0 || string(text) == "null" {
		return []byte("{}")
	}
	return text
}

// encode returns what the model is told of a function's result.
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
		return "", fmt.Errorf("runner: the result has no JSON: %w", err)
	}
	return strings.TrimSuffix(b.String(), "\n"), nil
}
