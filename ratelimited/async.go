package ratelimited

import (
	"context"
	"errors"
	"iter"
	"sync"
	"sync/atomic"
)

// Future is the future result of a call that runs in a separate goroutine.
type Future[T any] struct {
	done  chan struct{}
	value T
	err   error
}

// errNoReturn is the error of a call that ended its goroutine instead of returning, by runtime.Goexit.
// testing.T.FailNow uses it.
var errNoReturn = errors.New("mistral: the call ended its goroutine without returning")

// Async runs call in a new goroutine and returns at once. Cancel the context that call uses to stop it:
// the call runs to its end even if nothing awaits the Future. A panic in call ends the program, as in
// any goroutine.
func Async[T any](call func() (T, error)) *Future[T] {
	f := &Future[T]{done: make(chan struct{}), err: errNoReturn}
	go func() {
		defer close(f.done)
		f.value, f.err = call()
	}()
	return f
}

// Done returns a channel that is closed when the call has ended.
func (f *Future[T]) Done() <-chan struct{} {
	if f.isZero() {
		done := make(chan struct{})
		close(done)
		return done
	}
	return f.done
}

// Await waits until the call has ended and returns its result. It can be called any number of times. If
// ctx ends first, Await returns the error and cause of ctx, and the call continues.
func (f *Future[T]) Await(ctx context.Context) (T, error) {
	var zero T
	if f.isZero() {
		return zero, errNoFuture
	}
	select {
	case <-f.done:
		return f.value, f.err
	default:
	}
	if ctx == nil {
		return zero, &RequestError{Operation: "Await", Field: "ctx", Rule: contextRule}
	}
	select {
	case <-f.done:
		return f.value, f.err
	case <-ctx.Done():
		return zero, contextError(ctx)
	}
}

// Result is the result of one call of [Gather] or [Each].
type Result[T any] struct {
	Value T     // returned by the call
	Err   error // nil if the call succeeded
}

// maxGather bounds the goroutines of one Gather or Each. It is far more than a rate limit allows in
// flight.
const maxGather = 1000

// Gather runs call for each input and returns all results in the order of the inputs. The calls run
// concurrently, at most 1,000 at a time, and the limiter spaces them. They enter its queue in roughly the
// order of the inputs.
//
// A failed call does not stop the others, unless its error matches [ErrUnauthorized]: then the remaining
// calls fail with the same error. If ctx ends, the remaining calls fail with its error and cause. A panic
// in call ends the program, as in any goroutine.
func Gather[In, Out any](ctx context.Context, inputs []In, call func(context.Context, In) (Out, error)) []Result[Out] {
	results := make([]Result[Out], len(inputs))
	if err := checkArguments(ctx, "Gather", call != nil); err != nil {
		for i := range results {
			results[i].Err = err
		}
		return results
	}
	group := newCallGroup(ctx)
	defer group.cancel(nil)
	var next atomic.Int64
	var wg sync.WaitGroup
	var work func()
	work = func() {
		finished := false
		defer func() {
			if !finished {
				wg.Go(work) // replaces a goroutine that call has ended
			}
		}()
		for i := int(next.Add(1)) - 1; i < len(inputs); i = int(next.Add(1)) - 1 {
			results[i].Err = errNoReturn
			results[i] = runCall(group, inputs[i], call)
		}
		finished = true
	}
	for range min(len(inputs), maxGather) {
		wg.Go(work)
	}
	wg.Wait()
	return results
}

