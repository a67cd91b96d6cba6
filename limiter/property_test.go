package limiter_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// These tests compare the limiter with a model. They run random schedules of all operations on a virtual clock.
// After every step the limiter must have admitted the same calls as the model, at the same times, and hold the
// same balances. The model follows the documentation. It does not use timers, locks or package rate, and prefers
// simplicity to speed.

type op struct {
	kind   int
	after  time.Duration // time before the step
	tokens int           // to acquire, remaining, or the difference of the actual usage
	of     int           // index of the permit
	span   time.Duration // timeout, or length of the pause
	limit  limiter.Limit
}

const (
	opAcquire = iota
	opAcquireTimeout
	opSettleEqual
	opSettleLess
	opSettleMore
	opCancel
	opRetry
	opPause
	opSetLimit
	opObserve
	opKinds
)

func genLimit(t *rapid.T, label string) limiter.Limit {
	l := limiter.Limit{
		RequestsPerSecond: rapid.SampledFrom([]float64{0.08, 0.3, 1, 1.2, 3, 7, 50}).Draw(t, label+" rps"),
		TokensPerMinute:   rapid.SampledFrom([]int{600, 1000, 7001, 60_000}).Draw(t, label+" tpm"),
	}
	if rapid.Bool().Draw(t, label+" bursts") {
		l.RequestBurst = rapid.SampledFrom([]float64{1, 1.5, 4}).Draw(t, label+" request burst")
		l.TokenBurst = rapid.SampledFrom([]int{100, 1000, 90_000}).Draw(t, label+" token burst")
	}
	return l
}

func genOps(t *rapid.T) []op {
	n := rapid.IntRange(1, 60).Draw(t, "steps")
	ops := make([]op, n)
	for i := range ops {
		ops[i] = op{
			// Acquiring is as frequent as all other operations together.
			kind: max(0, rapid.IntRange(-opKinds, opKinds-1).Draw(t, "kind")),
			// Odd nanoseconds keep steps apart from admissions. At the same instant, either order
			// would be correct.
			after:  time.Duration(rapid.SampledFrom([]int{0, 0, 1, 50, 700, 5000, 60_000}).Draw(t, "after"))*time.Millisecond + 137,
			tokens: rapid.SampledFrom([]int{0, 1, 99, 100, 500, 900, 7000, 50_000}).Draw(t, "tokens"),
			of:     rapid.IntRange(0, 1000).Draw(t, "of"),
			span:   time.Duration(rapid.IntRange(1, 20_000).Draw(t, "span"))*time.Millisecond + 71,
		}
		if ops[i].kind == opSetLimit {
			ops[i].limit = genLimit(t, "new")
		}
	}
	return ops
}

// A model implements the documentation.
type model struct {
	now, pausedUntil                time.Duration
	rps, rate, requestCap, tokenCap float64 // rate in tokens per second
	requests, tokens                float64
	queue                           []*modelCall
}

type modelCall struct {
	id       int
	tokens   int
	deadline time.Duration // deadline of the wait
	retry    bool          // the wait is for a retry

	done     bool
	rejected bool
	at       time.Duration
	finished bool
}

func (m *model) setLimit(l limiter.Limit) {
	m.rps, m.rate = l.RequestsPerSecond, float64(l.TokensPerMinute)/60
	m.requestCap, m.tokenCap = l.RequestBurst, float64(l.TokenBurst)
	if m.requestCap == 0 {
		m.requestCap = max(1, m.rps)
	}
	if m.tokenCap == 0 {
		m.tokenCap = float64(l.TokensPerMinute)
	}
	m.give(0, 0)
	m.queue = slices.DeleteFunc(m.queue, func(c *modelCall) bool {
		if c.retry || float64(c.tokens) <= m.tokenCap {
			return false
		}
		c.end(m.now, true)
		return true
	})
}

func (c *modelCall) end(at time.Duration, rejected bool) {
	c.done, c.at, c.rejected = true, at, rejected
}

func (m *model) give(requests, tokens float64) {
	m.requests = min(m.requestCap, m.requests+requests)
	m.tokens = min(m.tokenCap, m.tokens+tokens)
}

func (m *model) pass(d time.Duration) {
	m.now += d
	m.give(d.Seconds()*m.rps, d.Seconds()*m.rate)
}

const never = time.Duration(math.MaxInt64)

