// Package runner runs a model with tools. It calls the functions that a response requests, sends
// their results, and repeats until the model answers with text or with a value of a Go type. It
// builds on package ratelimited and uses the client's limits, retries and errors.
//
//	weather, err := runner.NewTool("weather", "Current weather in a city.", func(ctx context.Context, in struct {
//		City string `json:"city" jsonschema:"name of the city"`
//	}) (Weather, error) { … })
//	r, err := runner.New(client, runner.Config{Tools: []*runner.Tool{weather}})
//	result, err := r.Start(ctx, request)
//	fmt.Println(result.OutputText())
//
// # Functions
//
// [NewTool] derives the schema of the parameters from a Go type and validates the arguments before
// it calls the function. [RawTool] takes a schema instead. If the arguments are invalid, the
// function is unknown or the function fails, the model receives an error text and may try again.
// The text of a Go error is not sent to the model; [Explain] sets the text to send. The calls of
// one response run concurrently, and one request sends all their results. A function that panics
// has failed.
//
// # Schemas
//
// Schemas follow encoding/json in the names, the order and the rules of fields:
//
//   - Fields with omitempty or omitzero are optional. All other fields are required. Unknown
//     properties are rejected, and names must match exactly.
//   - A pointer may be null. A slice may not be null. An array must have exactly its length.
//   - Sized integers have the bounds of their type. Unsigned integers have a minimum of 0. []byte
//     is base64 text, [time.Time] is a date-time, and a type with MarshalText and UnmarshalText is
//     a string.
//   - any and [encoding/json.RawMessage] accept any value. These types and maps are open parts,
//     which the service's strict mode does not support.
//   - A type with a method Enum that returns a slice, such as func (Unit) Enum() []Unit, accepts
//     only these values. This also applies to map keys.
//   - A type with a method JSONSchema() any has the schema that the method returns: JSON text, or a
//     value to be encoded as JSON. [SchemaOf] sets the schema of a type from outside.
//   - The tag jsonschema is the description of a field. The tags enum, minimum, maximum, minLength,
//     maxLength, minItems, maxItems, pattern and format add the keywords of the same names. The
//     values of enum are separated by commas. A pattern has the syntax of package regexp. The
//     checked formats are date-time, date, time, email, uri, uuid, ipv4 and ipv6.
//   - Values may be nested at most 500 levels deep.
//
// Unsupported types are rejected with the path of the field: [encoding/json.Number], interfaces
// with methods, channels, functions, complex numbers, maps whose keys are neither strings nor
// texts, and fields with the json option "string". [time.Duration], types with MarshalJSON and
// recursive types are rejected unless they have an explicit schema.
//
// # Errors
//
// A run returns a nil error only if the model answered. Every other error is an [Error] and holds
// the [Result] so far: a [*LimitError], a [*ToolError], a [*PendingError], an [*OutputError], or a
// [*RunError], which wraps the error of the client, the context or the function.
//
// Every error except an OutputError also holds a [State]. A state can be stored as JSON.
// [Runner.Resume] continues the run from it, in the same process or in another one.
//
// # Pending entries
//
// A run does not decide everything itself. It leaves these entries of a response to the caller, as
// [Pending]:
//
//   - calls of tools with [NeedsApproval], and calls of tools without a function;
//   - calls that the service executes after a confirmation;
//   - handoffs to other agents;
//   - function calls that were interrupted.
//
// [Config.Decide] answers them during the run. Otherwise the run ends, and the caller passes each
// [Answer] to [Runner.Resume].
//
// # Typed answers
//
// [StartAs] and [AppendAs] request a value of a Go type, and ask the model again if its answer is
// not such a value. For streams, use [Format] and [DecodeAs].
package runner
