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

// bench is a test with the gates of one client in virtual time.
type bench struct {
	*testing.T
	*outage.Gates
	limiter limiter.Backend
	begin   time.Time
}

// runTest runs a test in virtual time. The host has already responded once.
func runTest(t *testing.T, test func(b *bench)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l, err := limiter.InProcess()("", limiter.Limit{RequestsPerSecond: 1000, TokensPerMinute: 1000})
		if err != nil {
			t.Fatal(err)
		}
		b := &bench{t, outage.New("https://host", maxOutage), l, time.Now()}
		b.send(b.call("m"), outage.Alive)
		test(b)
	})
}

// now returns the time since the beginning of the test.
func (b *bench) now() time.Duration { return time.Since(b.begin) }

// call creates a call of a model.
func (b *bench) call(model string) *outage.Call {
	return b.Call("https://host", model, limiter.PlaceOf(b.Context()), b.limiter)
}

// send makes an attempt of a call that is not held, and reports its outcome.
func (b *bench) send(c *outage.Call, outcome outage.Outcome) outage.Change {
	b.Helper()
	b.enters(c)
	return c.Report(outcome, errDown, 0)
}

// enters starts an attempt. The call must not be held.
func (b *bench) enters(c *outage.Call) {
	b.Helper()
	if !c.Enter() {
		b.Fatalf("at %v, the call is held", b.now())
	}
}

// held checks whether a new call of a model is held.
func (b *bench) held(model string, want bool) {
	b.Helper()
	if got := b.call(model).IsHeld(); got != want {
		b.Errorf("at %v, a call of %q is held: %v, want %v", b.now(), model, got, want)
	}
}

// waiting is a call that waits in a goroutine.
type waiting struct {
	*outage.Call
	over atomic.Bool   // whether the wait has ended
	err  error         // the result of the wait
	at   time.Duration // the end of the wait
}

// wait starts a goroutine in which a call waits.
func (b *bench) wait(ctx context.Context, c *outage.Call) *waiting {
	w := &waiting{Call: c}
	go func() {
		w.err = c.Wait(ctx)
		w.at = b.now()
		w.over.Store(true)
	}()
	synctest.Wait()
	return w
}

// chosen waits until the wait of one of the calls has ended, and returns that call.
func (b *bench) chosen(calls ...*waiting) *waiting {
	b.Helper()
	for range 100 {
		for _, w := range calls {
			if w.over.Load() {
				return w
			}
		}
		time.Sleep(100 * time.Millisecond)
		synctest.Wait()
	}
	b.Fatal("all calls still wait after 10 s")
	return nil
}

// The test reports outcomes and checks whether a model or the host is down.
func TestOutcomesThatStartAnOutage(t *testing.T) {
	for name, test := range map[string]struct {
		do          func(b *bench)
		model, host bool // whether calls of the model m are held, and calls of the model n
	}{
		"no connection": {func(b *bench) { b.send(b.call("m"), outage.Unreachable) }, true, true},
		"one failure":   {func(b *bench) { b.send(b.call("m"), outage.Failing) }, false, false},
		"one call that fails repeatedly": {func(b *bench) {
			c := b.call("m")
			for range 5 {
				b.send(c, outage.Failing)
			}
		}, false, false},
		"two calls of one model": {func(b *bench) { b.send(b.call("m"), outage.Failing); b.send(b.call("m"), outage.Failing) }, true, false},
		"calls of two models":    {func(b *bench) { b.send(b.call("m"), outage.Failing); b.send(b.call("n"), outage.Failing) }, true, true},
		"a model that is down and another": {func(b *bench) {
			b.send(b.call("m"), outage.Failing)
			b.send(b.call("m"), outage.Failing)
			b.send(b.call("n"), outage.Failing)
		}, true, true},
		"a success in between": {func(b *bench) {
			b.send(b.call("m"), outage.Failing)
			b.send(b.call("m"), outage.Alive)
			b.send(b.call("m"), outage.Failing)
		}, false, false},
		"a success of another model in between": {func(b *bench) {
			b.send(b.call("m"), outage.Failing)
			b.send(b.call("n"), outage.Alive)
			b.send(b.call("m"), outage.Failing)
		}, true, false},
		"a success of another model between two models": {func(b *bench) {
			b.send(b.call("m"), outage.Failing)
			b.send(b.call("l"), outage.Alive)
			b.send(b.call("n"), outage.Failing)
		}, false, false},
		"a success in between that was sent before": {func(b *bench) {
			early := b.call("m")
			b.enters(early)
			b.send(b.call("m"), outage.Failing)
			early.Report(outage.Alive, nil, 0)
			b.send(b.call("m"), outage.Failing)
		}, true, false},
		"failures of attempts that were sent before a success": {func(b *bench) {
			first, second := b.call("m"), b.call("m")
			b.enters(first)
			b.enters(second)
			b.send(b.call("m"), outage.Alive)
			first.Report(outage.Failing, errDown, 0)
			second.Report(outage.Failing, errDown, 0)
		}, false, false},
		"no connection, for an attempt that was sent before a success": {func(b *bench) {
			early := b.call("m")
			b.enters(early)
			b.send(b.call("m"), outage.Alive)
			if change := early.Report(outage.Unreachable, errDown, 0); !change.Held || len(change.Began) > 0 {
				b.Errorf("Report returns %+v, want only the call to be held", change)
			}
		}, false, false},
		"overload": {func(b *bench) { b.send(b.call("m"), outage.Overloaded) }, true, false},
		"unclear":  {func(b *bench) { b.send(b.call("m"), outage.Unclear); b.send(b.call("m"), outage.Unclear) }, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			runTest(t, func(b *bench) {
				test.do(b)
				b.held("m", test.model)
				b.held("n", test.host)
				if got := len(b.Current()) > 0; got != (test.model || test.host) {
					t.Errorf("the current outages are %v", b.Current())
				}
			})
		})
	}
}

