package ratelimited

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

// Future is the result of a call that runs in a goroutine of its own.
type Future[T any] struct {
	done  chan struct{}
	value T
	err   error
}

// errNoReturn is the result of a call that ended its goroutine instead of
// returning, by runtime.Goexit (which testing.T.FailNow uses).
var errNoReturn = errors.New("mistral: the call ended its goroutine without returning")

// Async runs call in a goroutine and returns at once. Cancel the context that
// call uses to stop it: a Future nobody waits for still runs to its end. A panic
// in call ends the program, as in any goroutine.
func Async[T any](call func() (T, error)) *Future[T] {
	f := &Future[T]{done: make(chan struct{}), err: errNoReturn}
	go func() {
		defer close(f.done)
		f.value, f.err = call()
	}()
	return f
}

// Done is closed when the call has ended.
func (f *Future[T]) Done() <-chan struct{} { return f.done }

// Await waits for the call to end and returns its result, to any number of
// callers. When ctx ends first, Await returns its error and cause; the call goes
// on.
func (f *Future[T]) Await(ctx context.Context) (T, error) {
	select {
	case <-f.done:
		return f.value, f.err
	default:
	}
	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
		var zero T
		return zero, contextError(ctx)
	}
}

// Result is what one of the calls of [Gather] came to.
type Result[T any] struct {
	Value T     // the zero value where the call failed before it had one
	Err   error // nil for a success
}

// maxGather bounds the goroutines of one Gather. It is far above what a rate
// limit lets be in flight.
const maxGather = 1000

// Gather carries out call for each input and returns the results in the order
// of the inputs, when all have ended. The calls run side by side, at most 1000
// at a time, and enter the limiter's queue about in the order of the inputs; the
// limiter spaces them. One call's failure does not stop the others; when ctx
// ends, inputs not begun yet get its error and cause. A panic in call ends the
// program, as in any goroutine.
func Gather[In, Out any](ctx context.Context, inputs []In, call func(context.Context, In) (Out, error)) []Result[Out] {
	results := make([]Result[Out], len(inputs))
	var next atomic.Int64
	var wg sync.WaitGroup
	var work func()
	work = func() {
		finished := false
		defer func() {
			if !finished {
				wg.Go(work) // in the place of a goroutine that call has ended
			}
		}()
		for i := int(next.Add(1)) - 1; i < len(inputs); i = int(next.Add(1)) - 1 {
			if ctx.Err() != nil {
				results[i].Err = contextError(ctx)
				continue
			}
			results[i].Err = errNoReturn
			results[i].Value, results[i].Err = call(ctx, inputs[i])
		}
		finished = true
	}
	for range min(len(inputs), maxGather) {
		wg.Go(work)
	}
	wg.Wait()
	return results
}
