package limiter_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// These tests run random schedules of all operations of a guarded limiter. A complete model would be a second
// guard. Instead, guardedModel counts requests and tokens independently and checks the guard's guarantees
// after every step and forevery admission.

const (
	guardedAcquire = iota
	guardedAcquireTimeout
	guardedAcquireDue // with a duration and a deadline
	guardedSettle
	guardedCancel
	guardedReturned
	guardedSent
	guardedRetry
	guardedThrottled
	guardedPause
	guardedObserve
	guardedSetLimit
	guardedProbe
	guardedKinds
)

type guardedOp struct {
	kind     int
	after    time.Duration
	tokens   int
	of       int
	span     time.Duration
	takes    time.Duration // duration of a call with a deadline
	throttle limiter.Throttle
	limit    limiter.Limit
}

func genGuardedOps(t *rapid.T) []guardedOp {
	ops := make([]guardedOp, rapid.IntRange(1, 60).Draw(t, "steps"))
	for i := range ops {
		o := guardedOp{
			kind: max(0, rapid.IntRange(-guardedKinds, guardedKinds-1).Draw(t, "kind")),
			// Odd nanoseconds keep the steps clear of admissions.
			after:  time.Duration(rapid.SampledFrom([]int{0, 0, 1, 50, 700, 5000, 30_000, 60_000}).Draw(t, "after"))*ms + 137,
			tokens: rapid.SampledFrom([]int{0, 1, 60, 75, 100, 500, 900, 7000}).Draw(t, "tokens"),
			of:     rapid.IntRange(0, 1000).Draw(t, "of"),
			span:   time.Duration(rapid.IntRange(1, 20_000).Draw(t, "span"))*ms + 71,
		}
		switch o.kind {
		case guardedAcquireDue:
			o.takes = time.Duration(rapid.SampledFrom([]int{1, 900, 4000, 15_000, 100_000}).Draw(t, "takes")) * ms
		case guardedThrottled:
			o.throttle = limiter.Throttle{Requests: rapid.Bool().Draw(t, "requests"), Tokens: rapid.Bool().Draw(t, "tokens")}
			if rapid.Bool().Draw(t, "retry after") {
				o.throttle.RetryAfter = o.span
			}
		case guardedSetLimit:
			o.limit = genLimit(t, "new")
		}
		ops[i] = o
	}
	return ops
}

// A guardedCall is one call and its result.
type guardedCall struct {
	id, tokens int
	prompt     int // prompt tokens
	large      bool
	wait       *asyncCall // Acquire or Retry, until scan has processed its end
	retrying   bool
	permit     *limiter.Permit
	request    *stamp // latest request
	charged    *stamp // its prompt
	admitted   time.Duration

	deadline              time.Duration // deadline of the wait; 0: none
	duration, minDuration time.Duration // 0: unknown
}

// A stamp counts in a window: one request, or the tokens of a call that has ended.
type stamp struct {
	at   time.Duration
	n    int
	gone bool // left the window of an earlier limit
	back bool // returned
}

func (c *guardedCall) open() bool { return c.permit != nil && c.wait == nil }

// guardedModel is the independent count of one schedule.
type guardedModel struct {
	*testLimiter
	jitter   time.Duration
	limit    limiter.Limit
	calls    []*guardedCall
	requests []*stamp
	tokens   []*stamp // tokens of calls that have ended
	early    []*stamp // prompts when they are sent, and the rest when calls end

	admitted, settled, cancelled, retried   int64
	taken, used, refunded, charged, waiting int64
	pauses                                  time.Duration // latest known end of a pause
	maxDuration                             time.Duration // longest duration of a call, at least the mean
	trial                                   time.Duration // when a late call was last admitted
	promoted                                bool          // a dropped call may have promoted a call behind the next one
}

