package limiter_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// goCall makes a call that has the given time from now on, in another goroutine.
func (b *testLimiter) goCall(timeout time.Duration, call limiter.Call) *asyncCall {
	return b.goDo(func() (*limiter.Permit, error) {
		ctx, cancel := context.WithTimeout(context.Background(), timeout)
		defer cancel()
		return b.AcquireCall(ctx, call)
	})
}

// gaveWayAt checks that the limiter refused the call, and with which figures.
func (p *asyncCall) droppedAt(want, left, duration time.Duration) limiter.WaitError {
	p.b.Helper()
	p.failedAt(want, limiter.ErrWouldWait)
	p.failedAt(want, context.DeadlineExceeded)
	var wait *limiter.WaitError
	if o := p.over.Load(); o == nil || !errors.As(o.err, &wait) {
		p.b.Fatal("there is no WaitError")
	}
	equal(p.b, "time left", wait.Left, left)
	equal(p.b, "time that the call needs", wait.Duration, duration)
	return *wait
}

const second = time.Second

// A call is refused when it arrives if the requests of those ahead leave less than MinDuration,
// to the nanosecond, and not for the tokens of those ahead.
func TestDeadlineThatRequestsCannotMeet(t *testing.T) {
	for name, test := range map[string]struct {
		options []limiter.Option
		pause   time.Duration
		start   time.Duration // of the fifth call at the earliest
	}{
		"buckets alone":  {nil, 0, 4 * second},
		"guarded":        {[]limiter.Option{guarded}, 0, 4200 * ms},
		"a short pause":  {nil, 2 * second, 4 * second},
		"a longer pause": {nil, 30 * second, 30 * second},
	} {
		t.Run(name, func(t *testing.T) {
			runVirtual(t, limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 6000}, func(b *testLimiter) {
				b.use(6000) // so that all others have to wait for tokens, too
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
				equal(b, "waits that ended", s.Abandoned, 1)
				equal(b, "admitted", s.Admitted, 1)
				b.until(time.Hour)
			}, test.options...)
		})
	}
}

// Whose duration or deadline is unknown never gives way.
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
			if o := p.over.Load(); errors.Is(o.err, limiter.ErrWouldWait) {
				t.Errorf("error %v", o.err)
			}
		}
	})
}

// A call whose turn comes too late takes nothing, and the next one starts at once.
func TestDroppedAtTheHead(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 6000}, func(b *testLimiter) {
		b.use(1)
		first := b.goAcquire(context.Background(), 0) // at 1 s
		second2 := b.goCall(8*second, limiter.Call{Prompt: 100, Duration: 7 * second})
		enough := b.goCall(8*second, limiter.Call{Prompt: 100, Duration: 6 * second})
		late := b.goCall(8*second, limiter.Call{Prompt: 100, Duration: 7 * second})
		last := b.goAcquire(context.Background(), 10) // its turn goes to nobody else, since it is not tokens that are missing
		b.goAcquire(context.Background(), 100)
		b.until(20 * second)
		first.admittedAt(second)
		// It is at the head from 1 s on, with no time to spare.
		second2.droppedAt(second+1, 7*second-1, 7*second)
		enough.admittedAt(2 * second)
		// It becomes the head at 2 s.
		wait := late.droppedAt(2*second, 6*second, 7*second)
		equal(b, "waited", wait.WaitDuration, 2*second)
		equal(b, "position", wait.Position, 0)
		equal(b, "error", wait.Error(), "limiter: gave up waiting for 1 request and 100 tokens after 2s: the deadline is in 6s, but the call is expected to take 7s")
		last.admittedAt(3 * second)
		s := b.Snapshot()
		equal(b, "waits that ended", s.Abandoned, 2)
		equal(b, "admitted", s.Admitted, 5)
		equal(b, "tokens held", s.HeldTokens, 210)
	})
}

