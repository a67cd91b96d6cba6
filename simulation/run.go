package main

import (
	"context"
	"math/rand/v2"
	"sync"
	"testing"
	"testing/synctest"
	"time"
)

// lengthOfRun is the length of a run in virtual time.
const lengthOfRun = 30 * time.Minute

// scenario is the input of a run.
type scenario struct {
	limits      limits // The client's limits.
	actual      limits // The server's limits; zero: the same.
	work        workload
	server      string
	noHints     bool // The server reports neither remaining amounts nor Retry-After.
	counts      bool // The server reports the remaining requests of the minute.
	newStrategy func(limits) strategy
	length      time.Duration // Ignored for a finite workload.
	after       time.Duration // Calls that end earlier do not count as completed.
	seed        uint64
}

// run is the state of a running scenario.
type run struct {
	scenario
	network  *network
	strategy strategy
	ctx      context.Context // Done at the end of the run.
	wg       sync.WaitGroup

	mu       sync.Mutex
	requests []*request // In the order of arrival.
	external usage      // The usage of other clients.
}

// serverLimits returns the server's limits.
func (s scenario) serverLimits() limits {
	if s.actual == (limits{}) {
		return s.limits
	}
	return s.actual
}

// simulate runs a scenario.
func simulate(t *testing.T, s scenario) (o outcome) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		// Not a deadline: x/time/rate would reject calls that cannot start before it.
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		r := &run{
			scenario: s,
			network:  newNetwork(s),
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
			r.wg.Go(func() { r.arrivals(arrivalStream, s.work.open*r.serverLimits().rateOf(s.work.mean), r.arrive) })
		}
		if s.work.external > 0 {
			r.wg.Go(func() {
				r.arrivals(externalStream, s.work.external*r.serverLimits().rateOf(heavyMean), r.useExternally)
			})
		}
		if s.work.competing > 0 {
			r.wg.Go(func() { r.arrivals(externalStream, s.work.competing*r.serverLimits().rateOf(heavyMean), r.compete) })
		}
		r.wg.Wait()
		o = r.outcome()
	})
	return o
}

// finite reports whether the run ends when all calls are done.
func (r *run) finite() bool { return r.work.calls > 0 }

// closed runs a caller that makes its calls one after another.
func (r *run) closed(caller uint64) {
	random := stream(r.seed, firstCaller+caller)
	history := 0
	for i := 0; r.ctx.Err() == nil && (!r.finite() || i < r.work.calls); i++ {
		c := r.work.next(random, r.limits, caller, i)
		if !c.continues {
			history = 0
		}
		if e := r.do(random, c, history); e.state == done {
			history = e.tokens()
		}
	}
}

// arrivals makes calls arrive at random times, at the given rate per second.
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

// arrive makes a call of an open workload.
func (r *run) arrive(i uint64) {
	random := stream(r.seed, firstCaller+i)
	r.do(random, r.work.next(random, r.limits, i, 0), 0)
}

// useExternally makes a call of another client that does not limit itself.
func (r *run) useExternally(i uint64) {
	c := heavy(stream(r.seed, firstOther+i))
	r.network.useExternally(c)
	r.addExternal(c.prompt + c.completion)
}

// compete makes a call of another client that backs off after a 429 response.
func (r *run) compete(i uint64) {
	c := heavy(stream(r.seed, firstOther+i))
	e := &request{network: r.network, prompt: c.prompt, completion: c.completion, ctx: context.Background()}
	if last := (retrying{}).do(r.ctx, e); last.ok {
		r.addExternal(e.tokens())
	}
}

func (r *run) addExternal(tokens int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.ctx.Err() == nil {
		r.external.add(tokens)
	}
}

// do makes a call and records its result.
func (r *run) do(random *rand.Rand, c call, history int) *request {
	e := &request{
		network:    r.network,
		counted:    int(float64(c.prompt) * (0.8 + 0.4*random.Float64())),
		history:    history,
		prompt:     history + c.prompt,
		completion: c.completion,
		maxTokens:  c.maxTokens,
		takes:      c.takes,
		class:      c.class,
		arrived:    r.network.now(),
		ctx:        context.Background(),
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

	e.ended = r.network.now()
	switch {
	case last.ok:
		e.state = done
	case r.ctx.Err() == nil:
		e.state = lost
	}
	return e
}
