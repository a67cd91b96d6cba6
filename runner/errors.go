package runner

import (
	"errors"
	"fmt"
	"time"
)

// Kinds of ends, for [errors.Is].
var (
	// ErrLimit matches a [*LimitError].
	ErrLimit = errors.New("runner: limit reached")
	// ErrStopped is the cause of a run that [Config.Stop] ended.
	ErrStopped = errors.New("runner: stopped by Config.Stop")
	// ErrBusy is the cause of a run that was refused because another run of the same
	// [Runner] is in its conversation.
	ErrBusy = errors.New("runner: another run is in this conversation")
	// ErrResponseLost is the cause of a run that was sent a response which did not come whole. The
	// conversation has the inputs of the request; they are not appended again. See
	// [Config.RestartLost].
	ErrResponseLost = errors.New("runner: the response was lost")
	// ErrAborted is the cause of a run that a function ended with [Abort] and a nil error.
	ErrAborted = errors.New("runner: a function ended the run")
)

// Error is implemented by every error that ends a run. None of their texts has what a
// function's error says, arguments or results; [errors.As] and [errors.Is] reach the causes.
type Error interface {
	error
	partial() *Result
}

// ResultOf returns what there was of a run when it ended with err; nil if err is not the end of
// a run. Every [Error] has it in its field Result, too.
func ResultOf(err error) *Result {
	var e Error
	if !errors.As(err, &e) {
		return nil
	}
	return e.partial()
}

// StateOf returns what [Runner.Resume] goes on from after a run that ended with err; nil if
// there is nothing to go on from, as after an [*OutputError]. Every other [Error] has it in its
// field State, too.
func StateOf(err error) *State {
	var e interface {
		Error
		resumption() *State
	}
	if !errors.As(err, &e) {
		return nil
	}
	return e.resumption()
}

// ConfigError reports a tool, a response format or a [Config] that breaks a rule.
type ConfigError struct {
	Tool  string // name of the tool; "" if it is not about one
	Field string // such as "name", "In.Filter.Done" or "Limits.Turns"
	Value any    // what it was set to
	Rule  string // what it has to be
	Err   error  // what found it, if anything
}

// Error names the tool, the field, its value and the rule.
func (e *ConfigError) Error() string {
	where := e.Field
	if e.Tool != "" {
		where = fmt.Sprintf("tool %q: %s", cut(e.Tool, maxShown), e.Field)
	}
	switch v := e.Value.(type) {
	case nil:
		return fmt.Sprintf("runner: %s: %s", where, e.Rule)
	case string:
		return fmt.Sprintf("runner: %s is %q: %s", where, cut(v, maxShown), e.Rule)
	default:
		return fmt.Sprintf("runner: %s is %v: %s", where, v, e.Rule)
	}
}

// Unwrap returns Err.
func (e *ConfigError) Unwrap() error { return e.Err }

// maxShown bounds a text from outside in an error.
const maxShown = 100

// Stage is a step of a call or a run.
type Stage string

// The stages of a call, in their order. A run fails in StageRequest if the API's response is
// an error, and in one of the others because of a function.
const (
	StageRequest   Stage = "request"   // waiting for the limiter, sending, receiving
	StageLookup    Stage = "lookup"    // the function is unknown
	StageArguments Stage = "arguments" // they do not fit the schema
	StageApproval  Stage = "approval"  // [Config.Decide] returned an error, or an answer does not fit
	StageExecution Stage = "execution" // the function returned an error
	StageTimeout   Stage = "timeout"   // the function took too long
	StagePanic     Stage = "panic"     // the function panicked, or ended its goroutine
	StageOutput    Stage = "output"    // its result has no JSON, or is too large
)

// RunError is the end of a run that has no more specific type: a request that failed for good, a
// context that ended, [Abort], [ErrStopped].
type RunError struct {
	Turn   int     // the turn that failed, from 1
	Stage  Stage   // StageRequest, or where the run was when it ended
	Result *Result // of the turns before; see [Result.Unsent]
	State  *State  // to go on from; nil if nothing had begun
	Err    error   // the cause: the client's error, the context's, or the function's own

	hidden bool // the cause may be of a function and is not printed
}

// Error says in which turn the run ended, and why.
func (e *RunError) Error() string {
	if e.hidden {
		return fmt.Sprintf("runner: turn %d: a function ended the run", e.Turn)
	}
	return fmt.Sprintf("runner: turn %d: %s: %v", e.Turn, e.Stage, e.Err)
}

// Unwrap returns Err.
func (e *RunError) Unwrap() error { return e.Err }

// Limit names one of the bounds of [Limits].
type Limit string

// What a run may use up.
const (
	LimitTurns     Limit = "turns"
	LimitToolCalls Limit = "tool calls"
	LimitTokens    Limit = "tokens"
	LimitTime      Limit = "time"
	LimitHandoffs  Limit = "handoffs" // 16 in a run
)

// LimitError is the end of a run that used up one of its [Limits]. It matches [ErrLimit].
type LimitError struct {
	Limit     Limit   // which of the limits
	Max, Used int64   // in nanoseconds for LimitTime, that is a [time.Duration]; for LimitTokens with the inputs of a request that was not sent
	Result    *Result // the latest response included, whose calls were not carried out
	State     *State  // to go on from, with higher limits
}

// Error names the limit, its bound and what was used.
func (e *LimitError) Error() string {
	if e.Limit == LimitTime {
		return fmt.Sprintf("runner: limit reached: time: %v of %v", time.Duration(e.Used).Round(time.Millisecond), time.Duration(e.Max))
	}
	return fmt.Sprintf("runner: limit reached: %s: %d of %d", e.Limit, e.Used, e.Max)
}

// Is makes [errors.Is] find ErrLimit.
func (e *LimitError) Is(target error) bool { return target == ErrLimit }

// ToolError is the end of a run in which a function failed too often in a row, see
// [Limits.FailuresInARow].
type ToolError struct {
	Name     string   // of the function; "" for unknown functions
	Failures int      // in a row
	Last     *Failure // the latest
	Result   *Result  // the turn included
	State    *State   // to go on from: the model is told of the failure
}

// Error names the function, and the stage in which it failed last.
func (e *ToolError) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("runner: %d calls of unknown functions in a row", e.Failures)
	}
	return fmt.Sprintf("runner: function %q failed %d times in a row, at last in stage %s", e.Name, e.Failures, e.Last.Stage)
}

// Unwrap returns Last.
func (e *ToolError) Unwrap() error {
	if e.Last == nil {
		return nil
	}
	return e.Last
}

func (e *RunError) partial() *Result     { return e.Result }
func (e *LimitError) partial() *Result   { return e.Result }
func (e *ToolError) partial() *Result    { return e.Result }
func (e *PendingError) partial() *Result { return e.Result }
func (e *OutputError) partial() *Result  { return e.Result }

func (e *RunError) resumption() *State     { return e.State }
func (e *LimitError) resumption() *State   { return e.State }
func (e *ToolError) resumption() *State    { return e.State }
func (e *PendingError) resumption() *State { return e.State }
