package limiter_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// goCall makes a call with the given timeout in another goroutine.
func (b *testLimiter) goCall(timeout time.Duration, call limiter.Call) *asyncCall {
	return b.goDo(func() (*limiter.Permit, error) {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		return b.AcquireCall(ctx, call)
	})
}

// droppedAt checks that the limiter dropped or rejected the call, and the fields of its error.
func (p *asyncCall) droppedAt(want, left, duration time.Duration) limiter.WaitError {
	p.b.Helper()
	p.failedAt(want, limiter.ErrWouldWait)
	p.failedAt(want, context.DeadlineExceeded)
	var wait *limiter.WaitError
	if o := p.result.Load(); o == nil || !errors.As(o.err, &wait) {
		p.b.Fatal("the error is not a WaitError")
	}
	equal(p.b, "time left", wait.Left, left)
	equal(p.b, "time that the call needs", wait.Duration, duration)
	return *wait
}

const second = time.Second

// A call fails on arrival if the requests of the calls ahead leave less than MinDuration, exact to the
// nanosecond. The tokens of the calls ahead do not count.
func TestDeadlineThatRequestsCannotMeet(t *testing.T) {
	for name, test := range map[string]struct {
		options []limiter.Option
		pause   time.Duration
		start   time.Duration // earliest start of the fifth call
	}{
		"buckets only":   {nil, 0, 4 * second},
		"guarded":        {[]limiter.Option{guarded}, 0, 4200 * ms},
		"a short pause":  {nil, 2 * second, 4 * second},
		"a longer pause": {nil, 30 * second, 30 * second},
	} {
		t.Run(name, func(t *testing.T) {
			runVirtual(t, limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 6000}, func(b *testLimiter) {
				b.use(6000) // so that all other calls also wait for tokens
				if test.pause > 0 {
					b.Pause(b.start.Add(test.pause))
				}
				for range 3 {
					b.goAcquire(context.Background(), 1000)
				}
				call := limiter.Call{Prompt: 1000, Duration: 2 * second, MinDuration: 1500 * ms}
				late := b.goCall(test.start+1500*ms-1, call).droppedAt(0, test.start+1500*ms-1, 1500*ms)
				equal(b, "expected", late.Expected, test.start)
				equal(b, "position", late.Position, 4)
				b.goCall(test.start+1500*ms, call).waiting()
				s := b.Snapshot()
				equal(b, "abandoned", s.Abandoned, 1)
				equal(b, "admitted", s.Admitted, 1)
				b.until(time.Hour)
			}, test.options...)
		})
	}
}

// A call without a duration or a deadline is never dropped.
func TestNoDeadline(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 6000}, func(b *testLimiter) {
		b.use(1)
		forever := b.goDo(func() (*limiter.Permit, error) {
			return b.AcquireCall(context.Background(), limiter.Call{Prompt: 1, Duration: time.Hour, MinDuration: time.Hour})
		})
		var short []*asyncCall
		for _, d := range []time.Duration{0, -1, -time.Hour} {
			short = append(short, b.goCall(1500*ms, limiter.Call{Prompt: 1, Duration: d, MinDuration: time.Hour}))
		}
		b.until(10 * second)
		forever.admittedAt(second)
		for _, p := range short {
			p.failedAt(1500*ms, context.DeadlineExceeded)
			if o := p.result.Load(); errors.Is(o.err, limiter.ErrWouldWait) {
				t.Errorf("error %v", o.err)
			}
		}
	})
}

