package ratelimited

import (
	"context"
	"errors"
	"iter"
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
func (f *Future[T]) Done() <-chan struct{} {
	if f.isZero() {
		done := make(chan struct{})
		close(done)
		return done
	}
	return f.done
}

// Await waits for the call to end and returns its result, to any number of
// callers. When ctx ends first, Await returns its error and cause; the call goes
// on.
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

// Result is the outcome of one of the calls of [Gather] or [Each].
type Result[T any] struct {
	Value T     // the zero value if the call failed before it had one
	Err   error // nil for a success
}

// maxGather bounds the goroutines of one Gather or Each. It is far above what a rate
// limit lets be in flight.
const maxGather = 1000

// Gather carries out call for each input and returns the results in the order
// of the inputs, when all have ended. The calls run side by side, at most 1000
// at a time, and the limiter spaces them. They enter its queue in about the order of the
// inputs, which is not guaranteed. One call's failure does not stop the others, unless it matches
// [ErrUnauthorized]: then the rest get that error. When ctx
// ends, inputs not begun yet get its error and cause. A panic in call ends the
// program, as in any goroutine.
func Gather[In, Out any](ctx context.Context, inputs []In, call func(context.Context, In) (Out, error)) []Result[Out] {
	results := make([]Result[Out], len(inputs))
	if err := checkMany(ctx, "Gather", call != nil); err != nil {
		for i := range results {
			results[i].Err = err
		}
		return results
	}
	crew := newCrew(ctx)
	defer crew.cancel(nil)
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
			results[i].Err = errNoReturn
			results[i] = carryOut(crew, inputs[i], call)
		}
		finished = true
	}
	for range min(len(inputs), maxGather) {
		wg.Go(work)
	}
	wg.Wait()
	return results
}

// Each carries out call for each input and yields the results as they come, in the order in
// which the calls end, with the positions of their inputs. The calls run side by side as
// those of [Gather] do. Each takes an input when there is room for its call: at most 1000 are
// under way, or wait for the loop to take their results, so inputs may be endless. Each input
// that it takes has a result, unless the loop ends before.
//
// When the loop ends, when ctx ends, and after a failure that matches [ErrUnauthorized], Each
// takes no more inputs and cancels the calls under way. Their results are still yielded, unless
// the loop itself has ended. After a failure that matches [ErrShuttingDown] it takes no more
// inputs either, and lets the calls under way go on. Each returns when all calls have ended; if
// inputs waits for something, it must return when ctx ends. A panic in call or inputs ends the program, as in
// any goroutine.
func Each[In, Out any](ctx context.Context, inputs iter.Seq[In], call func(context.Context, In) (Out, error)) iter.Seq2[int, Result[Out]] {
	return func(yield func(int, Result[Out]) bool) {
		err := checkMany(ctx, "Each", call != nil)
		if err == nil && inputs == nil {
			err = &RequestError{Operation: "Each", Field: "inputs", Rule: "must be an iterator, such as slices.Values(…)"}
		}
		if err != nil {
			yield(0, Result[Out]{Err: err})
			return
		}
		crew := newCrew(ctx)
		type indexed struct {
			index  int
			result Result[Out]
		}
		results := make(chan indexed)
		left, finished := make(chan struct{}), make(chan struct{}) // the loop has ended; all calls have
		defer func() {
			crew.cancel(errLoopEnded)
			close(left)
			<-finished
		}()
		go func() {
			var calls sync.WaitGroup
			defer close(finished)
			defer close(results)
			defer calls.Wait()
			room := make(chan struct{}, maxGather)
			makeRoom := func() bool {
				select {
				case room <- struct{}{}:
				case <-crew.ctx.Done():
				}
				return crew.ctx.Err() == nil && !crew.full.Load()
			}
			if !makeRoom() {
				return
			}
			index := 0
			for input := range inputs {
				done := indexed{index, Result[Out]{Err: errNoReturn}}
				calls.Go(func() {
					defer func() {
						select {
						case results <- done:
						case <-left:
						}
						<-room
					}()
					done.result = carryOut(crew, input, call)
				})
				index++
				if !makeRoom() {
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

// errLoopEnded is why the calls of an Each are cancelled.
var errLoopEnded = errors.New("the loop over Each has ended")

// checkMany refuses what Gather and Each cannot work with.
func checkMany(ctx context.Context, operation string, hasCall bool) error {
	switch {
	case ctx == nil:
		return &RequestError{Operation: operation, Field: "ctx", Rule: contextRule}
	case !hasCall:
		return &RequestError{Operation: operation, Field: "call", Rule: "must be a function"}
	}
	return nil
}

// A crew is a set of calls that one failure stops.
type crew struct {
	outer, ctx context.Context
	cancel     context.CancelCauseFunc
	full       atomic.Bool // it takes no more calls: the client is shutting down
}

func newCrew(ctx context.Context) *crew {
	c := &crew{outer: ctx}
	c.ctx, c.cancel = context.WithCancelCause(ctx)
	return c
}

// stopped returns the error of the call that stopped the crew; nil if there is none.
func (c *crew) stopped() error {
	if cause := context.Cause(c.ctx); c.outer.Err() == nil && errors.Is(cause, ErrUnauthorized) {
		return cause
	}
	return nil
}

// carryOut makes one call of a crew. A failure that every other call would have, too, stops
// the crew.
func carryOut[In, Out any](c *crew, input In, call func(context.Context, In) (Out, error)) (r Result[Out]) {
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
		c.full.Store(true)
	case err != nil && errors.Is(r.Err, context.Canceled):
		r.Err = err
	}
	return r
}