// requestWindow and tokenWindow return the windows of the limit in force.
func (k *guardedModel) requestWindow() (limit int, span time.Duration) {
	limit = int(k.limit.RequestBurst)
	return limit, time.Duration(float64(limit)/k.limit.RequestsPerSecond*1e9) + k.jitter
}

func (k *guardedModel) tokenWindow() (limit int, span time.Duration) {
	limit = max(k.limit.TokensPerMinute, k.limit.TokenBurst)
	return limit, time.Duration(60 * float64(limit) / float64(k.limit.TokensPerMinute) * 1e9)
}

func within(stamps []*stamp, at, span time.Duration) int {
	n := 0
	for _, s := range stamps {
		if !s.gone && !s.back && s.at <= at && s.at+span > at {
			n += s.n
		}
	}
	return n
}

// setLimit forgets the stamps that have left the old windows, so that they do not return into longer windows.
func (k *guardedModel) setLimit(l limiter.Limit, now time.Duration) {
	if k.limit.RequestsPerSecond != 0 {
		_, requests := k.requestWindow()
		_, tokens := k.tokenWindow()
		for _, s := range k.requests {
			s.gone = s.gone || s.at+requests <= now
		}
		for _, s := range k.tokens {
			s.gone = s.gone || s.at+tokens <= now
		}
		for _, s := range k.early {
			s.gone = s.gone || s.at+tokens+k.jitter <= now
		}
	}
	k.limit = l
}

// scan processes the calls whose wait has ended, and checks the admissions in the order of their times.
func (k *guardedModel) scan() error {
	for {
		var at time.Duration
		var group []*guardedCall // calls that ended at the earliest time
		for _, c := range k.calls {
			if c.wait == nil {
				continue
			}
			o := c.wait.result.Load()
			switch {
			case o == nil || len(group) > 0 && o.at > at:
				continue
			case len(group) > 0 && o.at < at:
				group = nil
			}
			at, group = o.at, append(group, c)
		}
		if len(group) == 0 {
			return nil
		}
		if err := k.admit(at, group); err != nil {
			return fmt.Errorf("at %v: %w", at, err)
		}
	}
}

// admit processes a group of calls that ended at one time. The last of them was admitted with all others in
// flight; which call that was is unknown.
func (k *guardedModel) admit(at time.Duration, group []*guardedCall) error {
	held := 0.0
	for _, c := range k.calls {
		if c.permit != nil {
			held += k.held(c)
		}
	}
	requests, last, withTokens, again := false, 0.0, false, 0
	for _, c := range group {
		o := c.wait.result.Load()
		c.wait = nil
		k.waiting--
		if o.err != nil { // timed out, dropped, or too large for a lower limit
			if err := k.late(c, o); err != nil {
				return err
			}
			continue
		}
		if c.deadline > 0 && at > c.deadline {
			return fmt.Errorf("call %d was admitted after its deadline, %v", c.id, c.deadline)
		}
		if c.duration > 0 && !c.retrying && c.deadline-at < c.minDuration {
			if k.trial > 0 && at-k.trial < 10*time.Second {
				return fmt.Errorf("call %d, which takes at least %v, was admitted with %v left, and so was a call at %v", c.id, c.minDuration, c.deadline-at, k.trial)
			}
			k.trial = at
		}
		requests = true
		c.request = &stamp{at: at, n: 1}
		k.requests = append(k.requests, c.request)
		if c.charged != nil { // charged by the previous attempt
			c.charged.back = true
		}
		c.charged = &stamp{at: at, n: c.prompt}
		k.early = append(k.early, c.charged)
		if at < k.pauses {
			return fmt.Errorf("call %d was admitted in a pause until %v", c.id, k.pauses)
		}
		if c.retrying {
			k.retried++
			again += c.prompt // perhaps after the last call
			continue
		}
		c.permit, c.admitted = o.permit, at
		k.admitted++
		k.taken += int64(c.tokens)
		if c.tokens > 0 {
			held += k.held(c)
			if more := float64(c.tokens-k.chargedOf(c)) - k.held(c); !withTokens || more < last {
				last, withTokens = more, true
			}
		}
	}
	limit, interval := k.requestWindow()
	if n := within(k.requests, at, interval); requests && n > limit {
		return fmt.Errorf("%d requests in %v, more than %d", n, interval, limit)
	}
	maximum, span := k.tokenWindow()
	used := within(k.tokens, at, span)
	if limiter.ChargesOnArrival(k.Limiter) {
		used = within(k.early, at, span+k.jitter) - again
	}
	if withTokens && float64(used)+held+last > float64(maximum)+1e-6 { // rounding of float64
		return fmt.Errorf("%d tokens used in %v and %v held for %d calls, more than %d", used, span, held+last, len(group), maximum)
	}
	return nil
}