// A call whose turn comes too late takes nothing, and the next call starts at once.
func TestDroppedAtTheHead(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 6000}, func(b *testLimiter) {
		b.use(1)
		first := b.goAcquire(context.Background(), 0) // at 1 s
		second2 := b.goCall(8*second, limiter.Call{Prompt: 100, Duration: 7 * second})
		enough := b.goCall(8*second, limiter.Call{Prompt: 100, Duration: 6 * second})
		late := b.goCall(8*second, limiter.Call{Prompt: 100, Duration: 7 * second})
		last := b.goAcquire(context.Background(), 10) // no call takes its turn, because it does not wait for tokens
		b.goAcquire(context.Background(), 100)
		b.until(20 * second)
		first.admittedAt(second)
		// It reaches the head at 1 s with no time to spare.
		second2.droppedAt(second+1, 7*second-1, 7*second)
		enough.admittedAt(2 * second)
		// It becomes the head at 2 s.
		wait := late.droppedAt(2*second, 6*second, 7*second)
		equal(b, "waited", wait.WaitDuration, 2*second)
		equal(b, "position", wait.Position, 0)
		equal(b, "error", wait.Error(), "limiter: gave up waiting for 1 request and 100 tokens after 2s: the deadline is in 6s, but the call is expected to take 7s")
		last.admittedAt(3 * second)
		s := b.Snapshot()
		equal(b, "abandoned", s.Abandoned, 2)
		equal(b, "admitted", s.Admitted, 5)
		equal(b, "tokens held", s.HeldTokens, 210)
	})
}

// At the head of the queue a call may wait for tokens for one and a half times its spare time. It keeps at
// least half of its duration, and at least its minimum duration.
func TestWaitAtTheHeadBeforeADrop(t *testing.T) {
	for name, test := range map[string]struct {
		timeout, duration, minDuration time.Duration
		want                           time.Duration
	}{
		"a third of the wait does not count": {12 * second, 10 * second, 0, 3 * second},
		"down to half of the duration":       {30 * second, 10 * second, 0, 25 * second},
		"down to the minimum duration":       {30 * second, 10 * second, 8 * second, 22 * second},
	} {
		t.Run(name, func(t *testing.T) {
			runVirtual(t, limiter.Limit{RequestsPerSecond: 100, TokensPerMinute: 6000}, func(b *testLimiter) {
				b.use(6000)
				head := b.goCall(test.timeout, limiter.Call{Prompt: 5000, Duration: test.duration, MinDuration: test.minDuration})
				next := b.goAcquire(context.Background(), 100)
				b.until(test.want - 1)
				next.waiting()
				b.until(test.want)
				next.admittedAt(test.want)
				head.droppedAt(test.want, test.timeout-test.want, test.duration)
			})
		})
	}
}

// A call that is alone in the queue keeps its turn while its minimum duration is left.
func TestNotDroppedWhenAlone(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 100, TokensPerMinute: 6000}, func(b *testLimiter) {
		b.acquire(0).Settle(0)
		call := limiter.Call{Prompt: 1000, Duration: 10 * second, MinDuration: 2 * second}
		b.goCall(2*second, call).admittedAt(0)
		b.use(5000)
		alone := b.goCall(15*second, call)
		b.until(10 * second)
		alone.admittedAt(10 * second)

		call.Prompt = 2000
		alone = b.goCall(15*second, call)
		b.until(23*second + 1)
		alone.droppedAt(23*second+1, 2*second-1, 10*second)
	})
}

// A call that waits alone with too little time is dropped as soon as another call arrives.
func TestDroppedWhenAnotherCallArrives(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 100, TokensPerMinute: 6000}, func(b *testLimiter) {
		b.use(6000)
		call := limiter.Call{Prompt: 1000, Duration: 10 * second, MinDuration: 2 * second}
		alone := b.goCall(15*second, call)
		b.until(9 * second)
		alone.waiting()
		next := b.goCall(15*second, call)
		alone.droppedAt(9*second, 6*second, 10*second)
		b.until(20 * second)
		next.admittedAt(10 * second)
	})
}

// One late call in ten seconds starts anyway, so that the limiter notices when calls become faster.
func TestLateCallStartsEveryTenSeconds(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 100, TokensPerMinute: unlimitedRate}, func(b *testLimiter) {
		call := limiter.Call{Prompt: 1, Duration: time.Minute, MinDuration: time.Minute}
		var admitted []time.Duration
		for range 100 {
			b.until(b.now() + 300*ms)
			if o := b.goCall(second, call).result.Load(); o.err == nil {
				admitted = append(admitted, o.at)
			}
		}
		if len(admitted) != 3 || admitted[1]-admitted[0] != 10200*ms || admitted[2]-admitted[1] != 10200*ms {
			t.Errorf("admitted at %v", admitted)
		}
	})
}

