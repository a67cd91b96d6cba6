package limiter

import (
	"context"
	"errors"
	"fmt"
	"time"
)

var (
	// ErrNegativeTokens is wrapped by the error of Acquire if the number of tokens is negative.
	ErrNegativeTokens = errors.New("limiter: negative number of tokens")

	errNilContext = errors.New("limiter: ctx must not be nil: use context.Background()")

	errZero = errors.New("limiter: the Limiter must be made with limiter.New, got nil or a zero value")

	errZeroGroup = errors.New("limiter: the Group must be made with limiter.NewGroup, got nil or a zero value")

	// ErrWouldWait is wrapped by the [*WaitError] of a call whose expected wait exceeds its
	// [Call.MaxWait] or its context's deadline.
	ErrWouldWait = errors.New("limiter: the call would have to wait")

	// ErrQueueFull is wrapped by the [*WaitError] of a call that arrives while [Call.MaxQueue]
	// calls of its class wait.
	ErrQueueFull = errors.New("limiter: the queue is full")

	// ErrFinished is returned by Retry if the permit is settled or cancelled, before or during
	// the wait.
	ErrFinished = errors.New("limiter: permit is already settled or cancelled")

	// ErrRetrying is returned by Retry while another Retry of the same permit waits.
	ErrRetrying = errors.New("limiter: permit is already waiting for a retry")
)

// LimitError reports an invalid field of a [Limit].
type LimitError struct {
	Field string // name of the field in Limit
	Value any    // value of the field
	Rule  string // "must be …"
}

// Error returns the field, the rule and the value.
func (e *LimitError) Error() string {
	return fmt.Sprintf("limiter: %s %s, got %v", e.Field, e.Rule, e.Value)
}

// TooLargeError reports a call that can never start, because it needs more tokens than the bucket can
// hold.
type TooLargeError struct {
	Tokens   int // estimate of the call
	Capacity int // capacity of the token bucket
}

// Error returns the call's tokens and the bucket's capacity.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("limiter: a call of %d tokens can never start: must be at most %d, the capacity of the bucket", e.Tokens, e.Capacity)
}

// WaitError reports a wait that ended with its context, or a call that was rejected or dropped because of
// [Call.MaxWait], [Call.MaxQueue] or [Call.Duration]. Nothing was taken.
//
// For a context it wraps ctx.Err() and context.Cause(ctx). Otherwise it wraps ErrWouldWait or
// ErrQueueFull, and context.DeadlineExceeded if a deadline is the reason.
type WaitError struct {
	Tokens       int           // tokens waited for, besides one request; 0 for a retry
	WaitDuration time.Duration // time waited; 0 if the call did not wait
	Paused       time.Duration // remaining time of a pause; 0 without one
	Err          error         // ctx.Err(), ErrWouldWait or ErrQueueFull
	Cause        error         // context.Cause(ctx), context.DeadlineExceeded, or equal to Err

	// Expected is the expected wait, or a lower bound of it if a deadline is the reason. It is set
	// with ErrWouldWait if the call was rejected on arrival. Position is the call's position in the
	// queue, from 1. It is set in the same case, and with ErrQueueFull. Otherwise both are 0.
	Expected time.Duration
	Position int

	// Left is the time that was left until the deadline. Duration is the time that the call needed:
	// [Call.MinDuration] if it was rejected on arrival, otherwise [Call.Duration]. Both are 0
	// unless a deadline is the reason of ErrWouldWait.
	Left, Duration time.Duration
}

// Error returns what the call waited for, how long, and why the wait ended.
func (e *WaitError) Error() string {
	cause := e.Cause.Error()
	switch {
	case errors.Is(e.Err, ErrQueueFull):
		return fmt.Sprintf("limiter: %d calls of the class are already waiting for requests and tokens: %s", e.Position-1, cause)
	case e.Duration > 0 && e.Position > 0:
		cause = fmt.Sprintf("the deadline is in %v, but the call takes at least %v", e.Left, e.Duration)
	case e.Duration > 0:
		cause = fmt.Sprintf("the deadline is in %v, but the call is expected to take %v", e.Left, e.Duration)
	}
	if e.Position > 0 {
		return fmt.Sprintf("limiter: the expected wait for 1 request and %d tokens is %v, at position %d of the queue: %s",
			e.Tokens, e.Expected, e.Position, cause)
	}
	return fmt.Sprintf("limiter: gave up waiting for 1 request and %d tokens after %v: %s",
		e.Tokens, e.WaitDuration, cause)
}

// Unwrap lets errors.Is find the context's error and its cause.
func (e *WaitError) Unwrap() []error { return []error{e.Err, e.Cause} }

// newWouldWait returns the error of a call whose expected wait is too long.
func newWouldWait(tokens int, expected time.Duration, position int) *WaitError {
	return &WaitError{Tokens: tokens, Err: ErrWouldWait, Cause: ErrWouldWait, Expected: expected, Position: position}
}

// newQueueFull returns the error of a call that arrives while too many calls wait.
func newQueueFull(tokens, waiting int) *WaitError {
	return &WaitError{Tokens: tokens, Err: ErrQueueFull, Cause: ErrQueueFull, Position: waiting + 1}
}

func newWaitError(ctx context.Context, tokens int, waited time.Duration) *WaitError {
	return &WaitError{Tokens: tokens, WaitDuration: waited, Err: ctx.Err(), Cause: context.Cause(ctx)}
}
