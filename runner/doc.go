// Package runner runs models with functions: it carries out the function calls of a response,
// sends their results, and goes on until the model answers, with text or with a value of a Go
// type. It stands on package ratelimited, whose limits, retries and errors are those of a run.
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
// [NewTool] makes the schema of the parameters from a Go type, and checks arguments against it
// before the function runs. [RawTool] takes a schema. A model that sends wrong arguments, calls an
// unknown function, or gets an error is told so and may try again. The text of a Go error is not
// sent to the model: [Explain] sets what is. Calls of one response run at once, and their results
// are sent in one request. A panic is a failed call.
//
// # Schemas
//
// A schema has the names, the order and the rules of encoding/json:
//
//   - Fields with omitempty or omitzero are not required, all others are. Unknown properties are
//     refused, and names are exact.
//   - A pointer may be null. A slice may not; an array has exactly its length.
//   - Sized integers have their bounds, unsigned ones a minimum of 0. []byte is base64 text,
//     [time.Time] a date-time, and a type with MarshalText and UnmarshalText a string.
//   - any and [encoding/json.RawMessage] take any value. They and maps are open parts, which the
//     service's strict mode does not have.
//   - A type with a method Enum that returns a slice, as func (Unit) Enum() []Unit, has these
//     values, wherever it occurs, as a key of a map too. One with a method JSONSchema() any has that schema: JSON text,
//     or a value to be encoded. [SchemaOf] gives a type a schema from outside.
//   - The tag jsonschema is a field's description. The tags enum (values with commas between
//     them), minimum, maximum, minLength, maxLength, minItems, maxItems, pattern (of package
//     regexp) and format add these keywords. Formats that are checked: date-time, date, time,
//     email, uri, uuid, ipv4, ipv6.
//   - Values are nested at most 500 levels deep.
//
// Not supported, and refused with the path of the field: [time.Duration] (give it a schema),
// [encoding/json.Number], the json option "string", maps with keys that are neither strings nor
// texts, interfaces with methods, channels, functions, complex numbers, types with MarshalJSON
// and recursive types, both unless they have a schema of their own.
//
// # Ends of a run
//
// The answer is the only end with a nil error. Any other is an [Error], with the [Result] so far:
// a [*LimitError], a [*ToolError], a [*PendingError], an [*OutputError], or a [*RunError] that
// wraps the client's error, the context's, or the function's own.
//
// All but an OutputError have a [State], which is JSON: [Runner.Resume] goes on from it, also in
// another process. What a run may not do by itself is [Pending]: calls of tools with
// [NeedsApproval] or without a function, calls that the service carries out after a
// confirmation, handoffs, and functions that were interrupted. [Config.Decide] answers in place,
// an [Answer] of Resume later.
//
// # Typed answers
//
// [StartAs] and [AppendAs] ask for a value of a Go type, and ask again if the answer is not one.
// [Format] and [DecodeAs] are their parts, for streams.
package runner
