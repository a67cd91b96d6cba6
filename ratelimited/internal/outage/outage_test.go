package outage_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited/internal/outage"
)

var errDown = errors.New("connection refused")

const maxOutage = time.Minute

// A fixture is the tracker of one client in virtual time.
type fixture struct {
	*testing.T
	*outage.Tracker
	limiter limiter.Backend
	begin   time.Time
}

// withTracker runs a test in virtual time, with a tracker of a host that was alive.
func withTracker(t *testing.T, test func(f *fixture)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l, err := limiter.InProcess()("", limiter.Limit{RequestsPerSecond: 1000, TokensPerMinute: 1000})
		if err != nil {
			t.Fatal(err)
		}
		f := &fixture{t, outage.New("https://host", maxOutage), l, time.Now()}
		f.send(f.call("m"), outage.Alive)
		test(f)
	})
}

func (f *fixture) now() time.Duration { return time.Since(f.begin) }

func (f *fixture) call(model string) *outage.Call {
	return f.Call("https://host", model, limiter.PlaceOf(f.Context()), f.limiter)
}

// send makes an attempt of a call that is not held, and reports its outcome.
func (f *fixture) send(c *outage.Call, outcome outage.Outcome) outage.Change {
	f.Helper()
	f.enters(c)
	return c.Report(outcome, errDown, 0)
}

func (f *fixture) enters(c *outage.Call) {
	f.Helper()
	if !c.Enter() {
		f.Fatalf("at %v the call may not be sent", f.now())
	}
}

func (f *fixture) held(model string, want bool) {
	f.Helper()
	if got := f.call(model).IsHeld(); got != want {
		f.Errorf("at %v: is a call to %q held? %v, want %v", f.now(), model, got, want)
	}
}

// A waiting is a call that waits in a goroutine.
type waiting struct {
	*outage.Call
	over atomic.Bool
	err  error
	at   time.Duration
}

func (f *fixture) wait(ctx context.Context, c *outage.Call) *waiting {
	w := &waiting{Call: c}
	go func() {
		w.err = c.Wait(ctx)
		w.at = f.now()
		w.over.Store(true)
	}()
	synctest.Wait()
	return w
}

// chosen waits until one of the calls is released, and returns it.
func (f *fixture) chosen(calls ...*waiting) *waiting {
	f.Helper()
	for range 100 {
		for _, w := range calls {
			if w.over.Load() {
				return w
			}
		}
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
	}
	f.Fatal("no call is chosen within 10 s")
	return nil
}

func TestOutcomesThatBeginAHold(t *testing.T) {
	for name, test := range map[string]struct {
		do          func(f *fixture)
		model, host bool // whether calls to the models m and n are held
	}{
		"no connection": {func(f *fixture) { f.send(f.call("m"), outage.Unreachable) }, true, true},
		"one failure":   {func(f *fixture) { f.send(f.call("m"), outage.Failing) }, false, false},
		"one call that fails repeatedly": {func(f *fixture) {
			c := f.call("m")
			for range 5 {
				f.send(c, outage.Failing)
			}
		}, false, false},
		"two calls of one model": {func(f *fixture) { f.send(f.call("m"), outage.Failing); f.send(f.call("m"), outage.Failing) }, true, false},
		"calls of two models":    {func(f *fixture) { f.send(f.call("m"), outage.Failing); f.send(f.call("n"), outage.Failing) }, true, true},
		"a model that is down and another": {func(f *fixture) {
			f.send(f.call("m"), outage.Failing)
			f.send(f.call("m"), outage.Failing)
			f.send(f.call("n"), outage.Failing)
		}, true, true},
		"a success in between": {func(f *fixture) {
			f.send(f.call("m"), outage.Failing)
			f.send(f.call("m"), outage.Alive)
			f.send(f.call("m"), outage.Failing)
		}, false, false},
		"a success of another model in between": {func(f *fixture) {
			f.send(f.call("m"), outage.Failing)
			f.send(f.call("n"), outage.Alive)
			f.send(f.call("m"), outage.Failing)
		}, true, false},
		"a success of another model between two models": {func(f *fixture) {
			f.send(f.call("m"), outage.Failing)
			f.send(f.call("l"), outage.Alive)
			f.send(f.call("n"), outage.Failing)
		}, false, false},
		"a success in between that was sent earlier": {func(f *fixture) {
			early := f.call("m")
			f.enters(early)
			f.send(f.call("m"), outage.Failing)
			early.Report(outage.Alive, nil, 0)
			f.send(f.call("m"), outage.Failing)
		}, true, false},
		"failures of attempts that were sent before a success": {func(f *fixture) {
			first, second := f.call("m"), f.call("m")
			f.enters(first)
			f.enters(second)
			f.send(f.call("m"), outage.Alive)
			first.Report(outage.Failing, errDown, 0)
			second.Report(outage.Failing, errDown, 0)
		}, false, false},
		"no connection, for an attempt that was sent before a success": {func(f *fixture) {
			early := f.call("m")
			f.enters(early)
			f.send(f.call("m"), outage.Alive)
			if change := early.Report(outage.Unreachable, errDown, 0); !change.Held || len(change.Began) > 0 {
				f.Errorf("change %+v, want only the call to be held", change)
			}
		}, false, false},
		"overload": {func(f *fixture) { f.send(f.call("m"), outage.Overloaded) }, true, false},
		"unclear":  {func(f *fixture) { f.send(f.call("m"), outage.Unclear); f.send(f.call("m"), outage.Unclear) }, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			withTracker(t, func(f *fixture) {
				test.do(f)
				f.held("m", test.model)
				f.held("n", test.host)
				if got := len(f.Current()) > 0; got != (test.model || test.host) {
					t.Errorf("outages %v", f.Current())
				}
			})
		})
	}
}