// headAt returns when the head of the queue can start.
func (m *model) headAt() time.Duration {
	if len(m.queue) == 0 {
		return never
	}
	c := m.queue[0]
	seconds := (1 - m.requests) / m.rps
	if c.tokens > 0 && !c.retry {
		seconds = max(seconds, (float64(c.tokens)-m.tokens)/m.rate)
	}
	return max(m.pausedUntil, m.now+time.Duration(math.Ceil(max(0, seconds-1e-12)*1e9)))
}

// runTo processes all events until the given time.
func (m *model) runTo(end time.Duration) {
	for {
		at := m.headAt()
		leaver := -1
		for i, c := range m.queue {
			if c.deadline < at {
				at, leaver = c.deadline, i
			}
		}
		if at > end {
			m.pass(end - m.now)
			return
		}
		m.pass(max(0, at-m.now))
		if leaver >= 0 {
			m.queue[leaver].end(m.now, true)
			m.queue = slices.Delete(m.queue, leaver, leaver+1)
			continue
		}
		c := m.queue[0]
		m.requests--
		if !c.retry {
			m.tokens -= float64(c.tokens)
		}
		c.end(m.now, false)
		m.queue = m.queue[1:]
	}
}

func (m *model) push(c *modelCall) {
	i := 0
	for i < len(m.queue) && m.queue[i].id < c.id {
		i++
	}
	m.queue = slices.Insert(m.queue, i, c)
}

// A played call is made in the limiter and in the model.
type played struct {
	model modelCall
	real  *asyncCall
	held  int
}

// play runs the schedule and returns the first difference as an error.
func play(t *testing.T, limit limiter.Limit, ops []op) (failure error) {
	runVirtual(t, limit, func(b *testLimiter) {
		var m model
		m.setLimit(limit)
		m.requests, m.tokens = m.requestCap, m.tokenCap
		var calls []*played
		alive, stop := context.WithCancel(context.Background())
		defer func() {
			stop()
			synctest.Wait()
			if n := b.Snapshot().Waiting; n != 0 && failure == nil {
				failure = fmt.Errorf("%d calls still wait at the end", n)
			}
		}()

		for i, o := range append(ops, op{kind: opPause, after: 24 * time.Hour}) {
			b.until(b.now() + o.after)
			m.runTo(m.now + o.after)

			// Choose a permit: admitted, not finished, not waiting for a retry.
			var permit *limiter.Permit
			var call *played
			if o.kind >= opSettleEqual && o.kind <= opRetry {
				var open []*played
				for _, c := range calls {
					if c.model.done && !c.model.rejected && !c.model.finished {
						open = append(open, c)
					}
				}
				if len(open) == 0 {
					continue
				}
				call = open[o.of%len(open)]
				if r := call.real.result.Load(); r == nil || r.permit == nil {
					failure = fmt.Errorf("step %d: call %d is not admitted", i, call.model.id)
					return
				}
				permit = call.real.result.Load().permit
			}

			switch o.kind {
			case opAcquire, opAcquireTimeout:
				ctx, timeout := alive, never
				if o.kind == opAcquireTimeout {
					timeout = m.now + o.span
					var cancel func()
					ctx, cancel = context.WithTimeout(alive, o.span)
					defer cancel()
				}
				predicted := b.WaitTime(o.tokens)
				c := &played{model: modelCall{id: len(calls), tokens: o.tokens, deadline: timeout}, held: o.tokens}
				calls = append(calls, c)
				if float64(o.tokens) > m.tokenCap {
					c.model.end(m.now, true)
					if predicted != limiter.Never {
						failure = fmt.Errorf("step %d: WaitTime(%d) is %v, want Never", i, o.tokens, predicted)
						return
					}
				} else {
					// Compute what the model does if nothing else happens.
					alone := m
					alone.queue = nil
					for _, w := range m.queue {
						w := *w
						w.deadline = never
						alone.queue = append(alone.queue, &w)
					}
					probe := &modelCall{id: c.model.id, tokens: o.tokens, deadline: never}
					alone.push(probe)
					alone.runTo(m.now + 10000*time.Hour)
					if d := predicted - (probe.at - m.now); d.Abs() > time.Microsecond {
						failure = fmt.Errorf("step %d: WaitTime(%d) is %v, want %v", i, o.tokens, predicted, probe.at-m.now)
						return
					}
					m.push(&c.model)
				}
				c.real = b.goAcquire(ctx, o.tokens)
			case opSettleEqual, opSettleLess, opSettleMore:
				actual := call.held
				switch o.kind {
				case opSettleLess:
					actual = max(0, actual-o.tokens)
				case opSettleMore:
					actual += o.tokens
				}
				permit.Settle(actual)
				call.model.finished = true
				m.give(0, float64(call.held-actual))
			case opCancel:
				permit.Cancel()
				call.model.finished = true
				m.give(1, float64(call.held))
			case opRetry:
				call.model.done, call.model.retry, call.model.deadline = false, true, m.now+o.span
				m.push(&call.model)
				ctx, cancel := context.WithTimeout(alive, o.span)
				defer cancel()
				call.real = b.goRetry(ctx, permit)
			case opPause:
				b.Pause(b.start.Add(b.now() + o.span))
				m.pausedUntil = max(m.pausedUntil, m.now+o.span)
			case opSetLimit:
				if err := b.SetLimit(o.limit); err != nil {
					failure = err
					return
				}
				m.setLimit(o.limit)
			case opObserve:
				b.Observe(limiter.ServerState{RemainingTokens: &o.tokens})
				held := 0
				for _, c := range calls {
					if c.admitted() && !c.model.finished {
						held += c.held
					}
				}
				if done := math.Ceil(m.tokens - float64(o.tokens-held) - 1e-6); done > 0 {
					m.tokens -= done
				}
			}
			synctest.Wait()
			m.runTo(m.now)

			if failure = compare(b, &m, calls); failure != nil {
				failure = fmt.Errorf("after step %d (%+v) at %v: %w", i, o, m.now, failure)
				return
			}
		}
	})
	return failure
}

