package limiter

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"time"
)

// A Backend is the interface of a limiter that a client needs. [*Limiter] keeps its state in the
// process (see [InProcess]); the module limiter/redislimiter keeps it in a Redis that several processes
// share. Its methods have the semantics of the Limiter methods of the same name, and are safe for
// concurrent use. The package limitertest tests implementations.
type Backend interface {
	// Acquire works like [Limiter.AcquireCall]. It also fails with an error that wraps
	// [ErrUnavailable] if the shared state is unreachable.
	Acquire(ctx context.Context, call Call) (Admission, error)
	// WaitTime works like [Limiter.WaitTime]. It returns [Never] if the shared state is unreachable.
	WaitTime(tokens int) time.Duration
	// Pause works like [Limiter.Pause].
	Pause(until time.Time)
	// Observe works like [Limiter.Observe].
	Observe(s ServerState)
	// Limit works like [Limiter.Limit].
	Limit() Limit
	// SetLimit works like [Limiter.SetLimit]. It also fails with an error that wraps
	// [ErrUnavailable] if the shared state is unreachable or does not respond.
	SetLimit(limit Limit) error
	// Snapshot works like [Limiter.Snapshot].
	Snapshot() Snapshot
}

// An Admission is an admitted call of a [Backend], as a [*Permit] is of a [*Limiter]. Only its Retry
// method waits.
type Admission interface {
	// Tokens works like [Permit.Tokens].
	Tokens() int
	// WaitDuration works like [Permit.WaitDuration].
	WaitDuration() time.Duration
	// Sent works like [Permit.Sent].
	Sent()
	// ReturnRequest works like [Permit.ReturnRequest].
	ReturnRequest()
	// Throttled works like [Permit.Throttled].
	Throttled(r Throttle) time.Duration
	// Retry works like [Permit.Retry]. It also fails with an error that wraps
	// [ErrUnavailable] if the shared state is unreachable.
	Retry(ctx context.Context) error
	// Settle works like [Permit.Settle].
	Settle(actual int)
	// Cancel works like [Permit.Cancel].
	Cancel()
}

// ErrUnavailable is wrapped by the errors of a backend that cannot reach its shared state. The call was
// not admitted, because the limit cannot be enforced without the shared state. A later call may
// succeed.
var ErrUnavailable = errors.New("limiter: shared state is not available")

// A Factory makes the limiter of a model. The model "" stands for all models without a separate limit,
// which share one limiter. The result must be comparable, such as a pointer, and not nil.
type Factory func(model string, limit Limit) (Backend, error)

// make calls the factory and checks its result.
func (f Factory) make(model string, limit Limit) (Backend, error) {
	if f == nil {
		return nil, errors.New("limiter: factory: must be a function such as InProcess(), got nil")
	}
	b, err := f(model, limit)
	if err != nil {
		return nil, err
	}
	if v := reflect.ValueOf(b); b == nil || v.Kind() == reflect.Pointer && v.IsNil() {
		return nil, errors.New("limiter: factory: must return a limiter or an error, got neither")
	}
	if !reflect.ValueOf(b).Comparable() {
		return nil, fmt.Errorf("limiter: factory: must return a comparable type such as a pointer, got a %T", b)
	}
	return b, nil
}

// InProcess returns a factory that calls [New] with the given options.
func InProcess(options ...Option) Factory {
	return func(_ string, limit Limit) (Backend, error) {
		l, err := New(limit, options...)
		if err != nil {
			return nil, err
		}
		return inProcess{l}, nil
	}
}

// inProcess adapts a Limiter to Backend. Only the result type of Acquire differs.
type inProcess struct{ *Limiter }

func (b inProcess) Acquire(ctx context.Context, call Call) (Admission, error) {
	p, err := b.AcquireCall(ctx, call)
	if err != nil {
		return nil, err // a nil *Permit would be a non-nil Admission
	}
	return p, nil
}
