package runner

import (
	"context"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner/internal/schema"
)

// Format returns the response format for a T: the JSON Schema of T in strict mode, by the rules of
// [NewTool]. The model fills the fields in their order.
//
// The service accepts only objects. So a T that is not a struct, such as a slice, a number, a map
// or a pointer, becomes the property "value" of an object. Strict mode does not support a field
// with an open part (any, a map): use [Loose] or [SchemaOf]. If T itself is a map, strict mode is
// off.
//
// Use Format for streams, because [StartAs] does not stream: set
// [generated.CompletionArgs].ResponseFormat, and decode the answer with [DecodeAs]. The error is a
// [*ConfigError].
func Format[T any](options ...FormatOption) (generated.ResponseFormat, error) {
	f, err := formatOf(reflect.TypeFor[T](), options)
	if err != nil {
		return generated.ResponseFormat{}, err
	}
	return f.response, nil
}

// DecodeAs decodes the answer of a response that was requested with [Format] and the same options.
// The answer is the text of the last message, without thinking content and without an enclosing
// Markdown code fence.
//
// Names must match exactly. Unknown properties and values that break the schema are findings. If T
// has a method Validate() error, DecodeAs calls it last. The error is an [*OutputError] or a
// [*ConfigError].
func DecodeAs[T any](response *generated.ConversationResponse, options ...FormatOption) (T, error) {
	var value T
	f, err := formatOf(reflect.TypeFor[T](), options)
	if err != nil {
		return value, err
	}
	value, failure := decodeAs[T](f, response, nil)
	if failure != nil {
		failure.Attempts = 1
		return *new(T), failure
	}
	return value, nil
}

// StartAs is like [Runner.Start], with a T as the answer. It sets the request's response format to
// the [Format] of T, which the caller must not set, and decodes the answer as [DecodeAs] does.
//
// If the answer is not a T, the model receives the findings and is asked again, without tools, as
// often as [Repairs] allows. Each repair is a turn. If the last answer is not a T either, the error
// is an [*OutputError].
func StartAs[T any](ctx context.Context, r *Runner, request generated.StartConversationRequest, options ...FormatOption) (T, *Result, error) {
	return runAs[T](ctx, r, &turnRequest{start: &request}, options)
}

// AppendAs is like [Runner.Append], with a T as the answer. See [StartAs].
func AppendAs[T any](ctx context.Context, r *Runner, conversationID string, request generated.AppendConversationRequest, options ...FormatOption) (T, *Result, error) {
	return runAs[T](ctx, r, &turnRequest{id: conversationID, append: &request}, options)
}

func runAs[T any](ctx context.Context, r *Runner, first *turnRequest, options []FormatOption) (T, *Result, error) {
	var none T
	f, err := formatOf(reflect.TypeFor[T](), options)
	if err != nil {
		return none, nil, err
	}
	l := r.newLoop(first)
	format := &first.fields().args.ResponseFormat
	if *format != (generated.ResponseFormat{}) {
		return none, nil, l.runError(StageRequest, &ratelimited.RequestError{
			Operation: "Runner." + first.name(), Field: "completion_args.response_format", Value: format.Type, Rule: "must not be set: the type determines it",
		})
	}
	*format = f.response
	return valueOf[T](ctx, l, f)
}

// valueOf executes a run whose answer is a value of a type.
func valueOf[T any](ctx context.Context, l *loop, f *format) (value T, result *Result, err error) {
	l.checkOutput = func(t Turn, maxTokens *int) (*OutputError, []generated.Entry) {
		var failure *OutputError
		if value, failure = decodeAs[T](f, t.Response, maxTokens); failure == nil {
			return nil, nil
		}
		failure.Attempts = l.repairs + 1
		if l.repairs >= f.repairs || failure.Kind != OutputNotJSON && failure.Kind != OutputInvalid {
			return failure, nil
		}
		return failure, []generated.Entry{ratelimited.User(failure.repair())}
	}
	if result, err = l.resultOf(ctx); err != nil {
		return *new(T), nil, err
	}
	return value, result, nil
}