// At the head of the queue a call may wait for its tokens for one and a half times what it has
// to spare, down to half of its duration, and no less than the least it can take.
func TestWaitAtTheHeadBeforeADrop(t *testing.T) {
	for name, test := range map[string]struct {
		timeout, duration, least time.Duration
		want                     time.Duration
	}{
		"a third of the wait is not counted": {12 * second, 10 * second, 0, 3 * second},
		"down to half of the duration":       {30 * second, 10 * second, 0, 25 * second},
		"down to the least":                  {30 * second, 10 * second, 8 * second, 22 * second},
	} {
		t.Run(name, func(t *testing.T) {
			runVirtual(t, limiter.Limit{RequestsPerSecond: 100, TokensPerMinute: 6000}, func(b *testLimiter) {
				b.use(6000)
				head := b.goCall(test.timeout, limiter.Call{Prompt: 5000, Duration: test.duration, MinDuration: test.least})
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

// A call that nobody waits for keeps its turn, as long as the fastest calls would be in time.
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

// Who waits alone with too little time gives way as soon as another call comes.
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

// One call in ten seconds starts although it has too little time: so a limiter notices when
// calls take less time than they did.
func TestLateCallStartsEveryTenSeconds(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 100, TokensPerMinute: unlimitedRate}, func(b *testLimiter) {
		call := limiter.Call{Prompt: 1, Duration: time.Minute, MinDuration: time.Minute}
		var admitted []time.Duration
		for range 100 {
			b.until(b.now() + 300*ms)
			if o := b.goCall(second, call).over.Load(); o.err == nil {
				admitted = append(admitted, o.at)
			}
		}
		if len(admitted) != 3 || admitted[1]-admitted[0] != 10200*ms || admitted[2]-admitted[1] != 10200*ms {
			t.Errorf("admitted at %v", admitted)
		}
	})
}

// A call that cannot start yet is not a trial.
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

// A call that comes back to its place ahead of others needs time, too.
func TestDroppedInAnEarlierPlace(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 100, TokensPerMinute: 6000}, func(b *testLimiter) {
		b.goCall(second, limiter.Call{Duration: time.Hour, MinDuration: time.Hour}).admittedAt(0) // the trial
		b.use(5000)
		run := limiter.WithPlace(context.Background())
		early := limiter.PlaceOf(run)
		b.goAcquire(context.Background(), 2000)
		b.goCall(second, limiter.Call{Prompt: 1, Place: early, Duration: second + 1}).droppedAt(0, second, second+1)
		b.goCall(second, limiter.Call{Prompt: 1, Place: early, Duration: second}).admittedAt(0)
		b.until(time.Minute)
	})
}

// So does one in a queue, while all others with too little time give way.
func TestLateCallStartsFromTheQueue(t *testing.T) {
	runVirtual(t, limiter.Limit{RequestsPerSecond: 1000, TokensPerMinute: unlimitedRate}, func(b *testLimiter) {
		b.Pause(b.start.Add(10 * second))
		var calls []*asyncCall
		for range 3 {
			calls = append(calls, b.goCall(12*second, limiter.Call{Prompt: 1, Duration: 11 * second, MinDuration: second}))
			b.goAcquire(context.Background(), 0)
		}
		// The first gives way 1.5 s after it came, and the others when they are its heirs at the head.
		b.until(20 * second)
		calls[0].droppedAt(1500*ms, 10500*ms, 11*second)
		calls[1].admittedAt(10 * second)
		calls[2].droppedAt(10*second, 2*second, 11*second)
	})
}

// The turn of a call that gave way while it waited for tokens goes to the next that needs about as
// many and has the time: or else small calls would take what has become free for it.
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
		late.failedAt(18*second, context.DeadlineExceeded) // its turn had not come
		small.admittedAt(39990 * ms)
		equal(b, "overtaken", b.Snapshot().Backfilled, 1)
	})
}

// A retry that waits keeps its place, whoever hands over a turn.
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

// Nobody passes a head that is short of time, and who has too little time for itself does not
// pass either: it gives way.
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
				b.goCall(second, limiter.Call{Duration: time.Hour, MinDuration: time.Hour}).admittedAt(second) // the trial
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

// A retry does not give way: its call was sent before.
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

// Ten thousand that wait do not make the answer slow, and the position is that of the place.
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

// Durations of centuries are durations, too.
func TestLongDurations(t *testing.T) {
	const long = 1<<63 - 1
	runVirtual(t, limiter.Limit{RequestsPerSecond: 1, TokensPerMinute: 6000}, func(b *testLimiter) {
		b.use(1)
		call := limiter.Call{Prompt: 1, Duration: long, MinDuration: 1}
		far := b.goCall(long, call)
		near := b.goCall(time.Hour, limiter.Call{Prompt: 1, Duration: 1, MinDuration: long})
		b.until(10 * second)
		for _, p := range []*asyncCall{far, near} {
			if p.over.Load() == nil {
				t.Errorf("still waiting")
			}
		}
	})
}