// A host that was never alive is not held, and with a negative maximum, calls are not held at all.
func TestOutcomesThatDoNotBeginAHold(t *testing.T) {
	for name, tracker := range map[string]*outage.Tracker{"never alive": outage.New("https://host", maxOutage), "no hold": outage.New("https://host", -1)} {
		for _, first := range []outage.Outcome{outage.Alive, outage.Failing} {
			if name == "never alive" && first == outage.Alive {
				continue
			}
			for _, outcome := range []outage.Outcome{first, outage.Unreachable, outage.Failing, outage.Failing} {
				c := tracker.Call("https://host", "m", limiter.PlaceOf(t.Context()), nil)
				c.Enter()
				if change := c.Report(outcome, errDown, 0); c.IsHeld() || change.Held || len(change.Began) > 0 {
					t.Errorf("%s: outcome %v: %+v", name, outcome, change)
				}
			}
		}
	}
}

// The oldest call is the probe. Probes are sent one at a time, at most 5 s apart. When a probe
// leaves, the next call becomes the probe. The first Alive outcome ends the hold.
func TestProbes(t *testing.T) {
	withTracker(t, func(f *fixture) {
		young, old := f.call("m"), f.call("n")
		oldest := f.call("m")
		young, oldest = oldest, young
		change := f.send(f.call("x"), outage.Unreachable)
		if len(change.Began) != 1 || change.Began[0].Host != "https://host" || change.Began[0].Model != "" || !change.Held {
			t.Errorf("change %+v", change)
		}
		ctx, cancel := context.WithCancel(f.Context())
		first, second, third := f.wait(ctx, oldest), f.wait(f.Context(), old), f.wait(f.Context(), young)
		for {
			before := f.now()
			if f.chosen(first, second, third) != first || second.over.Load() || third.over.Load() {
				t.Fatal("another call than the oldest is the probe")
			}
			if gap := first.at - before; gap > outage.MaxProbeInterval {
				t.Errorf("the probe is sent %v after the previous one, want at most %v", gap, outage.MaxProbeInterval)
			}
			if d := oldest.ProbeTime(); d <= 0 || d > outage.MaxProbeInterval {
				t.Errorf("the probe has %v to connect, want at most %v", d, outage.MaxProbeInterval)
			}
			if f.now() > 40*time.Second {
				break
			}
			f.send(oldest, outage.Unreachable)
			first = f.wait(ctx, oldest)
		}
		oldest.Leave() // its context ended while it waited for its limiter
		synctest.Wait()
		if !second.over.Load() || third.over.Load() {
			t.Fatal("the second call is not the next probe")
		}
		f.enters(old)
		again := f.wait(ctx, f.call("m"))
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if third.over.Load() || again.over.Load() {
			t.Error("another probe is sent while one is in flight")
		}
		change = old.Report(outage.Alive, nil, 0)
		synctest.Wait()
		if !third.over.Load() || third.err != nil || !again.over.Load() || len(change.Ended) != 1 || len(f.Current()) > 0 {
			t.Errorf("calls are held after an Alive outcome: change %+v", change)
		}
		if paused := f.limiter.Snapshot().PausedUntil; !paused.After(time.Now()) || paused.After(time.Now().Add(50*time.Millisecond)) {
			t.Errorf("the limiter is paused until %v, want less than 50 ms from now", paused)
		}
		cancel()
	})
}