// A format is a response format and the way to decode the answer.
type format struct {
	response generated.ResponseFormat
	schema   *schema.Schema
	wrapped  bool
	repairs  int
}

func formatOf(t reflect.Type, options []FormatOption) (*format, error) {
	o, err := formatOptionsOf(options)
	if err != nil {
		return nil, err
	}
	name := typeName(t)
	o.Wrap = t.Kind() != reflect.Struct
	made, err := schemaOf(t, name, o.schemaOptions)
	if err == nil && !o.Wrap && !made.IsObject() { // a struct that is encoded as text, or has an explicit schema
		o.Wrap = true
		made, err = schemaOf(t, name, o.schemaOptions)
	}
	if err != nil {
		return nil, typeError("", err)
	}
	isOpen := len(made.Open) > 0 || !made.IsClosed()
	if isOpen && !o.loose && t.Kind() != reflect.Map {
		path := name
		if len(made.Open) > 0 {
			path = made.Open[0]
		}
		return nil, &ConfigError{Field: path, Rule: "must not be open (any, a map) in strict mode: use Loose, or give its type a schema with SchemaOf"}
	}
	return &format{
		schema: made.Schema, wrapped: o.Wrap, repairs: o.repairs,
		response: generated.ResponseFormat{Type: generated.ResponseFormatsJSONSchema, JSONSchema: generated.JSONSchema{
			Name: name, Description: o.description, Schema: generated.JSONText(made.Text()), Strict: !o.loose && !isOpen,
		}},
	}, nil
}

var (
	packagePath = regexp.MustCompile(`[^\[\],*]*[./]`)
	localType   = regexp.MustCompile(`·[0-9]+`)
	notInName   = regexp.MustCompile(`[^a-zA-Z0-9_-]+`)
)

// typeName returns the name of a type's schema, such as Page_Item for Page[Item]. For unnamed types
// it returns "answer".
func typeName(t reflect.Type) string {
	for t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.PkgPath() == "" {
		return "answer"
	}
	name := localType.ReplaceAllString(packagePath.ReplaceAllString(t.Name(), ""), "")
	name = strings.Trim(notInName.ReplaceAllString(name, "_"), "_")
	if name == "" {
		return "answer"
	}
	return name[:min(len(name), 64)]
}

// decodeAs decodes and validates an answer.
func decodeAs[T any](f *format, response *generated.ConversationResponse, maxTokens *int) (value T, failure *OutputError) {
	text := answerOf(response)
	failure = &OutputError{Text: text}
	v, err := schema.Parse([]byte(trimFence(text)))
	if err != nil {
		failure.classify(err, response, maxTokens)
		return value, failure
	}
	var findings []schema.Finding
	err = recoverPanics(func() error { // calls methods of T
		findings = decodeInto(f, v, &value)
		if len(findings) > 0 {
			return nil
		}
		return validate(&value)
	})
	if len(findings) > 0 {
		failure.Kind, failure.Findings = OutputInvalid, findingsOf(findings)
		return value, failure
	}
	if err != nil {
		failure.Kind, failure.Err = OutputInvalid, err
		failure.Findings = []Finding{{Rule: explanation(err, "is not accepted")}}
		return value, failure
	}
	return value, nil
}

// decodeInto validates and decodes a value.
func decodeInto[T any](f *format, v schema.Value, value *T) []schema.Finding {
	if !f.wrapped {
		return f.schema.Decode(v, value)
	}
	var whole struct {
		Value T `json:"value"`
	}
	findings := f.schema.Decode(v, &whole)
	*value = whole.Value
	return findings
}

// recoverPanics calls a function of the caller and returns its panic as an error.
func recoverPanics(f func() error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("runner: panic: %v", p)
		}
	}()
	return f()
}

