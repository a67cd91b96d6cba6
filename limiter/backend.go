package limiter

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"
)

// A Backend is what a client needs of a limiter, wherever it keeps its books: a
// [*Limiter] keeps them in the process (see [InProcess]), the module
// limiter/redislimiter in a Redis that many processes share. Its methods are those
// of Limiter, are as safe for concurrent use, and promise the same; the package
// limitertest checks that.
type Backend interface {
	// Acquire is [Limiter.AcquireCall]. Beside the errors named there, it fails with
	// one that wraps [ErrUnavailable] where the books cannot be reached.
	Acquire(ctx context.Context, call Call) (Admission, error)
	// WaitTime is [Limiter.WaitTime]; [Never] also where the books cannot be reached.
	WaitTime(tokens int) time.Duration
	// Pause is [Limiter.Pause].
	Pause(until time.Time)
	// Observe is [Limiter.Observe].
	Observe(s ServerState)
	// Limit is [Limiter.Limit].
	Limit() Limit
	// SetLimit is [Limiter.SetLimit]. It fails with an error that wraps
	// [ErrUnavailable] where the books cannot be reached, or do not answer.
	SetLimit(limit Limit) error
	// Snapshot is [Limiter.Snapshot].
	Snapshot() Snapshot
}

// An Admission is an admitted call of a [Backend]: what a [*Permit] is of a
// [*Limiter]. None of its methods but Retry waits for its turn.
type Admission interface {
	// Tokens is [Permit.Tokens].
	Tokens() int
	// WaitDuration is [Permit.WaitDuration].
	WaitDuration() time.Duration
	// Sent is [Permit.Sent].
	Sent()
	// ReturnRequest is [Permit.ReturnRequest].
	ReturnRequest()
	// Throttled is [Permit.Throttled].
	Throttled(r Throttle) time.Duration
	// Retry is [Permit.Retry]. Beside the errors named there, it fails with one that
	// wraps [ErrUnavailable] where the books cannot be reached.
	Retry(ctx context.Context) error
	// Settle is [Permit.Settle].
	Settle(actual int)
	// Cancel is [Permit.Cancel].
	Cancel()
}

// ErrUnavailable is wrapped by the errors of a backend that cannot reach its
// books. A call that fails so was not admitted: without shared state no limit can be kept
// to keep to. It may succeed later.
var ErrUnavailable = errors.New("limiter: not available")

// A Factory makes the limiter of a model. "" stands for all models that have no
// limit of their own, which share one.
type Factory func(model string, limit Limit) (Backend, error)

// make calls the factory, and refuses a limiter that is nil, also a nil pointer.
func (f Factory) make(model string, limit Limit) (Backend, error) {
	if f == nil {
		return nil, errors.New("limiter: the factory is nil: must be a function such as InProcess()")
	}
	b, err := f(model, limit)
	if err != nil {
		return nil, err
	}
	if v := reflect.ValueOf(b); b == nil || v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, errors.New("limiter: the factory returned neither a limiter nor an error")
	}
	if !reflect.ValueOf(b).Comparable() {
		return nil, fmt.Errorf("limiter: the factory returned a %T, which cannot be compared: must be a pointer", b)
	}
	return b, nil
}

// InProcess is the factory of limiters as [New] makes them.
func InProcess(options ...Option) Factory {
	return func(_ string, limit Limit) (Backend, error) {
		l, err := New(limit, options...)
		if err != nil {
			return nil, err
		}
		return inProcess{l}, nil
	}
}

// inProcess is a Limiter as a Backend. All there is to it is the type of what
// Acquire returns.
type inProcess struct{ *Limiter }

func (b inProcess) Acquire(ctx context.Context, call Call) (Admission, error) {
	p, err := b.AcquireCall(ctx, call)
	if err != nil {
		return nil, err // a nil *Permit would be an Admission that is not nil
	}
	return p, nil
}