// Each runs call for each input and yields the results in the order in which the calls end, with the
// index of the input. The calls run concurrently, like those of [Gather]. At most 1,000 calls run or
// wait for the loop to receive their result, so inputs may be infinite. Each yields a result for
// every input that it has taken, unless the loop ends early.
//
// Each stops taking inputs and cancels the running calls if the loop ends, if ctx ends, or after an
// error that matches [ErrUnauthorized]. It still yields their results, unless the loop has ended. After
// an error that matches [ErrShuttingDown], it stops taking inputs but does not cancel the running
// calls. Each returns when all calls have ended. If inputs blocks, it must return when ctx ends. A panic
// in call or inputs ends the program, as in any goroutine.
func Each[In, Out any](ctx context.Context, inputs iter.Seq[In], call func(context.Context, In) (Out, error)) iter.Seq2[int, Result[Out]] {
	return func(yield func(int, Result[Out]) bool) {
		err := checkArguments(ctx, "Each", call != nil)
		if err == nil && inputs == nil {
			err = &RequestError{Operation: "Each", Field: "inputs", Rule: "must be an iterator such as slices.Values(…), got nil"}
		}
		if err != nil {
			yield(0, Result[Out]{Err: err})
			return
		}
		group := newCallGroup(ctx)
		type indexed struct {
			index  int
			result Result[Out]
		}
		results := make(chan indexed)
		loopEnded, callsEnded := make(chan struct{}), make(chan struct{})
		defer func() {
			group.cancel(errLoopEnded)
			close(loopEnded)
			<-callsEnded
		}()
		go func() {
			var calls sync.WaitGroup
			defer close(callsEnded)
			defer close(results)
			defer calls.Wait()
			slots := make(chan struct{}, maxGather)
			acquireSlot := func() bool {
				select {
				case slots <- struct{}{}:
				case <-group.ctx.Done():
				}
				return group.ctx.Err() == nil && !group.closed.Load()
			}
			if !acquireSlot() {
				return
			}
			index := 0
			for input := range inputs {
				done := indexed{index, Result[Out]{Err: errNoReturn}}
				calls.Go(func() {
					defer func() {
						select {
						case results <- done:
						case <-loopEnded:
						}
						<-slots
					}()
					done.result = runCall(group, input, call)
				})
				index++
				if !acquireSlot() {
					return
				}
			}
		}()
		for r := range results {
			if !yield(r.index, r.result) {
				return
			}
		}
	}
}

// errLoopEnded is the cause with which Each cancels its calls when the loop ends.
var errLoopEnded = errors.New("the loop over Each has ended")

// checkArguments rejects a nil context and a nil function.
func checkArguments(ctx context.Context, operation string, hasCall bool) error {
	switch {
	case ctx == nil:
		return &RequestError{Operation: operation, Field: "ctx", Rule: contextRule}
	case !hasCall:
		return &RequestError{Operation: operation, Field: "call", Rule: "must be a function, got nil"}
	}
	return nil
}

// A callGroup is a set of calls that one failure can stop.
type callGroup struct {
	outer, ctx context.Context
	cancel     context.CancelCauseFunc
	closed     atomic.Bool // the client is shutting down: do not start further calls
}

func newCallGroup(ctx context.Context) *callGroup {
	c := &callGroup{outer: ctx}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	return c
}

// stopped returns the error of the call that stopped the group; nil if it was not stopped.
func (c *callGroup) stopped() error {
	if cause := context.Cause(c.ctx); c.outer.Err() == nil && errors.Is(cause, ErrUnauthorized) {
		return cause
	}
	return nil
}

// runCall runs one call of a group. It stops the group after a failure that every other call would
// have too.
func runCall[In, Out any](c *callGroup, input In, call func(context.Context, In) (Out, error)) (r Result[Out]) {
	switch err := c.stopped(); {
	case err != nil:
		return Result[Out]{Err: err}
	case c.ctx.Err() != nil:
		return Result[Out]{Err: contextError(c.ctx)}
	}
	r.Value, r.Err = call(c.ctx, input)
	switch err := c.stopped(); {
	case errors.Is(r.Err, ErrUnauthorized):
		c.cancel(r.Err)
	case errors.Is(r.Err, ErrShuttingDown):
		c.closed.Store(true)
	case err != nil && errors.Is(r.Err, context.Canceled):
		r.Err = err
	}
	return r
}