// late checks the error of a call that was dropped or rejected because of its deadline.
func (k *guardedModel) late(c *guardedCall, o *callResult) error {
	if !errors.Is(o.err, limiter.ErrWouldWait) {
		return nil
	}
	k.promoted = k.waiting > 0
	var wait *limiter.WaitError
	switch left := c.deadline - o.at; {
	case c.duration == 0 || c.retrying:
		return fmt.Errorf("call %d without a duration was dropped: %w", c.id, o.err)
	case !errors.As(o.err, &wait) || !errors.Is(o.err, context.DeadlineExceeded) || o.permit != nil:
		return fmt.Errorf("call %d was dropped with %w", c.id, o.err)
	case wait.Left != left || left < 0:
		return fmt.Errorf("call %d was dropped with %v left, but its error is %w", c.id, left, o.err)
	case wait.Position > 0 && (wait.WaitDuration != 0 || wait.Duration != c.minDuration || left-wait.Expected >= max(1, c.minDuration)),
		wait.Position == 0 && (wait.Duration != c.duration || left >= c.duration):
		return fmt.Errorf("call %d, which takes %v and at least %v, was dropped with %v left: %w", c.id, c.duration, c.minDuration, left, o.err)
	}
	return nil
}

// held returns the minimum that is kept free for a call in flight.
func (k *guardedModel) held(c *guardedCall) float64 {
	charged := float64(k.chargedOf(c))
	if c.large {
		return 1.25*float64(c.tokens) - charged
	}
	return 0.2 * min(1, float64(22*time.Second)/max(1, float64(k.maxDuration))) * (float64(c.tokens) - charged)
}

// chargedOf returns what a call in flight already counts in the window.
func (k *guardedModel) chargedOf(c *guardedCall) int {
	if c.charged == nil || c.charged.back || !limiter.ChargesOnArrival(k.Limiter) {
		return 0
	}
	return c.prompt
}

