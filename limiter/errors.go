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
	// than its [Call.MaxWait] or its context's deadline allows.
	ErrWouldWait = errors.New("limiter: the call would have to wait")

	// ErrQueueFull is wrapped by the [*WaitError] of a call that finds [Call.MaxQueue] calls of its
	// class waiting.
	ErrQueueFull = errors.New("limiter: the queue is full")

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

// WaitError reports a wait that ended because its context did, or that was not begun or not
// continued because of [Call.MaxWait] or [Call.Duration]. Nothing was taken. It wraps both
// ctx.Err() and context.Cause(ctx); or ErrWouldWait, and context.DeadlineExceeded where a
// deadline is the reason.
type WaitError struct {
	Tokens       int           // tokens waited for, beside one request; 0 for a retry
	WaitDuration time.Duration // how long; 0 if the context was done before
	Paused       time.Duration // how much longer a pause would have lasted; 0 without one
	Err          error         // ctx.Err(), or ErrWouldWait
	Cause        error         // context.Cause(ctx), ErrWouldWait or context.DeadlineExceeded

	// Expected is how long the call would have waited, at least if a deadline is the reason,
	// and Position its position in the queue, from 1. Both are set with ErrWouldWait if the call
	// was refused when it arrived, and Position with ErrQueueFull; otherwise they are 0.
	Expected time.Duration
	Position int

	// Left is how long it was until the deadline, and Duration what the call would have needed
	// then: [Call.MinDuration] if it was refused when it arrived, otherwise [Call.Duration]. Both
	// are 0 if ErrWouldWait and a deadline are not the reason.
	Left, Duration time.Duration
}

// Error says how long the wait was, for what, and why it ended.
func (e *WaitError) Error() string {
	cause := e.Cause.Error()
	switch {
	case errors.Is(e.Err, ErrQueueFull):
		return fmt.Sprintf("limiter: %d calls of the class wait already for requests and tokens: %s", e.Position-1, cause)
	case e.Duration > 0 && e.Position > 0:
		cause = fmt.Sprintf("the deadline is in %v, and such calls take at least %v", e.Left, e.Duration)
	case e.Duration > 0:
		cause = fmt.Sprintf("the deadline is in %v, and such calls take %v", e.Left, e.Duration)
	}
	if e.Position > 0 {
		return fmt.Sprintf("limiter: 1 request and %d tokens are expected in %v, at position %d of the queue: %s",
			e.Tokens, e.Expected, e.Position, cause)
	}
	return fmt.Sprintf("limiter: gave up after %v of waiting for 1 request and %d tokens: %s",
		e.WaitDuration, e.Tokens, cause)
}

// Unwrap makes errors.Is find the context's error and its cause.
func (e *WaitError) Unwrap() []error { return []error{e.Err, e.Cause} }

// newWouldWait returns the error of a call that may not wait for as long as expected.
func newWouldWait(tokens int, expected time.Duration, position int) *WaitError {
	return &WaitError{Tokens: tokens, Err: ErrWouldWait, Cause: ErrWouldWait, Expected: expected, Position: position}
}

// newQueueFull returns the error of a call that finds too many calls waiting.
func newQueueFull(tokens, waiting int) *WaitError {
	return &WaitError{Tokens: tokens, Err: ErrQueueFull, Cause: ErrQueueFull, Position: waiting + 1}
}

func newWaitError(ctx context.Context, tokens int, waited time.Duration) *WaitError {
	return &WaitError{Tokens: tokens, WaitDuration: waited, Err: ctx.Err(), Cause: context.Cause(ctx)}
}
