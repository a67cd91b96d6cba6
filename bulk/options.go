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

// Options are the settings of a job. The zero value sends the rows as they are until the input ends.
type Options struct {
	// Defaults has what rows do not set: the model, instructions, completion arguments and so on. A
	// row that names a model or an agent gets neither from here. Inputs must not be set.
	Defaults generated.StartConversationRequest

	// Schema is a JSON Schema that each answer must fit, as JSON text or a value to be encoded. The
	// model is asked for it, and asked once more for an answer that does not fit. Default: none.
	Schema generated.JSON

	// Output is what the output has as the body of a response. Default: the whole response.
	Output Output

	// MaxRows, TokenBudget and Deadline stop Run: after so many rows were sent, before the tokens of
	// the calls exceed so many, and at a time. Zero values are not bounds. Rows in flight are finished.
	// The budget reserves the estimate of a row's first call: it may be exceeded by the error of the
	// estimates, and by second calls for answers that do not fit Schema.
	MaxRows     int
	TokenBudget int
	Deadline    time.Time

	// Stop, when it is closed, stops Run in the same way. The end of Run's context instead cancels
	// the calls in flight, whose results are lost. Run cannot return while its source waits for input: a
	// program that reads from a pipe closes that, too, also at Deadline. The error that follows is ignored.
	Stop <-chan struct{}

	// Progress is called each second while Run works, and once when it has ended, by one goroutine at
	// a time. It should return soon.
	Progress func(Progress)

	// Forecast is what Plan returned for the same input, if it was asked: then Run knows how many rows
	// there are, and Progress.Left is set.
	Forecast *Forecast

	// Journal is the output whose rows Plan counts as done. Run ignores it: it is given one.
	Journal *Journal
}

// Output is what the output has as the body of a response.
type Output string

// The bodies of responses.
const (
	OutputResponse Output = ""       // the response, as the API sent it
	OutputText     Output = "text"   // the text of the answer, as a JSON string
	OutputObject   Output = "object" // the object that fits [Options.Schema]
)

// check refuses options that are of no use.
func (o *Options) check(client *ratelimited.Client) error {
	if client == nil {
		return errors.New("bulk: the client is nil: make it with ratelimited.New")
	}
	switch {
	case !o.Defaults.Inputs.IsZero():
		return errors.New("bulk: Options.Defaults.Inputs is set: must be left to the rows")
	case o.Output != OutputResponse && o.Output != OutputText && o.Output != OutputObject:
		return fmt.Errorf("bulk: Options.Output is %q: must be OutputResponse, OutputText or OutputObject", o.Output)
	case o.Output == OutputObject && generated.IsUnset(o.Schema):
		return errors.New("bulk: Options.Output is OutputObject: must not be without Options.Schema")
	case o.MaxRows < 0:
		return fmt.Errorf("bulk: Options.MaxRows is %d: must not be negative", o.MaxRows)
	case o.TokenBudget < 0:
		return fmt.Errorf("bulk: Options.TokenBudget is %d: must not be negative", o.TokenBudget)
	}
	return nil
}

// An answer is the type of the answers that fit Options.Schema.
type answer struct{ json.RawMessage }

// prepare sets the response format of the schema, and returns how answers are read; nil without a
// schema.
func (o *Options) prepare() (format []runner.FormatOption, err error) {
	if generated.IsUnset(o.Schema) {
		return nil, nil
	}
	if o.Defaults.CompletionArgs.ResponseFormat.Type != "" {
		return nil, errors.New("bulk: Options.Schema is set: must not be beside a response format in Options.Defaults")
	}
	format = []runner.FormatOption{runner.SchemaOf[answer](o.Schema)}
	response, err := runner.Format[answer](format...)
	if err != nil { // strict mode does not have open schemas
		format = append(format, runner.Loose())
		response, err = runner.Format[answer](format...)
	}
	if err != nil {
		return nil, fmt.Errorf("bulk: Options.Schema: %w", err)
	}
	o.Defaults.CompletionArgs.ResponseFormat = response
	return format, nil
}