// If a probe waits for its limiter, another call becomes the probe within an interval.
func TestProbeThatWaitsForItsLimiter(t *testing.T) {
	withTracker(t, func(f *fixture) {
		one, two := f.call("m"), f.call("m")
		f.send(f.call("m"), outage.Unreachable)
		slow, fast := f.wait(f.Context(), one), f.wait(f.Context(), two)
		f.chosen(slow)
		since := f.now()
		f.chosen(fast)
		if waited := fast.at - since; waited > outage.MaxProbeInterval {
			t.Errorf("the next call is chosen after %v, want at most %v", waited, outage.MaxProbeInterval)
		}
		f.enters(two)
		if one.Enter() {
			t.Error("two probes are sent at the same time")
		}
		if one.IsHeld() != true {
			t.Error("the slow call is not held again")
		}
		two.Report(outage.Alive, nil, 0)
		f.enters(one)
	})
}

// A probe waits for longer than the backoff if the server requests it.
func TestProbeObeysRetryAfter(t *testing.T) {
	withTracker(t, func(f *fixture) {
		c := f.call("m")
		for range 2 {
			f.enters(f.call("m"))
		}
		f.send(f.call("m"), outage.Failing)
		last := f.call("m")
		f.enters(last)
		last.Report(outage.Failing, errDown, 20*time.Second)
		w := f.wait(f.Context(), c)
		time.Sleep(20*time.Second - time.Nanosecond)
		synctest.Wait()
		if w.over.Load() {
			t.Errorf("a probe is sent at %v, want 20 s after the failure", w.at)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if !w.over.Load() {
			t.Error("a probe is not sent after 20 s")
		}
	})
}

// After the maximum, all waits end. Until the server is back, one new call at a time is sent as a
// probe, and all others fail at once.
func TestExpiry(t *testing.T) {
	withTracker(t, func(f *fixture) {
		begin := f.now()
		f.send(f.call("m"), outage.Unreachable)
		stuck := f.call("m")
		calls := []*waiting{f.wait(f.Context(), stuck), f.wait(f.Context(), f.call("m")), f.wait(f.Context(), f.call("n"))}
		f.chosen(calls...)    // but not sent
		queued := f.call("m") // waits for its limiter
		time.Sleep(maxOutage - f.now() + begin)
		synctest.Wait()
		for _, w := range calls[1:] {
			var tooLong *outage.Error
			if w.over.Load() && w.err == nil {
				continue // chosen after the first, but not sent
			}
			if !w.over.Load() || !errors.As(w.err, &tooLong) || tooLong.Cause != errDown || w.at != begin+maxOutage {
				t.Errorf("at %v: error %v, want an Error after %v", w.at, w.err, maxOutage)
			}
		}
		if queued.Enter() {
			t.Error("an older call is sent")
		}
		if err := queued.Wait(f.Context()); !errors.As(err, new(*outage.Error)) {
			t.Errorf("error %v of an older call, want an Error at once", err)
		}
		probe, other := f.call("m"), f.call("m")
		if err := probe.Wait(f.Context()); err != nil {
			t.Fatal(err)
		}
		if err := other.Wait(f.Context()); !errors.As(err, new(*outage.Error)) {
			t.Errorf("error %v, want an Error at once", err)
		}
		f.send(probe, outage.Unreachable)
		if err := probe.Wait(f.Context()); !errors.As(err, new(*outage.Error)) {
			t.Errorf("error %v of the failed probe, want an Error at once", err)
		}
		if err := other.Wait(f.Context()); err != nil {
			t.Fatal(err)
		}
		f.send(other, outage.Alive)
		f.held("m", false)
	})
}

// An Alive outcome ends only holds that began with attempts that were sent earlier.
func TestLateAliveOutcome(t *testing.T) {
	withTracker(t, func(f *fixture) {
		before, after, later := f.call("m"), f.call("m"), f.call("m")
		f.enters(before)
		first, second := f.call("m"), f.call("m")
		f.enters(first)
		f.enters(after)
		f.enters(second)
		first.Report(outage.Failing, errDown, 0)
		second.Report(outage.Failing, errDown, 0)
		f.held("m", true)
		before.Report(outage.Alive, nil, 0)
		f.held("m", true)
		w := f.wait(f.Context(), later)
		after.Report(outage.Alive, nil, 0)
		f.held("m", false)
		synctest.Wait()
		if !w.over.Load() {
			t.Error("a call still waits")
		}
	})
}

// An overloaded model shows that its host is alive.
func TestOverloadEndsTheHoldOfTheHost(t *testing.T) {
	withTracker(t, func(f *fixture) {
		f.send(f.call("n"), outage.Unreachable)
		f.held("m", true)
		c := f.call("m")
		f.chosen(f.wait(f.Context(), c))
		change := f.send(c, outage.Overloaded)
		if len(change.Ended) != 1 || len(change.Began) != 1 || change.Began[0].Model != "m" || !change.Held {
			t.Errorf("change %+v", change)
		}
		f.held("m", true)
		f.held("n", false)
	})
}

// A call that waits between two attempts wakes up when a hold begins. A call that fails repeatedly,
// although other calls succeed, waits between its attempts.
func TestSleep(t *testing.T) {
	withTracker(t, func(f *fixture) {
		if took := elapsed(func() { _ = f.call("m").Sleep(f.Context(), time.Second) }); took != time.Second {
			t.Errorf("Sleep takes %v, want 1 s", took)
		}
		ctx, cancel := context.WithTimeout(f.Context(), time.Second)
		defer cancel()
		if err := f.call("m").Sleep(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want that of the context", err)
		}
		var sleeping sync.WaitGroup
		sleeping.Go(func() {
			if took := elapsed(func() { _ = f.call("m").Sleep(f.Context(), time.Hour) }); took != time.Minute {
				t.Errorf("Sleep ends after %v, want 1 minute, when the hold begins", took)
			}
		})
		time.Sleep(time.Minute)
		unlucky := f.call("m")
		f.send(unlucky, outage.Unreachable)
		sleeping.Wait()
		for range 5 { // other calls succeed
			f.chosen(f.wait(f.Context(), f.call("m")))
			synctest.Wait()
			c := f.call("m")
			w := f.wait(f.Context(), c)
			f.chosen(w)
			f.send(c, outage.Alive)
			if err := unlucky.Wait(f.Context()); err != nil {
				t.Fatal(err)
			}
			f.send(unlucky, outage.Unreachable)
		}
		c := f.call("m")
		f.chosen(f.wait(f.Context(), c))
		f.send(c, outage.Alive)
		if took := elapsed(func() { _ = unlucky.Wait(f.Context()) }); took < 100*time.Millisecond || took > outage.MaxProbeInterval {
			t.Errorf("the failing call waits for %v, want 100 ms to 5 s", took)
		}
		time.Sleep(maxOutage)
		if err := unlucky.Wait(f.Context()); !errors.As(err, new(*outage.Error)) {
			t.Errorf("error %v, want an Error after the maximum", err)
		}
	})
}

func elapsed(do func()) time.Duration {
	begin := time.Now()
	do()
	return time.Since(begin)
}

// The number of remembered hosts and models is bounded, and active holds are not evicted.
func TestManyHostsAndModels(t *testing.T) {
	withTracker(t, func(f *fixture) {
		f.send(f.call("m"), outage.Unreachable)
		for i := range 5000 {
			f.Call(fmt.Sprint("https://other", i), "m", limiter.PlaceOf(f.Context()), f.limiter)
			f.Call("https://host", fmt.Sprint("model", i), limiter.PlaceOf(f.Context()), f.limiter)
		}
		f.held("m", true)
	})
}

// Hundreds of calls to several models, some of which give up, with a server that is repeatedly down.
// A model never has more than one probe at a time, and all calls end.
func TestManyCalls(t *testing.T) {
	withTracker(t, func(f *fixture) {
		var down atomic.Bool
		probes := map[string]*atomic.Int64{"a": new(atomic.Int64), "b": new(atomic.Int64), "": new(atomic.Int64)}
		var calls sync.WaitGroup
		calls.Go(func() {
			for range 10 {
				time.Sleep(time.Duration(rand.Int64N(int64(5 * time.Second))))
				down.Store(!down.Load())
			}
			down.Store(false)
		})
		for i := range 300 {
			calls.Go(func() {
				time.Sleep(time.Duration(rand.Int64N(int64(20 * time.Second))))
				ctx := f.Context()
				if i%5 == 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, time.Duration(rand.Int64N(int64(5*time.Second))))
					defer cancel()
				}
				model := []string{"a", "b", ""}[i%3]
				c := f.call(model)
				defer c.Leave()
				for {
					if c.Wait(ctx) != nil {
						return
					}
					time.Sleep(time.Duration(rand.Int64N(int64(100 * time.Millisecond)))) // wait for its limiter
					if ctx.Err() != nil {
						return
					}
					if !c.Enter() {
						continue
					}
					probe := c.ProbeTime() > 0
					if probe && probes[model].Add(1) > 1 {
						t.Error("two probes are in flight at the same time")
					}
					time.Sleep(time.Duration(rand.Int64N(int64(200 * time.Millisecond))))
					if probe {
						probes[model].Add(-1)
					}
					if !down.Load() {
						c.Report(outage.Alive, nil, 0)
						return
					}
					c.Report([]outage.Outcome{outage.Unreachable, outage.Failing, outage.Unclear}[rand.IntN(3)], errDown, 0)
				}
			})
		}
		calls.Wait()
		if f.now() > 5*time.Minute {
			t.Errorf("the last call ends after %v, want at most 5 minutes", f.now())
		}
	})
}
