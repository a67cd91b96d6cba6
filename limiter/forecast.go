package limiter

import (
	"math"
	"time"
)

// WaitTime returns how long a call of the given number of tokens would wait if it were acquired now. It
// assumes class [Interactive], a position behind all waiting calls, and that nothing else changes. Calls of other
// classes count if they would start earlier. WaitTime takes nothing.
//
// If the call must wait for calls in flight to end, WaitTime assumes that they take as long as recent calls
// did on average. Before the first call is settled, it assumes a minute.
//
// WaitTime returns [Never] for more tokens than the bucket can hold. A negative number counts as 0.
//
// WaitTime simulates the queue. Its running time grows with the number of waiters, by some tens of
// nanoseconds each.
func (l *Limiter) WaitTime(tokens int) time.Duration {
	if l.isZero() {
		return Never
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if tokens > l.limit.TokenBurst {
		return Never
	}
	class := l.queue.class(Interactive)
	w := &waiter{permit: &Permit{class: class, place: Place{math.MaxUint64}}, cost: l.budget.cost(Call{Prompt: max(0, tokens)})}
	clock := class.virtualTime
	l.queue.push(w)
	f, _ := l.forecast(time.Now(), w)
	l.queue.remove(w)
	class.virtualTime = clock
	return f.elapsed
}

// simulatedCalls is how many calls Forecast simulates. It assumes that further calls start at the pace
// of the second half of them.
const simulatedCalls = 2000

// Forecast returns how long it takes until the last of a number of calls has started. It assumes that all
// of them arrive now, that no other call waits, and that each uses the given number of tokens. The result
// is exact if calls are short. Otherwise Forecast makes the same assumptions as [Limiter.WaitTime].
//
// Forecast returns 0 if calls is less than 1, and [Never] if a call needs more tokens than the bucket can
// hold. It takes nothing. Its running time does not grow beyond 2,000 calls.
func (l *Limiter) Forecast(calls, tokens int) time.Duration {
	switch {
	case calls < 1:
		return 0
	case l.isZero():
		return Never
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if tokens > l.limit.TokenBurst {
		return Never
	}
	f := l.newForecast(time.Now())
	f.share = 1
	c := l.budget.cost(Call{Prompt: max(0, tokens)})
	var half time.Duration
	for i := range min(calls, simulatedCalls) {
		if f.start(c); i == simulatedCalls/2-1 {
			half = f.elapsed
		}
	}
	if rest := calls - simulatedCalls; rest > 0 {
		longer := float64(f.elapsed-half) / (simulatedCalls / 2) * float64(rest)
		if longer >= math.MaxInt64 {
			return Never
		}
		f.elapsed = addSaturated(f.elapsed, time.Duration(longer))
	}
	return f.elapsed
}

// forecast simulates the queue up to the given waiter. It returns the state at its admission and the
// number of simulated calls. The caller must hold l.mu.
func (l *Limiter) forecast(now time.Time, last *waiter) (f *forecast, played int) {
	f = l.newForecast(now)
	for w := range l.queue.inOrder(l.limit.seconds) {
		f.start(w.cost)
		if played++; w == last {
			break
		}
	}
	return f, played
}

func (l *Limiter) newForecast(now time.Time) *forecast {
	f := l.budget.forecast(now)
	f.pass(max(0, l.paused(now)))
	if limit := l.concurrency.limit(); limit > 0 {
		took := time.Minute
		if g := l.budget.guard; g != nil && g.meanDuration > 0 {
			took = g.meanDuration
		}
		f.free, f.interval = max(0, limit-l.active()), took/time.Duration(limit)
		f.freeAt = f.interval
	}
	return f
}

// forecast returns a copy of the budget's state for a simulation.
func (b *budget) forecast(now time.Time) *forecast {
	f := &forecast{requests: b.requests.level(now), tokens: b.tokens.level(now), share: 1}
	if g := b.guard; g != nil {
		if g.meanEstimate > 0 {
			f.share = min(2, g.meanActual/g.meanEstimate)
		}
		f.begin = g.at(now)
		f.guard, f.held, f.used, f.end = g.forecast(f.begin)
	}
	return f
}

// A forecast is a copy of a budget that simulates its future state.
type forecast struct {
	requests, tokens level
	elapsed          time.Duration
	share            float64 // the share of its estimate that a call is assumed to use

	guard *guard // copy without the calls in flight
	begin time.Duration

	// The calls in flight are assumed to end together, at end. Until then they hold some tokens,
	// afterwards they have used others.
	held, used int
	end        time.Duration // since begin

	// If the number of calls in flight is bounded, free more calls may start at once, and then one
	// in each interval.
	free     int
	interval time.Duration // 0: unbounded
	freeAt   time.Duration // since begin: when the next call may start if free is 0
}

// start advances the time until c can start, and takes the tokens that the call is assumed to use.
func (f *forecast) start(c cost) {
	d := max(f.wait(c), f.takeSlot())
	if c.tokens > 0 && f.held > 0 && addSaturated(f.elapsed, d) > f.end {
		f.pass(max(0, f.end-f.elapsed))
		f.guard.tokens.add(f.begin+f.elapsed, f.used)
		f.held = 0
		d = f.wait(c)
	}
	f.pass(d)
	used := int(math.Round(float64(c.tokens) * f.share))
	f.requests, f.tokens = f.requests.less(c.requests*requestUnits), f.tokens.less(used)
	if g := f.guard; g != nil {
		now := addSaturated(f.begin, f.elapsed)
		g.send(now)
		if c.tokens > 0 {
			g.tokens.add(now, used)
		}
	}
}

// takeSlot takes a slot for a call in flight and returns how long it takes until the slot is free.
func (f *forecast) takeSlot() (wait time.Duration) {
	switch {
	case f.interval == 0:
	case f.free > 0:
		f.free--
		f.freeAt = f.elapsed + f.interval
	default:
		wait = max(0, f.freeAt-f.elapsed)
		f.freeAt = max(f.freeAt, f.elapsed) + f.interval
	}
	return wait
}

func (f *forecast) wait(c cost) time.Duration {
	d := max(f.requests.wait(c.requests*requestUnits), f.tokens.wait(c.tokens))
	if g := f.guard; g != nil {
		now := addSaturated(f.begin, f.elapsed)
		d = max(d, g.requestWait(now, c.requests))
		if c.tokens > 0 {
			d = max(d, g.tokenWait(now, c.tokens, f.held))
		}
	}
	return d
}

// pass advances the time by d.
func (f *forecast) pass(d time.Duration) {
	f.requests, f.tokens = f.requests.after(d), f.tokens.after(d)
	f.elapsed = addSaturated(f.elapsed, d)
}

// addSaturated returns a + b, at most the largest duration. Neither may be negative.
func addSaturated(a, b time.Duration) time.Duration {
	if a > math.MaxInt64-b {
		return math.MaxInt64
	}
	return a + b
}
