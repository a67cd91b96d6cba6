package limiter

import (
	"context"
	"errors"
	"fmt"
	"time"
)

var (
	// ErrNegativeTokens is wrapped by Acquire's error for a negative number of tokens.
	ErrNegativeTokens = errors.New("limiter: negative number of tokens")

	errNilContext = errors.New("limiter: the context is nil: must be one such as context.Background()")

	errZero = errors.New("limiter: the Limiter is nil or a zero value: must be made with limiter.New")

	errZeroGroup = errors.New("limiter: the Group is nil or a zero value: must be made with limiter.NewGroup")

	// ErrWouldWait is wrapped by the [*WaitError] of a call that is expected to wait for longer
	// than its [Call.MaxWait].
	ErrWouldWait = errors.New("limiter: the call would have to wait")

	// ErrFinished is returned by Retry on a permit that is settled or cancelled,
	// also if that happens while Retry waits.
	ErrFinished = errors.New("limiter: permit is already settled or cancelled")

	// ErrRetrying is returned by Retry while another Retry of the same permit waits.
	ErrRetrying = errors.New("limiter: permit already waits for a retry")
)

// LimitError reports a field of a [Limit] that breaks its rule.
type LimitError struct {
	Field string // name of the field in Limit
	Value any    // what it was set to
	Rule  string // what it has to be
}

// Error names the field, its value and the rule.
func (e *LimitError) Error() string {
	return fmt.Sprintf("limiter: %s is %v: %s", e.Field, e.Value, e.Rule)
}

// TooLargeError reports a call that could never start, because it needs more
// tokens than the bucket can hold.
type TooLargeError struct {
	Tokens   int // what the call needs
	Capacity int // what the bucket holds when full
}

// Error says what the call needs and what the bucket holds.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("limiter: a call of %d tokens can never start: the bucket holds %d", e.Tokens, e.Capacity)
}

// WaitError reports a wait that ended because its context did, or that was not begun because
// of [Call.MaxWait]. Nothing was
// taken. It wraps both ctx.Err() and context.Cause(ctx), or ErrWouldWait.
type WaitError struct {
	Tokens int           // tokens waited for, beside one request; 0 for a retry
	Waited time.Duration // how long; 0 if the context was done before
	Paused time.Duration // how much longer a pause would have lasted; 0 without one
	Err    error         // ctx.Err(), or ErrWouldWait
	Cause  error         // context.Cause(ctx), or ErrWouldWait

	Expected time.Duration // how long the call would have waited, with ErrWouldWait
	Position int           // in the queue, from 1, with ErrWouldWait; otherwise 0
}

// Error says how long the wait was, for what, and why it ended.
func (e *WaitError) Error() string {
	if e.Position > 0 {
		return fmt.Sprintf("limiter: 1 request and %d tokens are expected in %v, at position %d of the queue: %v",
			e.Tokens, e.Expected, e.Position, e.Cause)
	}
	return fmt.Sprintf("limiter: gave up after %v of waiting for 1 request and %d tokens: %v",
		e.Waited, e.Tokens, e.Cause)
}

// Unwrap makes errors.Is find the context's error and its cause.
func (e *WaitError) Unwrap() []error { return []error{e.Err, e.Cause} }

// newWouldWait returns the error of a call that may not wait for as long as expected.
func newWouldWait(tokens int, expected time.Duration, position int) *WaitError {
	return &WaitError{Tokens: tokens, Err: ErrWouldWait, Cause: ErrWouldWait, Expected: expected, Position: position}
}

func newWaitError(ctx context.Context, tokens int, waited time.Duration) *WaitError {
	return &WaitError{Tokens: tokens, Waited: waited, Err: ctx.Err(), Cause: context.Cause(ctx)}
}