// validate calls the method Validate of a value, if it has one.
func validate[T any](value *T) error {
	if v, ok := any(*value).(interface{ Validate() error }); ok && !isNil(*value) {
		return v.Validate()
	}
	if v, ok := any(value).(interface{ Validate() error }); ok {
		return v.Validate()
	}
	return nil
}

func isNil(v any) bool {
	r := reflect.ValueOf(v)
	return r.Kind() == reflect.Pointer && r.IsNil()
}

// trimFence removes an enclosing Markdown code fence.
func trimFence(text string) string {
	text = strings.TrimSpace(text)
	inner, ok := strings.CutPrefix(text, "```")
	if !ok {
		return text
	}
	language, inner, ok := strings.Cut(inner, "\n")
	if !ok || strings.ContainsAny(language, "{`") {
		return text
	}
	return strings.TrimSpace(strings.TrimSuffix(strings.TrimRight(inner, " \t\r\n"), "```"))
}

// isAtMaxTokens reports whether a response used all of max_tokens.
func isAtMaxTokens(response *generated.ConversationResponse, maxTokens *int) bool {
	return maxTokens != nil && response.Usage.CompletionTokens >= *maxTokens
}

// hasTruncatedCall reports whether the arguments of a call end inside a JSON value.
func hasTruncatedCall(response *generated.ConversationResponse) bool {
	for _, call := range response.FunctionCalls() {
		_, err := schema.Parse(argumentsOf(call))
		if parse, ok := err.(*schema.ParseError); ok && parse.Truncated { //nolint:errorlint // Parse returns this type itself.
			return true
		}
	}
	return false
}

// OutputKind classifies an invalid answer.
type OutputKind string

// The kinds of invalid answers.
const (
	OutputEmpty     OutputKind = "empty"     // the answer has no text
	OutputNotJSON   OutputKind = "not JSON"  // the answer is not JSON, such as a refusal in prose
	OutputTruncated OutputKind = "truncated" // the answer ends inside a value, because of max_tokens
	OutputInvalid   OutputKind = "invalid"   // the answer is JSON, but breaks the schema or fails Validate
)

// OutputError reports an answer that is not a value of the type, after all repairs. In every run,
// an OutputError with OutputTruncated also reports a function call whose arguments were cut off by
// max_tokens.
type OutputError struct {
	Kind     OutputKind // the kind of error
	Text     string     // the answer as received
	Findings []Finding  // at most 10
	Attempts int        // the number of invalid answers, including this one
	Result   *Result    // nil from DecodeAs
	Err      error      // the error of Validate, or a panic in a method of the type
}

// Error returns the kind of error. It does not contain the answer.
func (e *OutputError) Error() string {
	text := "runner: the answer is " + string(e.Kind)
	if e.Attempts > 1 {
		text += fmt.Sprintf(" (%d attempts)", e.Attempts)
	}
	return text
}

// Unwrap returns Err.
func (e *OutputError) Unwrap() error { return e.Err }

// classify sets the kind and the findings of an answer that is not one JSON value.
func (e *OutputError) classify(err error, response *generated.ConversationResponse, maxTokens *int) {
	parse, ok := err.(*schema.ParseError) //nolint:errorlint // Parse returns this type itself.
	e.Findings = []Finding{{Rule: err.Error()}}
	switch {
	case !ok:
		e.Kind = OutputInvalid
	case parse.Empty:
		e.Kind = OutputEmpty
	case parse.Truncated && (maxTokens == nil || isAtMaxTokens(response, maxTokens)):
		e.Kind = OutputTruncated
	case parse.Followed, parse.Deep:
		e.Kind = OutputInvalid
	default:
		e.Kind = OutputNotJSON
	}
}

// repair returns the message that asks the model for a valid answer.
func (e *OutputError) repair() string {
	found := make([]schema.Finding, len(e.Findings))
	for i, f := range e.Findings {
		found[i] = schema.Finding(f)
	}
	return "The answer does not have the requested format:\n" + schema.Text(found) + "\nAnswer again with the complete JSON value and nothing else."
}
