package bulk

import "time"

// A Summary is what a run did.
type Summary struct {
	Rows          int // read from the input
	Done          int // rows that have got a response
	Failed        int // rows that have become error rows, those included that could not be read
	Already       int // rows that the output had a response of before
	AlreadyFailed int // rows that the output had a failure of that does not pass
	Left          int // rows that were read, and are left for the next run

	PromptTokens     int // of the rows done, as the API reported them
	CompletionTokens int // likewise

	Duration time.Duration // of the run
	Stopped  Stop          // why the run ended before the end of the input; "" if it did not
}

// Stop is why a run ended before the end of the input.
type Stop string

// Why a run may stop.
const (
	StoppedMaxRows  Stop = "max rows" // [Options.MaxRows]
	StoppedBudget   Stop = "budget"   // [Options.TokenBudget]
	StoppedDeadline Stop = "deadline" // [Options.Deadline]
	StoppedByCaller Stop = "stopped"  // [Options.Stop]
	StoppedByError  Stop = "error"    // see the error of Run
)

// IsComplete reports whether all rows of the input have a response.
func (s *Summary) IsComplete() bool { return s.Stopped == "" && s.Failed+s.AlreadyFailed+s.Left == 0 }