// check compares the counts with the snapshot, and checks that no call waits without a reason.
func (k *guardedModel) check() error {
	s := k.Snapshot()
	inFlight, held := 0, 0
	var head *guardedCall
	k.promoted = k.promoted && k.waiting > 0
	for _, c := range k.calls {
		if c.permit != nil {
			inFlight, held = inFlight+1, held+c.tokens
		}
		if c.wait != nil && head == nil {
			head = c
		}
		if c.wait != nil && c.deadline > 0 && k.now() > c.deadline {
			return fmt.Errorf("call %d still waits, after its deadline, %v", c.id, c.deadline)
		}
	}
	switch {
	case s.Admitted != k.admitted || s.Retried != k.retried || s.Settled != k.settled || s.Cancelled != k.cancelled ||
		s.InFlight != inFlight || s.HeldTokens != held || s.Waiting != int(k.waiting):
		return fmt.Errorf("%+v; want admitted %d, retried %d, settled %d, cancelled %d, in flight %d, held %d, waiting %d",
			s, k.admitted, k.retried, k.settled, k.cancelled, inFlight, held, k.waiting)
	case s.Admitted != s.Settled+s.Cancelled+int64(s.InFlight):
		return fmt.Errorf("calls do not balance: %+v", s)
	case s.TokensSettled != k.used || s.TokensRefunded != k.refunded || s.TokensCharged != k.charged ||
		k.taken != s.TokensSettled+s.TokensRefunded-s.TokensCharged+int64(s.HeldTokens):
		return fmt.Errorf("%d tokens were taken, but the counters do not balance: %+v", k.taken, s)
	case s.AvailableRequests > s.Limit.RequestBurst || s.AvailableTokens > float64(s.Limit.TokenBurst):
		return fmt.Errorf("%v requests and %v tokens are available, more than the capacity", s.AvailableRequests, s.AvailableTokens)
	}
	if head != nil && !k.promoted && s.PausedUntil.IsZero() && s.AvailableRequests >= 1+1e-6 &&
		(head.tokens == 0 || head.retrying || s.AvailableTokens >= float64(head.tokens)+1e-3) {
		return fmt.Errorf("call %d of %d tokens waits although %v requests and %v tokens are available", head.id, head.tokens,
			s.AvailableRequests, s.AvailableTokens)
	}
	for _, n := range []int{0, 1, min(500, s.Limit.TokenBurst), s.Limit.TokenBurst} {
		if d := k.WaitTime(n); d < 0 || d == limiter.Never {
			return fmt.Errorf("WaitTime(%d) is %v", n, d)
		}
	}
	return nil
}

// acquire starts a call. halves is the share of prompt tokens, in halves.
func (k *guardedModel) acquire(ctx context.Context, tokens, halves int) *guardedCall {
	return k.acquireDue(ctx, tokens, halves, 0, 0)
}

// acquireDue is acquire for a call with a known duration.
func (k *guardedModel) acquireDue(ctx context.Context, tokens, halves int, duration, minDuration time.Duration) *guardedCall {
	maximum, _ := k.tokenWindow()
	prompt := tokens * halves / 2
	c := &guardedCall{id: len(k.calls), tokens: tokens, prompt: prompt, large: tokens*8 > maximum, duration: duration, minDuration: minDuration}
	if deadline, ok := ctx.Deadline(); ok {
		c.deadline = deadline.Sub(k.start)
	}
	k.calls = append(k.calls, c)
	k.waiting++
	c.wait = k.goDo(func() (*limiter.Permit, error) {
		return k.AcquireCall(ctx, limiter.Call{Prompt: prompt, Reply: tokens - prompt, Duration: duration, MinDuration: minDuration})
	})
	return c
}

func (k *guardedModel) settle(c *guardedCall, used int) {
	k.maxDuration = max(k.maxDuration, k.now()-c.admitted)
	c.permit.Settle(used)
	k.tokens = append(k.tokens, &stamp{at: k.now(), n: used})
	prompt := c.prompt
	if c.charged.back {
		prompt = 0
	}
	c.charged.n = min(c.charged.n, used)
	k.early = append(k.early, &stamp{at: k.now(), n: max(0, used-prompt)})
	c.permit = nil
	k.settled++
	k.used += int64(used)
	k.refunded += int64(max(0, c.tokens-used))
	k.charged += int64(max(0, used-c.tokens))
}