// admitted reports whether Acquire succeeded. A retry that waits or was abandoned belongs to an admitted call.
func (c *played) admitted() bool { return c.model.retry || c.model.done && !c.model.rejected }

func compare(b *testLimiter, m *model, calls []*played) error {
	s := b.Snapshot()
	if math.Abs(s.AvailableRequests-m.requests) > 1e-6 || math.Abs(s.AvailableTokens-m.tokens) > 1e-3 {
		return fmt.Errorf("%v requests and %v tokens are available, want %v and %v",
			s.AvailableRequests, s.AvailableTokens, m.requests, m.tokens)
	}
	if s.AvailableRequests > s.Limit.RequestBurst || s.AvailableTokens > float64(s.Limit.TokenBurst) {
		return fmt.Errorf("%v requests and %v tokens are available, more than the capacity", s.AvailableRequests, s.AvailableTokens)
	}
	inFlight, held, taken := 0, 0, int64(0)
	for _, c := range calls {
		if c.admitted() {
			taken += int64(c.held)
			if !c.model.finished {
				inFlight, held = inFlight+1, held+c.held
			}
		}
		o := c.real.result.Load()
		switch {
		case (o != nil) != c.model.done:
			return fmt.Errorf("call %d: ended is %v, want %v (%+v)", c.model.id, o != nil, c.model.done, c.model)
		case o == nil:
		case (o.err != nil) != c.model.rejected:
			return fmt.Errorf("call %d: error %w, want rejected %v", c.model.id, o.err, c.model.rejected)
		case (o.at - c.model.at).Abs() > time.Microsecond:
			return fmt.Errorf("call %d: ended at %v, want %v", c.model.id, o.at, c.model.at)
		}
	}
	if s.InFlight != inFlight || s.HeldTokens != held || s.Waiting != len(m.queue) {
		return fmt.Errorf("%d in flight, %d held, %d waiting, want %d, %d, %d", s.InFlight, s.HeldTokens, s.Waiting,
			inFlight, held, len(m.queue))
	}
	if got := s.TokensSettled + s.TokensRefunded - s.TokensCharged + int64(s.HeldTokens); got != taken {
		return fmt.Errorf("tokens settled and held are %d, taken %d: %+v", got, taken, s)
	}
	return nil
}

func TestLimiterAgreesWithModel(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		limit := genLimit(r, "first")
		ops := genOps(r)
		if err := play(t, limit, ops); err != nil {
			r.Fatal(err)
		}
	})
}

