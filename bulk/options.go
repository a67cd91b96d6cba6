package bulk

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/runner"
)

// Options configure a job. With the zero value, Run sends all rows unchanged.
type Options struct {
	// The values for fields that a row does not set, such as the model, instructions and completion
	// arguments. A row that names a model or an agent gets neither of them from Defaults.
	// Defaults.Inputs must not be set.
	Defaults generated.StartConversationRequest

	// The JSON Schema of every answer, as JSON text or as a value to be encoded as JSON. The model
	// is asked for such an answer. If its answer does not match, it is asked once more. Without a
	// schema, answers are not checked.
	Schema generated.JSON

	// The part of a response that is the body in the output. The default is the complete response.
	Output Output

	// MaxRows, TokenBudget and Deadline stop Run: after it sent MaxRows rows, before the calls use
	// more than TokenBudget tokens, and at the time Deadline. Zero values set no limit. Rows in
	// flight are finished.
	//
	// The budget reserves the estimated usage of a row's first call. So the usage may exceed the
	// budget by the error of the estimates, and by the second calls for answers that do not match
	// Schema.
	MaxRows     int
	TokenBudget int
	Deadline    time.Time

	// An optional channel. Run stops when it is closed, after the rows in flight are finished. In
	// contrast, canceling the context of Run cancels the calls in flight, and their results are
	// lost.
	//
	// Run cannot return while its source waits for input. A program that reads from a pipe must
	// also close the pipe, for a Deadline as well. Run ignores the resulting read error.
	Stop <-chan struct{}

	// An optional function that Run calls every second and once at its end, never concurrently. It
	// should return soon.
	Progress func(Progress)

	// An optional result of Plan for the same input. With it, Run knows the number of rows and sets
	// Progress.Left.
	Forecast *Forecast

	// The output whose finished rows Plan takes into account. Run ignores it, because the journal
	// is a parameter of Run.
	Journal *Journal
}

// Output selects the part of a response that is the body in the output.
type Output string

// The bodies in the output.
const (
	OutputResponse Output = ""       // the response as the API sent it
	OutputText     Output = "text"   // the text of the answer, as a JSON string
	OutputObject   Output = "object" // the object that matches [Options.Schema]
)

// check rejects invalid options.
func (o *Options) check(client *ratelimited.Client) error {
	if client == nil {
		return errors.New("bulk: the client is nil: must be made with ratelimited.New")
	}
	switch {
	case !o.Defaults.Inputs.IsZero():
		return errors.New("bulk: Options.Defaults.Inputs is set: must be set in the rows")
	case o.Output != OutputResponse && o.Output != OutputText && o.Output != OutputObject:
		return fmt.Errorf("bulk: Options.Output is %q: must be OutputResponse, OutputText or OutputObject", o.Output)
	case o.Output == OutputObject && generated.IsUnset(o.Schema):
		return errors.New("bulk: Options.Output is OutputObject: must be set together with Options.Schema")
	case o.MaxRows < 0:
		return fmt.Errorf("bulk: Options.MaxRows is %d: must not be negative", o.MaxRows)
	case o.TokenBudget < 0:
		return fmt.Errorf("bulk: Options.TokenBudget is %d: must not be negative", o.TokenBudget)
	}
	return nil
}

// An answer is the Go type of answers that match Options.Schema.
type answer struct{ json.RawMessage }

// prepare sets the response format of the schema. It returns the options for decoding answers, or
// nil without a schema.
func (o *Options) prepare() (format []runner.FormatOption, err error) {
	if generated.IsUnset(o.Schema) {
		return nil, nil
	}
	if o.Defaults.CompletionArgs.ResponseFormat.Type != "" {
		return nil, errors.New("bulk: Options.Schema is set: must not be set together with a response format in Options.Defaults")
	}
	format = []runner.FormatOption{runner.SchemaOf[answer](o.Schema)}
	response, err := runner.Format[answer](format...)
	if err != nil { // strict mode does not support open schemas
		format = append(format, runner.Loose())
		response, err = runner.Format[answer](format...)
	}
	if err != nil {
		return nil, fmt.Errorf("bulk: Options.Schema: %w", err)
	}
	o.Defaults.CompletionArgs.ResponseFormat = response
	return format, nil
}