// do executes one step.
func (k *guardedModel) do(ctx context.Context, o guardedOp) error {
	var open []*guardedCall
	for _, c := range k.calls {
		if c.open() {
			open = append(open, c)
		}
	}
	var c *guardedCall
	if o.kind >= guardedSettle && o.kind <= guardedThrottled {
		if len(open) == 0 {
			return nil
		}
		c = open[o.of%len(open)]
	}
	switch o.kind {
	case guardedAcquire:
		k.acquire(ctx, o.tokens, o.of%3)
	case guardedAcquireTimeout:
		ctx, cancel := context.WithTimeout(ctx, o.span)
		context.AfterFunc(ctx, cancel)
		k.acquire(ctx, o.tokens, o.of%3)
	case guardedAcquireDue:
		ctx, cancel := context.WithTimeout(ctx, o.span)
		context.AfterFunc(ctx, cancel)
		k.acquireDue(ctx, o.tokens, o.of%2, o.takes, []time.Duration{0, o.takes / 2, o.takes}[o.of%3])
	case guardedSettle:
		k.settle(c, []int{0, c.tokens / 2, c.tokens, c.tokens, c.tokens + o.tokens}[o.of%5])
	case guardedCancel:
		c.permit.Cancel()
		c.permit = nil
		c.request.back, c.charged.back = true, true
		k.cancelled++
		k.refunded += int64(c.tokens)
	case guardedReturned:
		c.permit.ReturnRequest()
		c.request.back, c.charged.back = true, true
	case guardedSent:
		c.permit.Sent()
		c.request.at, c.request.gone = k.now(), false
		c.charged.at, c.charged.gone = k.now(), false
	case guardedRetry:
		c.retrying, c.deadline = true, k.now()+o.span
		k.waiting++
		retry, cancel := context.WithTimeout(ctx, o.span)
		context.AfterFunc(retry, cancel)
		c.wait = k.goRetry(retry, c.permit)
	case guardedThrottled:
		d := c.permit.Throttled(o.throttle)
		if d < o.throttle.RetryAfter || d < 0 {
			return fmt.Errorf("Retry-After is %v, the pause %v", o.throttle.RetryAfter, d)
		}
		k.pauses = max(k.pauses, k.now()+d)
	case guardedPause:
		k.Pause(time.Now().Add(o.span))
		k.pauses = max(k.pauses, k.now()+o.span)
	case guardedObserve:
		if o.of%2 == 0 { // as counted by a server that charges prompts on arrival
			_, span := k.tokenWindow()
			k.reportRemaining(max(0, k.limit.TokensPerMinute-within(k.early, k.now(), span)))
		} else {
			k.reportRemaining(o.tokens * 7)
		}
	case guardedSetLimit:
		if err := k.SetLimit(o.limit); err != nil {
			return err
		}
		k.setLimit(k.Limit(), k.now())
	case guardedProbe:
		return k.probe(ctx, o.tokens)
	}
	return nil
}

// probe compares WaitTime with the actual wait if nothing else happens. WaitTime is exact, except for the
// decay of learned jitter.
func (k *guardedModel) probe(ctx context.Context, tokens int) error {
	s := k.Snapshot()
	if s.InFlight != 0 || s.Waiting != 0 || tokens > s.Limit.TokenBurst {
		return nil
	}
	predicted, before := k.WaitTime(tokens), k.now()
	c := k.acquire(ctx, tokens, 1)
	wait := c.wait
	k.until(before + predicted)
	o := wait.result.Load()
	if o == nil {
		k.until(before + predicted + time.Second)
		o = wait.result.Load()
	}
	if o == nil || o.err != nil {
		return fmt.Errorf("WaitTime(%d) was %v, but the call still waits", tokens, predicted)
	}
	wear := time.Duration(4 * float64(k.jitter) * min(1, predicted.Minutes()/10))
	if d := o.at - before - predicted; d.Abs() > wear+time.Microsecond {
		return fmt.Errorf("WaitTime(%d) was %v, but the call waited %v", tokens, predicted, o.at-before)
	}
	return nil
}