// A late call that cannot start now does not start later either.
func TestLateCallMustStartAtOnce(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 100, TokensPerMinute: 6000}, func(b *testLimiter) {
		b.use(6000)
		call := limiter.Call{Prompt: 1, Duration: time.Minute, MinDuration: time.Minute}
		b.goCall(second, call).droppedAt(0, second, time.Minute)
		call.Prompt = 0
		b.goCall(second, call).admittedAt(0)
		b.goCall(second, call).droppedAt(0, second, time.Minute)
	})
}

// A call that returns to a place ahead of others can be dropped too.
func TestDroppedInAnEarlierPlace(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 100, TokensPerMinute: 6000}, func(b *testLimiter) {
		// Takes the chance of a late call.
		b.goCall(second, limiter.Call{Duration: time.Hour, MinDuration: time.Hour}).admittedAt(0)
		b.use(5000)
		run := limiter.WithPlace(context.Background())
		early := limiter.PlaceOf(run)
		b.goAcquire(context.Background(), 2000)
		b.goCall(second, limiter.Call{Prompt: 1, Place: early, Duration: second + 1}).droppedAt(0, second, second+1)
		b.goCall(second, limiter.Call{Prompt: 1, Place: early, Duration: second}).admittedAt(0)
		b.until(time.Minute)
	})
}

// A late call also starts from the queue, while all other late calls are dropped.
func TestLateCallStartsFromTheQueue(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 1000, TokensPerMinute: unlimitedRate}, func(b *testLimiter) {
		b.Pause(b.start.Add(10 * second))
		var calls []*asyncCall
		for range 3 {
			calls = append(calls, b.goCall(12*second, limiter.Call{Prompt: 1, Duration: 11 * second, MinDuration: second}))
			b.goAcquire(context.Background(), 0)
		}
		// The first is dropped 1.5 s after its arrival, the others when they reach the head.
		b.until(20 * second)
		calls[0].droppedAt(1500*ms, 10500*ms, 11*second)
		calls[1].admittedAt(10 * second)
		calls[2].droppedAt(10*second, 2*second, 11*second)
	})
}

// If a dropped call waited for tokens, the next call of a similar size with enough time takes its turn.
// Otherwise small calls would take the tokens that have become free for it.
func TestSimilarCallTakesTheTurn(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 100, TokensPerMinute: 6000}, func(b *testLimiter) {
		b.use(6000)
		large := limiter.Call{Prompt: 3000, Duration: 10 * second}
		first := b.goCall(16*second, large) // until 9 s, when there are 900 tokens
		small := b.goAcquire(context.Background(), 1999)
		late := b.goCall(18*second, large)
		promoted := b.goCall(time.Minute, limiter.Call{Prompt: 2000, Duration: 10 * second})
		b.until(9 * second)
		first.droppedAt(9*second, 7*second, 10*second)
		late.waiting()
		b.until(time.Minute)
		promoted.admittedAt(20 * second)
		late.failedAt(18*second, context.DeadlineExceeded) // before its turn
		small.admittedAt(39990 * ms)
		equal(b, "backfilled", b.Snapshot().Backfilled, 1)
	})
}

// A retry that waits stays first, regardless of promotions.
func TestPromotedCallNeverPassesARetry(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 0.1, TokensPerMinute: 6000}, func(b *testLimiter) {
		run := limiter.WithPlace(context.Background())
		early := limiter.PlaceOf(run)
		p := b.acquire(6000)
		head := b.goDo(func() (*limiter.Permit, error) {
			ctx, cancel := context.WithTimeout(context.Background(), 25*second)
			defer cancel()
			return b.AcquireCall(ctx, limiter.Call{Prompt: 100, Duration: 19 * second, Place: early})
		})
		retry := b.goRetry(context.Background(), p)
		promoted := b.goAcquire(context.Background(), 100)
		b.until(time.Minute)
		head.droppedAt(10*second, 15*second, 19*second)
		retry.admittedAt(10 * second)
		promoted.admittedAt(20 * second)
	})
}

