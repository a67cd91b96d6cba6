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
	limits      limits // as the client has them
	actual      limits // of the server; zero: the same
	work        workload
	server      string
	mute        bool // the server says neither what remains nor how long to wait
	counts      bool // the server says how many requests of the minute remain
	newStrategy func(limits) strategy
	length      time.Duration // unless the workload ends by itself
	after       time.Duration // what ends before does not count as completed
	seed        uint64
}

// A run is a scenario as it happens.
type run struct {
	scenario
	world    *world
	strategy strategy
	ctx      context.Context // done when the time is over
	wg       sync.WaitGroup

	mu       sync.Mutex
	requests []*request // in the order in which they were asked for
	foreign  usage      // of others
}

// truth is what the server allows.
func (s scenario) truth() limits {
	if s.actual == (limits{}) {
		return s.limits
	}
	return s.actual
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
			world:    newWorld(s),
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
			r.wg.Go(func() { r.arrivals(arrivalStream, s.work.open*r.truth().rateOf(s.work.mean), r.arrive) })
		}
		if s.work.foreign > 0 {
			r.wg.Go(func() { r.arrivals(foreignStream, s.work.foreign*r.truth().rateOf(heavyMean), r.impose) })
		}
		if s.work.rival > 0 {
			r.wg.Go(func() { r.arrivals(foreignStream, s.work.rival*r.truth().rateOf(heavyMean), r.compete) })
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

// arrivals has calls arrive at random, so many a second.
func (r *run) arrivals(number uint64, rate float64, arrive func(i uint64)) {
	random := stream(r.seed, number)
	for i := uint64(0); ; i++ {
		select {
		case <-r.ctx.Done():
			return
		case <-time.After(seconds(random.ExpFloat64() / rate)):
		}
		r.wg.Go(func() { arrive(i) })
	}
}

// arrive is a call of an open workload.
func (r *run) arrive(i uint64) {
	random := stream(r.seed, firstCaller+i)
	r.do(random, r.work.next(random, r.limits, i, 0), 0)
}

// impose is a call of somebody else, who takes without being asked.
func (r *run) impose(i uint64) {
	c := heavy(stream(r.seed, firstOther+i))
	r.world.impose(c)
	r.addForeign(c.prompt + c.completion)
}

// compete is a call of somebody else, who backs off when refused.
func (r *run) compete(i uint64) {
	c := heavy(stream(r.seed, firstOther+i))
	e := &request{world: r.world, prompt: c.prompt, reply: c.completion, ctx: context.Background()}
	if last := (retrying{}).do(r.ctx, e); last.ok {
		r.addForeign(e.tokens())
	}
}

func (r *run) addForeign(tokens int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() == nil {
		r.foreign.add(tokens)
	}
}

// do carries out a call and notes what became of it.
func (r *run) do(random *rand.Rand, c call, history int) *request {
	e := &request{
		world:     r.world,
		counted:   int(float64(c.prompt) * (0.8 + 0.4*random.Float64())),
		history:   history,
		prompt:    history + c.prompt,
		reply:     c.completion,
		maxTokens: c.maxTokens,
		takes:     c.takes,
		class:     c.class,
		asked:     r.world.now(),
		ctx:       context.Background(),
	}
	ctx := r.ctx
	if r.work.deadline > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, r.work.deadline)
		defer cancel()
		e.ctx = ctx
	}
	r.mu.Lock()
	r.requests = append(r.requests, e)
	r.mu.Unlock()

	last := r.strategy.do(ctx, e)

	e.ended = r.world.now()
	switch {
	case last.ok:
		e.fate = done
	case r.ctx.Err() == nil:
		e.fate = lost
	}
	return e
}