// playGuarded runs the schedule, then ends all calls until no call waits.
func playGuarded(t *testing.T, limit limiter.Limit, jitter time.Duration, arrival bool, ops []guardedOp) (failure error) {
	runVirtual(t, limit, func(b *testLimiter) {
		if arrival {
			limiter.ChargeOnArrival(b.Limiter)
		}
		k := &guardedModel{testLimiter: b, jitter: jitter}
		k.setLimit(b.Limit(), 0)
		alive, stop := context.WithCancel(context.Background())
		defer synctest.Wait()
		defer stop()
		step := func(do func() error) error {
			for _, f := range []func() error{k.scan, do, func() error { synctest.Wait(); return nil }, k.scan, k.check} {
				if err := f(); err != nil {
					return err
				}
			}
			return nil
		}
		for i, o := range ops {
			b.until(b.now() + o.after)
			if err := step(func() error { return k.do(alive, o) }); err != nil {
				failure = fmt.Errorf("step %d (%+v) at %v: %w", i, o, b.now(), err)
				return
			}
		}
		// All calls in flight end and time passes. Then all waiting calls start.
		for i := 0; k.waiting > 0; i++ {
			if i > 2*len(ops) {
				failure = fmt.Errorf("%d calls wait although all others have ended: %+v", k.waiting, b.Snapshot())
				return
			}
			b.until(b.now() + 10*time.Hour)
			var open []*guardedCall
			for _, c := range k.calls {
				if c.open() {
					open = append(open, c)
				}
			}
			if len(open) == 0 { // only time can admit the waiting calls
				open = append(open, nil)
			}
			for _, c := range open {
				b.until(b.now() + 137)
				if failure = step(func() error {
					if c != nil {
						k.settle(c, c.tokens)
					}
					return nil
				}); failure != nil {
					return
				}
			}
		}
	}, limiter.Guarded(jitter), limiter.Backoff(func(n int) time.Duration { return time.Duration(n) * time.Second }))
	return failure
}

func TestGuardedInvariants(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		limit := genLimit(r, "first")
		jitter := rapid.SampledFrom([]time.Duration{0, 50 * ms, time.Second}).Draw(r, "jitter")
		ops := genGuardedOps(r)
		arrival := rapid.Bool().Draw(r, "arrival")
		if err := playGuarded(t, limit, jitter, arrival, ops); err != nil {
			r.Fatal(err)
		}
	})
}

// Many goroutines use a limiter concurrently. Every wait ends, or synctest reports a deadlock, and all permits
// and tokens are accounted for.
func TestGuardedManyGoroutines(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		seed := rapid.Int64().Draw(r, "seed")
		callers := rapid.IntRange(1, 40).Draw(r, "callers")
		var s limiter.Snapshot
		runVirtual(t, limiter.Limit{RequestsPerSecond: 3, TokensPerMinute: 6000}, func(b *testLimiter) {
			var wg sync.WaitGroup
			for i := range callers {
				wg.Go(func() {
					random := rand.New(rand.NewSource(seed + int64(i)))
					ms := func(n int) time.Duration { return time.Duration(random.Intn(n+1)) * time.Millisecond }
					for range 5 {
						time.Sleep(ms(2000))
						ctx, cancel := context.WithTimeout(context.Background(), ms(100_000))
						defer cancel()
						p, err := b.Acquire(ctx, random.Intn(2000)*random.Intn(4))
						if err != nil {
							continue
						}
						for range random.Intn(4) {
							time.Sleep(ms(500))
							switch random.Intn(7) {
							case 0:
								p.Sent()
							case 1:
								p.ReturnRequest()
							case 2:
								p.Throttled(limiter.Throttle{RetryAfter: ms(3000), Requests: random.Intn(2) == 0, Tokens: random.Intn(4) == 0})
							case 3:
								_ = p.Retry(ctx)
							case 4:
								b.reportRemaining(random.Intn(7000))
							case 5:
								b.Pause(time.Now().Add(ms(1000)))
							case 6:
								b.WaitTime(random.Intn(6000))
							}
						}
						if random.Intn(5) == 0 {
							p.Cancel()
						} else {
							p.Settle(random.Intn(3000))
						}
					}
				})
			}
			wg.Wait()
			s = b.Snapshot()
		}, guarded)
		if s.InFlight != 0 || s.HeldTokens != 0 || s.Waiting != 0 || s.Admitted != s.Settled+s.Cancelled {
			r.Fatalf("counters do not balance: %+v", s)
		}
	})
}
