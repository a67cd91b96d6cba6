package main

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// lengthOfRun is how long a run lasts, in virtual time.
const lengthOfRun = 30 * time.Minute

// A scenario is all that a run depends on.
type scenario struct {
	limits      limits
	work        workload
	server      string
	newStrategy func(limits) strategy
	length      time.Duration // unless the workload ends by itself
	seed        uint64
}

// A run is a scenario as it happens.
type run struct {
	scenario
	world    *world
	strategy strategy
	ctx      context.Context // done when the time is over
	wg       sync.WaitGroup

	mu      sync.Mutex
	errands []*errand // in the order in which they were asked for
	foreign usage     // of others
}

// simulate carries out a scenario.
func simulate(t *testing.T, s scenario) (o outcome) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		// No deadline, which x/time/rate would look at, giving up beforehand.
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r := &run{
			scenario: s,
			world:    newWorld(s.server, s.limits, s.seed),
			strategy: s.newStrategy(s.limits),
			ctx:      ctx,
		}
		if !r.finite() {
			time.AfterFunc(s.length, cancel)
		}
		for caller := range s.work.callers {
			r.wg.Go(func() { r.closed(caller) })
		}
		if s.work.open > 0 {
			r.wg.Go(func() { r.arrivals(arrivalStream, s.work.open, r.arrive) })
		}
		if s.work.foreign > 0 {
			r.wg.Go(func() { r.arrivals(foreignStream, s.work.foreign, r.impose) })
		}
		r.wg.Wait()
		o = r.outcome()
	})
	return o
}

// finite reports whether the run is over when all calls are done.
func (r *run) finite() bool { return r.work.calls > 0 }

// closed is a caller that makes its calls one after the other.
func (r *run) closed(caller uint64) {
	random := stream(r.seed, firstCaller+caller)
	history := 0
	for i := 0; r.ctx.Err() == nil && (!r.finite() || i < r.work.calls); i++ {
		c := r.work.next(random, r.limits, caller, i)
		if !c.continues {
			history = 0
		}
		if e := r.do(random, c, history); e.fate == done {
			history = e.tokens()
		}
	}
}

// arrivals has heavy calls arrive at random that use the given share of the
// limits.
func (r *run) arrivals(number uint64, share float64, arrive func(i uint64, c call)) {
	random := stream(r.seed, number)
	rate := share * r.limits.heavyRate()
	for i := uint64(0); ; i++ {
		select {
		case <-r.ctx.Done():
			return
		case <-time.After(seconds(random.ExpFloat64() / rate)):
		}
		c := heavy(random)
		r.wg.Go(func() { arrive(i, c) })
	}
}

// arrive is a call of an open workload.
func (r *run) arrive(i uint64, c call) {
	r.do(stream(r.seed, firstCaller+i), c, 0)
}

// impose is a call of somebody else.
func (r *run) impose(_ uint64, c call) {
	r.world.impose(c)
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() == nil {
		r.foreign.add(c.prompt + c.completion)
	}
}

// do carries out a call and notes what became of it.
func (r *run) do(random *rand.Rand, c call, history int) *errand {
	e := &errand{
		world:     r.world,
		counted:   int(float64(c.prompt) * (0.8 + 0.4*random.Float64())),
		history:   history,
		prompt:    history + c.prompt,
		reply:     c.completion,
		maxTokens: c.maxTokens,
		asked:     r.world.now(),
	}
	r.mu.Lock()
	r.errands = append(r.errands, e)
	r.mu.Unlock()

	last := r.strategy.do(r.ctx, e)

	e.ended = r.world.now()
	switch {
	case last.ok:
		e.fate = done
	case r.ctx.Err() == nil:
		e.fate = lost
	}
	return e
}
