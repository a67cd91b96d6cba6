package runner

import (
	"errors"
	"fmt"
	"time"
)

// Errors for [errors.Is].
var (
	// ErrLimit matches a [*LimitError].
	ErrLimit = errors.New("runner: limit reached")
	// ErrStopped is the cause of a run that [Config.Stop] ended.
	ErrStopped = errors.New("runner: stopped by Config.Stop")
	// ErrBusy is the cause if another run of the same [Runner] is in the conversation.
	ErrBusy = errors.New("runner: another run is in this conversation")
	// ErrResponseLost is the cause if a response did not arrive completely and cannot be recovered.
	// The conversation has the inputs of the request, so the run does not append them again. See
	// [Config.RestartLost].
	ErrResponseLost = errors.New("runner: the response was lost")
	// ErrAborted is the cause of a run that a function ended with [Abort] and a nil error.
	ErrAborted = errors.New("runner: a function ended the run")
)

// Error is implemented by every error that ends a run. The error texts never contain the errors,
// arguments or results of functions. [errors.As] and [errors.Is] reach the causes.
type Error interface {
	error
	partialResult() *Result
}

// ResultOf returns the partial result of a run that ended with err. It returns nil if err is not an
// [Error]. Every Error also has this value in its field Result.
func ResultOf(err error) *Result {
	var e Error
	if !errors.As(err, &e) {
		return nil
	}
	return e.partialResult()
}

// StateOf returns the state from which [Runner.Resume] can continue a run that ended with err. It
// returns nil if the run cannot be resumed, for example after an [*OutputError]. Every other
// [Error] also has this value in its field State.
func StateOf(err error) *State {
	var e interface {
		Error
		resumeState() *State
	}
	if !errors.As(err, &e) {
		return nil
	}
	return e.resumeState()
}

// ConfigError reports an invalid tool, response format or [Config].
type ConfigError struct {
	Tool  string // the name of the tool; "" if the error is not about a tool
	Field string // the field, such as "name", "In.Filter.Done" or "Limits.Turns"
	Value any    // the invalid value
	Rule  string // the rule that the value breaks
	Err   error  // the underlying error, or nil
}

// Error returns the tool, the field, its value and the rule.
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

// maxShown bounds the bytes of a quoted external text in an error.
const maxShown = 100

// Stage is a step of a call or of a run.
type Stage string

// The stages of a call, in order. The stage of a run is StageRequest if a request failed, and
// another one if a function or an answer failed.
const (
	StageRequest   Stage = "request"   // waiting for the limiter, sending or receiving
	StageLookup    Stage = "lookup"    // the function is unknown
	StageArguments Stage = "arguments" // the arguments do not match the schema
	StageApproval  Stage = "approval"  // [Config.Decide] returned an error, or an answer does not match
	StageExecution Stage = "execution" // the function returned an error
	StageTimeout   Stage = "timeout"   // the function took too long
	StagePanic     Stage = "panic"     // the function panicked or ended its goroutine
	StageOutput    Stage = "output"    // the result cannot be encoded as JSON or is too large
)

// RunError reports the end of a run for any reason without a more specific type: a request that
// failed permanently, a context that ended, [Abort] or [ErrStopped].
type RunError struct {
	Turn   int     // the turn that failed, from 1
	Stage  Stage   // the stage in which the run ended
	Result *Result // the result so far; see [Result.Unsent]
	State  *State  // the state to resume from; nil if the run had not begun
	Err    error   // the cause: the error of the client, the context or the function

	hidden bool // whether the cause may be a function's error and must not be printed
}

// Error returns the turn and the reason.
func (e *RunError) Error() string {
	if e.hidden {
		return fmt.Sprintf("runner: turn %d: a function ended the run", e.Turn)
	}
	return fmt.Sprintf("runner: turn %d: %s: %v", e.Turn, e.Stage, e.Err)
}

// Unwrap returns Err.
func (e *RunError) Unwrap() error { return e.Err }

// Limit is the name of a limit of a run.
type Limit string

// The limits of a run: those of [Limits], and the fixed one of handoffs.
const (
	LimitTurns     Limit = "turns"
	LimitToolCalls Limit = "tool calls"
	LimitTokens    Limit = "tokens"
	LimitTime      Limit = "time"
	LimitHandoffs  Limit = "handoffs" // 16 in a run
)

// LimitError reports a run that reached one of its [Limits]. It matches [ErrLimit].
type LimitError struct {
	Limit Limit // the limit
	// Max is the limit, and Used is the usage. Both are in nanoseconds for LimitTime, as in
	// [time.Duration]. For LimitTokens, Used includes the inputs of a request that was not sent.
	Max, Used int64
	Result    *Result // includes the latest response, whose calls were not executed
	State     *State  // the state to resume from with higher limits
}

// Error returns the limit, its maximum and the usage.
func (e *LimitError) Error() string {
	if e.Limit == LimitTime {
		return fmt.Sprintf("runner: limit reached: time: %v of %v", time.Duration(e.Used).Round(time.Millisecond), time.Duration(e.Max))
	}
	return fmt.Sprintf("runner: limit reached: %s: %d of %d", e.Limit, e.Used, e.Max)
}

// Is reports whether target is ErrLimit.
func (e *LimitError) Is(target error) bool { return target == ErrLimit }

// ToolError reports a run in which a function failed too often in a row: see
// [Limits.FailuresInARow].
type ToolError struct {
	Name     string   // the name of the function; "" for unknown functions
	Failures int      // the number of consecutive failures
	Last     *Failure // the latest failure
	Result   *Result  // includes the turn of the failure
	State    *State   // the state to resume from; the model receives the failure
}

// Error returns the function and the stage of its latest failure.
func (e *ToolError) Error() string {
	if e.Name == "" {
		return fmt.Sprintf("runner: %d calls of unknown functions in a row", e.Failures)
	}
	return fmt.Sprintf("runner: function %q failed, %d in a row, most recently in stage %s", e.Name, e.Failures, e.Last.Stage)
}

// Unwrap returns Last.
func (e *ToolError) Unwrap() error {
	if e.Last == nil {
		return nil
	}
	return e.Last
}

func (e *RunError) partialResult() *Result     { return e.Result }
func (e *LimitError) partialResult() *Result   { return e.Result }
func (e *ToolError) partialResult() *Result    { return e.Result }
func (e *PendingError) partialResult() *Result { return e.Result }
func (e *OutputError) partialResult() *Result  { return e.Result }

func (e *RunError) resumeState() *State     { return e.State }
func (e *LimitError) resumeState() *State   { return e.State }
func (e *ToolError) resumeState() *State    { return e.State }
func (e *PendingError) resumeState() *State { return e.State }
