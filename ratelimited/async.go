package ratelimited

import (
	"context"
	"sync"
	"sync/atomic"
)

// Future is the result of a call that runs in a goroutine of its own.
type Future[T any] struct {
	done  chan struct{}
	value T
	err   error
}

// Async runs call in a goroutine and returns at once. Cancel the context that
// call uses to stop it: a Future nobody waits for still runs to its end.
func Async[T any](call func() (T, error)) *Future[T] {
	f := &Future[T]{done: make(chan struct{})}
	go func() {
		defer close(f.done)
		f.value, f.err = call()
	}()
	return f
}

// Done is closed when the call has ended.
func (f *Future[T]) Done() <-chan struct{} { return f.done }

// Await waits for the call to end and returns its result, to any number of
// callers. When ctx ends first, Await returns its cause; the call goes on.
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
		return zero, context.Cause(ctx)
	}
}

// Result is what one of the calls of [Gather] came to.
type Result[T any] struct {
	Value T
	Err   error
}

// maxGather bounds the goroutines of one Gather. It is far above what a rate
// limit lets be in flight.
const maxGather = 1000

// Gather carries out call for each input and returns the results in the order
// of the inputs, when all have ended. The calls run side by side, at most 1000
// at a time, and enter the limiter's queue about in the order of the inputs; the
// limiter spaces them. One call's failure does not stop the others; when ctx
// ends, inputs not begun yet get its cause.
func Gather[In, Out any](ctx context.Context, inputs []In, call func(context.Context, In) (Out, error)) []Result[Out] {
	results := make([]Result[Out], len(inputs))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(len(inputs), maxGather) {
		wg.Go(func() {
			for {
				i := int(next.Add(1)) - 1
				if i >= len(inputs) {
					return
				}
				if ctx.Err() != nil {
					results[i].Err = context.Cause(ctx)
					continue
				}
				results[i].Value, results[i].Err = call(ctx, inputs[i])
			}
		})
	}
	wg.Wait()
	return results
}