// A head that is short of time is never passed. A call that has too little time itself is dropped instead of
// backfilled.
func TestDeadlinesAndBackfill(t *testing.T) {
	for name, test := range map[string]struct {
		head, small  limiter.Call
		check        func(small *asyncCall)
		headGivesWay bool
	}{
		"time to spare": {limiter.Call{Prompt: 40_000, Duration: 20 * second}, limiter.Call{Prompt: 1000}, func(p *asyncCall) { p.admittedAt(2 * second) }, false},
		"short of time": {limiter.Call{Prompt: 40_000, Duration: 41 * second}, limiter.Call{Prompt: 1000}, (*asyncCall).waiting, true},
		"a candidate without time": {limiter.Call{Prompt: 40_000, Duration: 20 * second}, limiter.Call{Prompt: 1000, Duration: 2 * time.Minute}, func(p *asyncCall) {
			p.droppedAt(2*second, time.Minute, 2*time.Minute)
		}, false},
	} {
		t.Run(name, func(t *testing.T) {
			runVirtual(t, minute60k, func(b *testLimiter) {
				b.use(50_000)
				b.until(second)
				// Takes the chance of a late call.
				b.goCall(second, limiter.Call{Duration: time.Hour, MinDuration: time.Hour}).admittedAt(second)
				large := b.goCall(61*second, test.head)
				b.until(2 * second)
				small := b.goCall(time.Minute, test.small)
				test.check(small)
				b.until(time.Minute)
				if test.headGivesWay {
					large.droppedAt(31*second, 31*second, 41*second)
					small.admittedAt(31 * second)
				} else {
					large.admittedAt(time.Minute)
				}
			}, guarded)
		})
	}
}

// A retry is never dropped, because its call was sent before.
func TestRetryIsNeverDropped(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 0.1, TokensPerMinute: 6000}, func(b *testLimiter) {
		ctx, cancel := context.WithTimeout(context.Background(), 11*second)
		defer cancel()
		p, err := b.AcquireCall(ctx, limiter.Call{Prompt: 1, Duration: 11 * second})
		if err != nil {
			t.Fatal(err)
		}
		retry := b.goRetry(ctx, p)
		b.goAcquire(context.Background(), 1)
		b.until(20 * second)
		retry.admittedAt(10 * second)
	})
}

// The result is fast with ten thousand waiters, and the position follows from the place.
func TestPositionOfAnEarlierPlace(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 6000}, func(b *testLimiter) {
		b.use(1)
		b.goAcquire(context.Background(), 1)
		run := limiter.WithPlace(context.Background())
		early := limiter.PlaceOf(run)
		b.goAcquire(context.Background(), 1)
		call := limiter.Call{Prompt: 1, Place: early, Duration: second, MinDuration: second}
		wait := b.goCall(second, call).droppedAt(0, second, second)
		equal(b, "position", wait.Position, 2)
		equal(b, "error", wait.Error(), "limiter: the expected wait for 1 request and 1 tokens is 1s, at position 2 of the queue: the deadline is in 1s, but the call takes at least 1s")
		b.until(time.Minute)
	})
}

// Durations of centuries do not overflow.
func TestLongDurations(t *testing.T) {
	const long = 1<<63 - 1
	runVirtual(t, limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 6000}, func(b *testLimiter) {
		b.use(1)
		call := limiter.Call{Prompt: 1, Duration: long, MinDuration: 1}
		far := b.goCall(long, call)
		near := b.goCall(time.Hour, limiter.Call{Prompt: 1, Duration: 1, MinDuration: long})
		b.until(10 * second)
		for _, p := range []*asyncCall{far, near} {
			if p.result.Load() == nil {
				t.Errorf("call still waits")
			}
		}
	})
}
