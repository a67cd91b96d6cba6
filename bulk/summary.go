package bulk

import "time"

// A Summary is the result of a run.
type Summary struct {
	Rows          int // rows read from the input
	Done          int // rows that received a response
	Failed        int // rows that became error rows, including invalid rows
	Already       int // rows that already had a response in the output
	AlreadyFailed int // rows that had already failed permanently
	Left          int // rows that were read but remain for the next run

	PromptTokens     int // prompt tokens of the rows in Done, as the API reported them
	CompletionTokens int // completion tokens of these rows

	Duration time.Duration // duration of the run
	Stopped  Stop          // the reason why the run ended before the end of the input, or ""
}

// Stop is the reason why a run ended before the end of the input.
type Stop string

// The reasons why a run ends early.
const (
	StoppedMaxRows  Stop = "max rows" // [Options.MaxRows]
	StoppedBudget   Stop = "budget"   // [Options.TokenBudget]
	StoppedDeadline Stop = "deadline" // [Options.Deadline]
	StoppedByCaller Stop = "stopped"  // [Options.Stop]
	StoppedByError  Stop = "error"    // the error that Run returned
)

// IsComplete reports whether all rows of the input have a response.
func (s *Summary) IsComplete() bool { return s.Stopped == "" && s.Failed+s.AlreadyFailed+s.Left == 0 }