// A host that has never responded has no outage. With a negative maximum, calls are never held.
func TestCallsThatAreNeverHeld(t *testing.T) {
	for name, gates := range map[string]*outage.Gates{"never responded": outage.New("https://host", maxOutage), "no hold": outage.New("https://host", -1)} {
		for _, first := range []outage.Outcome{outage.Alive, outage.Failing} {
			if name == "never responded" && first == outage.Alive {
				continue
			}
			for _, outcome := range []outage.Outcome{first, outage.Unreachable, outage.Failing, outage.Failing} {
				c := gates.Call("https://host", "m", limiter.PlaceOf(t.Context()), nil)
				c.Enter()
				if change := c.Report(outcome, errDown, 0); c.IsHeld() || change.Held || len(change.Began) > 0 {
					t.Errorf("%s: Report of outcome %v returns %+v, want no held call", name, outcome, change)
				}
			}
		}
	}
}

// The oldest call is the probe. At most one probe runs at a time, and the next follows within 5 s. If the
// call leaves, the next call becomes the probe. The first success ends the outage.
func TestProbes(t *testing.T) {
	runTest(t, func(b *bench) {
		young, old := b.call("m"), b.call("n")
		oldest := b.call("m")
		young, oldest = oldest, young
		change := b.send(b.call("x"), outage.Unreachable)
		if len(change.Began) != 1 || change.Began[0].Host != "https://host" || change.Began[0].Model != "" || !change.Held {
			t.Errorf("Report returns %+v, want an outage of the host", change)
		}
		ctx, cancel := context.WithCancel(b.Context())
		first, second, third := b.wait(ctx, oldest), b.wait(b.Context(), old), b.wait(b.Context(), young)
		for {
			before := b.now()
			if b.chosen(first, second, third) != first || second.over.Load() || third.over.Load() {
				t.Fatal("the probe is not the oldest call")
			}
			if gap := first.at - before; gap > outage.MaxProbeInterval {
				t.Errorf("the probe is sent %v after the previous one, want at most %v", gap, outage.MaxProbeInterval)
			}
			if d := oldest.ProbeTime(); d <= 0 || d > outage.MaxProbeInterval {
				t.Errorf("the probe has %v to connect, want at most %v", d, outage.MaxProbeInterval)
			}
			if b.now() > 40*time.Second {
				break
			}
			b.send(oldest, outage.Unreachable)
			first = b.wait(ctx, oldest)
		}
		oldest.Leave() // as if its context had ended while it waited for its limiter
		synctest.Wait()
		if !second.over.Load() || third.over.Load() {
			t.Fatal("the next call does not become the probe")
		}
		b.enters(old)
		again := b.wait(ctx, b.call("m"))
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if third.over.Load() || again.over.Load() {
			t.Error("a second probe is sent while one runs")
		}
		change = old.Report(outage.Alive, nil, 0)
		synctest.Wait()
		if !third.over.Load() || third.err != nil || !again.over.Load() || len(change.Ended) != 1 || len(b.Current()) > 0 {
			t.Errorf("calls still wait after a success: %+v", change)
		}
		if paused := b.limiter.Snapshot().PausedUntil; !paused.After(time.Now()) || paused.After(time.Now().Add(50*time.Millisecond)) {
			t.Errorf("the limiter is paused until %v", paused)
		}
		cancel()
	})
}