// Many goroutines use a limiter concurrently. Every wait must end, all permits and tokens must be accounted for,
// and no time interval may exceed the limit.
func TestManyGoroutines(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		limit := limiter.Limit{
			RequestsPerSecond: rapid.SampledFrom([]float64{0.3, 1.2, 3, 40}).Draw(r, "rps"),
			TokensPerMinute:   rapid.SampledFrom([]int{6000, 60_000}).Draw(r, "tpm"),
		}
		type job struct {
			start, timeout, hold     time.Duration
			tokens, actual           int
			cancel, retry, disturbed bool
		}
		ms := func(label string, hi int) time.Duration {
			return time.Duration(rapid.IntRange(0, hi).Draw(r, label)) * 10 * time.Millisecond
		}
		jobs := make([]job, rapid.IntRange(1, 40).Draw(r, "jobs"))
		for i := range jobs {
			jobs[i] = job{
				// No two goroutines act at the same instant, because then the order of the log
				// could differ from the order of the events.
				start:     ms("start", 500) + time.Duration(i)*1009 + 1,
				timeout:   ms("timeout", 6000),
				hold:      ms("hold", 300) + time.Duration(i)*100_003 + 1,
				tokens:    rapid.IntRange(0, 6000).Draw(r, "tokens"),
				actual:    rapid.IntRange(0, 8000).Draw(r, "actual"),
				cancel:    rapid.IntRange(0, 3).Draw(r, "cancel") == 0,
				retry:     rapid.IntRange(0, 3).Draw(r, "retry") == 0,
				disturbed: rapid.IntRange(0, 9).Draw(r, "disturbed") == 0,
			}
		}

		var failure error
		runVirtual(t, limit, func(b *testLimiter) {
			type event struct {
				at               time.Duration
				requests, tokens float64 // taken, negative if returned
			}
			var mu sync.Mutex
			var events []event
			var admitted, waited atomic.Int64
			log := func(requests, tokens int) {
				mu.Lock()
				defer mu.Unlock()
				events = append(events, event{b.now(), float64(requests), float64(tokens)})
			}
			var wg sync.WaitGroup
			for _, j := range jobs {
				wg.Go(func() {
					time.Sleep(j.start)
					if j.disturbed {
						b.Pause(time.Now().Add(j.hold))
						b.WaitTime(j.tokens)
					}
					ctx, cancel := context.WithTimeout(context.Background(), j.timeout)
					defer cancel()
					p, err := b.Acquire(ctx, j.tokens)
					if err != nil {
						if !errors.Is(err, context.DeadlineExceeded) {
							b.Error(err)
						}
						return
					}
					log(1, j.tokens)
					admitted.Add(1)
					time.Sleep(j.hold)
					if j.retry && p.Retry(ctx) == nil {
						log(1, 0)
						time.Sleep(j.hold)
					}
					waited.Add(int64(p.WaitDuration()))
					// Log first, because the settlement admits other calls.
					if j.cancel {
						log(-1, -j.tokens)
						p.Cancel()
					} else {
						log(0, j.actual-j.tokens)
						p.Settle(j.actual)
					}
				})
			}
			wg.Wait() // synctest reports a wait that never ends as a deadlock

			s := b.Snapshot()
			if s.InFlight != 0 || s.HeldTokens != 0 || s.Waiting != 0 || s.Admitted != admitted.Load() ||
				s.Admitted != s.Settled+s.Cancelled || s.TotalWait != time.Duration(waited.Load()) {
				failure = fmt.Errorf("counters do not balance: %+v", s)
			}
			// In no interval may calls take more, minus returned units, than the capacity and the
			// refill. The loop tries every interval that starts with an event. A charge beyond the
			// estimate is not an admission and may exceed that.
			for i := range events {
				var requests, tokens float64
				for _, e := range events[i:] {
					requests += e.requests
					tokens += e.tokens
					d := (e.at - events[i].at).Seconds()
					if e.requests > 0 && requests > s.Limit.RequestBurst+d*limit.RequestsPerSecond+1e-6 {
						failure = fmt.Errorf("%v requests in %v s", requests, d)
					}
					if e.requests > 0 && e.tokens > 0 && tokens > float64(limit.TokensPerMinute)*(1+d/60)+1e-3 {
						failure = fmt.Errorf("%v tokens in %v s", tokens, d)
					}
				}
			}
		})
		if failure != nil {
			r.Fatal(failure)
		}
	})
}