// If the probe waits for its limiter, another call becomes the probe within one interval.
func TestProbeThatWaitsForItsLimiter(t *testing.T) {
	runTest(t, func(b *bench) {
		one, two := b.call("m"), b.call("m")
		b.send(b.call("m"), outage.Unreachable)
		slow, fast := b.wait(b.Context(), one), b.wait(b.Context(), two)
		b.chosen(slow)
		since := b.now()
		b.chosen(fast)
		if waited := fast.at - since; waited > outage.MaxProbeInterval {
			t.Errorf("the next call becomes the probe after %v, want at most %v", waited, outage.MaxProbeInterval)
		}
		b.enters(two)
		if one.Enter() {
			t.Error("two probes run at the same time")
		}
		if one.IsHeld() != true {
			t.Error("the slow call is not held again")
		}
		two.Report(outage.Alive, nil, 0)
		b.enters(one)
	})
}

// If Retry-After is longer than the backoff, the next probe waits for Retry-After.
func TestProbeWaitsForRetryAfter(t *testing.T) {
	runTest(t, func(b *bench) {
		c := b.call("m")
		for range 2 {
			b.enters(b.call("m"))
		}
		b.send(b.call("m"), outage.Failing)
		last := b.call("m")
		b.enters(last)
		last.Report(outage.Failing, errDown, 20*time.Second)
		w := b.wait(b.Context(), c)
		time.Sleep(20*time.Second - time.Nanosecond)
		synctest.Wait()
		if w.over.Load() {
			t.Errorf("a probe is sent at %v, want 20 s after the failure", w.at)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if !w.over.Load() {
			t.Error("after 20 s, a probe is not sent")
		}
	})
}

// After the maximum, all waits end with an error. Until the server is back, one call at a time is the probe, and
// all others fail at once.
func TestExpiry(t *testing.T) {
	runTest(t, func(b *bench) {
		begin := b.now()
		b.send(b.call("m"), outage.Unreachable)
		stuck := b.call("m")
		calls := []*waiting{b.wait(b.Context(), stuck), b.wait(b.Context(), b.call("m")), b.wait(b.Context(), b.call("n"))}
		b.chosen(calls...)    // the probe is never sent
		queued := b.call("m") // the call waits for its limiter
		time.Sleep(maxOutage - b.now() + begin)
		synctest.Wait()
		for _, w := range calls[1:] {
			var tooLong *outage.Error
			if w.over.Load() && w.err == nil {
				continue // the call became the probe later, and was never sent
			}
			if !w.over.Load() || !errors.As(w.err, &tooLong) || tooLong.Cause != errDown || w.at != begin+maxOutage {
				t.Errorf("the wait ended at %v with %v, want an Error after %v", w.at, w.err, maxOutage)
			}
		}
		if queued.Enter() {
			t.Error("a call from before the maximum is sent")
		}
		if err := queued.Wait(b.Context()); !errors.As(err, new(*outage.Error)) {
			t.Errorf("error of a call from before the maximum is %v, want an Error at once", err)
		}
		probe, other := b.call("m"), b.call("m")
		if err := probe.Wait(b.Context()); err != nil {
			t.Fatal(err)
		}
		if err := other.Wait(b.Context()); !errors.As(err, new(*outage.Error)) {
			t.Errorf("error is %v, want an Error at once", err)
		}
		b.send(probe, outage.Unreachable)
		if err := probe.Wait(b.Context()); !errors.As(err, new(*outage.Error)) {
			t.Errorf("error of the probe is %v, want an Error at once", err)
		}
		if err := other.Wait(b.Context()); err != nil {
			t.Fatal(err)
		}
		b.send(other, outage.Alive)
		b.held("m", false)
	})
}

// A success ends only outages whose failed attempts were sent before the successful attempt.
func TestLateSuccess(t *testing.T) {
	runTest(t, func(b *bench) {
		before, after, later := b.call("m"), b.call("m"), b.call("m")
		b.enters(before)
		first, second := b.call("m"), b.call("m")
		b.enters(first)
		b.enters(after)
		b.enters(second)
		first.Report(outage.Failing, errDown, 0)
		second.Report(outage.Failing, errDown, 0)
		b.held("m", true)
		before.Report(outage.Alive, nil, 0)
		b.held("m", true)
		w := b.wait(b.Context(), later)
		after.Report(outage.Alive, nil, 0)
		b.held("m", false)
		synctest.Wait()
		if !w.over.Load() {
			t.Error("a call still waits, want it to continue")
		}
	})
}

// An overloaded model proves that the host is up, so it ends the host's outage.
func TestOverloadEndsTheHostsOutage(t *testing.T) {
	runTest(t, func(b *bench) {
		b.send(b.call("n"), outage.Unreachable)
		b.held("m", true)
		c := b.call("m")
		b.chosen(b.wait(b.Context(), c))
		change := b.send(c, outage.Overloaded)
		if len(change.Ended) != 1 || len(change.Began) != 1 || change.Began[0].Model != "m" || !change.Held {
			t.Errorf("Report returns %+v, want the end of one outage and the beginning of another", change)
		}
		b.held("m", true)
		b.held("n", false)
	})
}

// An outage also holds calls that sleep between two attempts. A call that fails repeatedly without an outage
// waits between its attempts.
func TestSleep(t *testing.T) {
	runTest(t, func(b *bench) {
		if took := b.elapsed(func() { _ = b.call("m").Sleep(b.Context(), time.Second) }); took != time.Second {
			t.Errorf("a sleep of 1 s takes %v", took)
		}
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		defer cancel()
		if err := b.call("m").Sleep(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error is %v, want context.DeadlineExceeded", err)
		}
		var sleeping sync.WaitGroup
		sleeping.Go(func() {
			if took := b.elapsed(func() { _ = b.call("m").Sleep(b.Context(), time.Hour) }); took != time.Minute {
				t.Errorf("the sleep ends after %v, want 1 minute, when the outage begins", took)
			}
		})
		time.Sleep(time.Minute)
		failing := b.call("m")
		b.send(failing, outage.Unreachable)
		sleeping.Wait()
		for range 5 { // other calls succeed
			b.chosen(b.wait(b.Context(), b.call("m")))
			synctest.Wait()
			c := b.call("m")
			w := b.wait(b.Context(), c)
			b.chosen(w)
			b.send(c, outage.Alive)
			if err := failing.Wait(b.Context()); err != nil {
				t.Fatal(err)
			}
			b.send(failing, outage.Unreachable)
		}
		c := b.call("m")
		b.chosen(b.wait(b.Context(), c))
		b.send(c, outage.Alive)
		if took := b.elapsed(func() { _ = failing.Wait(b.Context()) }); took < 100*time.Millisecond || took > outage.MaxProbeInterval {
			t.Errorf("the failing call waits for %v, want 100 ms to %v", took, outage.MaxProbeInterval)
		}
		time.Sleep(maxOutage)
		if err := failing.Wait(b.Context()); !errors.As(err, new(*outage.Error)) {
			t.Errorf("error is %v, want an Error after the maximum", err)
		}
	})
}

// elapsed returns the duration of f.
func (b *bench) elapsed(f func()) time.Duration {
	begin := time.Now()
	f()
	return time.Since(begin)
}

// The memory for hosts and models is limited, but does not drop a current outage.
func TestManyHostsAndModels(t *testing.T) {
	runTest(t, func(b *bench) {
		b.send(b.call("m"), outage.Unreachable)
		for i := range 5000 {
			b.Call(fmt.Sprint("https://other", i), "m", limiter.PlaceOf(b.Context()), b.limiter)
			b.Call("https://host", fmt.Sprint("model", i), limiter.PlaceOf(b.Context()), b.limiter)
		}
		b.held("m", true)
	})
}

// Hundreds of calls of three models, some with deadlines, use a server that goes up and down. A model must never
// have more than one probe at a time, and all calls must end.
func TestManyCalls(t *testing.T) {
	runTest(t, func(b *bench) {
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
				ctx := b.Context()
				if i%5 == 0 {
					var cancel context.CancelFunc
					ctx, cancel = context.WithTimeout(ctx, time.Duration(rand.Int64N(int64(5*time.Second))))
					defer cancel()
				}
				model := []string{"a", "b", ""}[i%3]
				c := b.call(model)
				defer c.Leave()
				for {
					if c.Wait(ctx) != nil {
						return
					}
					time.Sleep(time.Duration(rand.Int64N(int64(100 * time.Millisecond)))) // for its limiter
					if ctx.Err() != nil {
						return
					}
					if !c.Enter() {
						continue
					}
					probe := c.ProbeTime() > 0
					if probe && probes[model].Add(1) > 1 {
						t.Error("two probes run at the same time")
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
		if b.now() > 5*time.Minute {
			t.Errorf("the last call ends after %v, want at most 5 minutes", b.now())
		}
	})
}
