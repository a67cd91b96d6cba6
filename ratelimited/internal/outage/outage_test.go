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

// A bench is the gates of one client in virtual time.
type bench struct {
	*testing.T
	*outage.Tracker
	limiter limiter.Backend
	begin   time.Time
}

// inBubble runs a test with gates to a host that has answered.
func inBubble(t *testing.T, test func(b *bench)) {
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

func (b *bench) now() time.Duration { return time.Since(b.begin) }

func (b *bench) call(model string) *outage.Call {
	return b.Call("https://host", model, limiter.PlaceOf(b.Context()), b.limiter)
}

// send lets a call that is not held have an attempt.
func (b *bench) send(c *outage.Call, outcome outage.Outcome) outage.Change {
	b.Helper()
	b.enters(c)
	return c.Report(outcome, errDown, 0)
}

func (b *bench) enters(c *outage.Call) {
	b.Helper()
	if !c.Enter() {
		b.Fatalf("at %v the call is not let pass", b.now())
	}
}

func (b *bench) held(model string, want bool) {
	b.Helper()
	if got := b.call(model).IsHeld(); got != want {
		b.Errorf("at %v a call of %q is held: %v, want %v", b.now(), model, got, want)
	}
}

// A waiting is a call that waits in its own goroutine.
type waiting struct {
	*outage.Call
	over atomic.Bool
	err  error
	at   time.Duration
}

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

// chosen returns when one of the calls that wait is released, and which.
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
	b.Fatal("nobody is chosen in 10 s")
	return nil
}

func TestWhatClosesTheGates(t *testing.T) {
	for name, test := range map[string]struct {
		do          func(b *bench)
		model, host bool // that are down: those of the model m, and of the model n
	}{
		"no connection": {func(b *bench) { b.send(b.call("m"), outage.Unreachable) }, true, true},
		"one failure":   {func(b *bench) { b.send(b.call("m"), outage.Failing) }, false, false},
		"one call that fails again and again": {func(b *bench) {
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
				b.Errorf("the report has changed %+v, want that the call alone is held", change)
			}
		}, false, false},
		"overload": {func(b *bench) { b.send(b.call("m"), outage.Overloaded) }, true, false},
		"nothing":  {func(b *bench) { b.send(b.call("m"), outage.Unclear); b.send(b.call("m"), outage.Unclear) }, false, false},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				test.do(b)
				b.held("m", test.model)
				b.held("n", test.host)
				if got := len(b.Current()) > 0; got != (test.model || test.host) {
					t.Errorf("there are the outages %v", b.Current())
				}
			})
		})
	}
}

// A host that has never answered is not in outage, and nothing is without a maximum.
func TestWhatClosesNoGate(t *testing.T) {
	for name, gates := range map[string]*outage.Tracker{"never answered": outage.New("https://host", maxOutage), "no hold": outage.New("https://host", -1)} {
		for _, first := range []outage.Outcome{outage.Alive, outage.Failing} {
			if name == "never answered" && first == outage.Alive {
				continue
			}
			for _, outcome := range []outage.Outcome{first, outage.Unreachable, outage.Failing, outage.Failing} {
				c := gates.Call("https://host", "m", limiter.PlaceOf(t.Context()), nil)
				c.Enter()
				if change := c.Report(outcome, errDown, 0); c.IsHeld() || change.Held || len(change.Began) > 0 {
					t.Errorf("%s: outcome %v: %+v", name, outcome, change)
				}
			}
		}
	}
}

// The oldest call is the probe, at most one at a time, at most five seconds apart; when
// its turn ends the next is it; and the first sign of life lets all pass.
func TestProbes(t *testing.T) {
	inBubble(t, func(b *bench) {
		young, old := b.call("m"), b.call("n")
		oldest := b.call("m")
		young, oldest = oldest, young
		change := b.send(b.call("x"), outage.Unreachable)
		if len(change.Began) != 1 || change.Began[0].Host != "https://host" || change.Began[0].Model != "" || !change.Held {
			t.Errorf("the report has changed %+v", change)
		}
		ctx, cancel := context.WithCancel(b.Context())
		first, second, third := b.wait(ctx, oldest), b.wait(b.Context(), old), b.wait(b.Context(), young)
		for {
			before := b.now()
			if b.chosen(first, second, third) != first || second.over.Load() || third.over.Load() {
				t.Fatal("another call than the oldest is the probe")
			}
			if gap := first.at - before; gap > outage.MaxProbeInterval {
				t.Errorf("the probe is sent %v after the one before", gap)
			}
			if d := oldest.ProbeTime(); d <= 0 || d > outage.MaxProbeInterval {
				t.Errorf("it has %v to connect", d)
			}
			if b.now() > 40*time.Second {
				break
			}
			b.send(oldest, outage.Unreachable)
			first = b.wait(ctx, oldest)
		}
		oldest.Leave() // its context has ended, while it waited for its limiter
		synctest.Wait()
		if !second.over.Load() || third.over.Load() {
			t.Fatal("its turn is not the next one's")
		}
		b.enters(old)
		again := b.wait(ctx, b.call("m"))
		time.Sleep(6 * time.Second)
		synctest.Wait()
		if third.over.Load() || again.over.Load() {
			t.Error("there is another probe while one is under way")
		}
		change = old.Report(outage.Alive, nil, 0)
		synctest.Wait()
		if !third.over.Load() || third.err != nil || !again.over.Load() || len(change.Ended) != 1 || len(b.Current()) > 0 {
			t.Errorf("the gate is not open after a sign of life: %+v", change)
		}
		if paused := b.limiter.Snapshot().PausedUntil; !paused.After(time.Now()) || paused.After(time.Now().Add(50*time.Millisecond)) {
			t.Errorf("the limiter is paused until %v", paused)
		}
		cancel()
	})
}

// A probe whose limiter makes it wait keeps the others from being one for no longer than
// an interval.
func TestProbeThatWaitsForItsLimiter(t *testing.T) {
	inBubble(t, func(b *bench) {
		one, two := b.call("m"), b.call("m")
		b.send(b.call("m"), outage.Unreachable)
		slow, fast := b.wait(b.Context(), one), b.wait(b.Context(), two)
		b.chosen(slow)
		since := b.now()
		b.chosen(fast)
		if waited := fast.at - since; waited > outage.MaxProbeInterval {
			t.Errorf("the next one is chosen after %v", waited)
		}
		b.enters(two)
		if one.Enter() {
			t.Error("there are two probes at the same time")
		}
		if one.IsHeld() != true {
			t.Error("the slow one is not held again")
		}
		two.Report(outage.Alive, nil, 0)
		b.enters(one)
	})
}

// A server that asks for more time than the backoff gets it.
func TestProbeWaitsAsAsked(t *testing.T) {
	inBubble(t, func(b *bench) {
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
			t.Errorf("a probe is sent at %v", w.at)
		}
		time.Sleep(time.Nanosecond)
		synctest.Wait()
		if !w.over.Load() {
			t.Error("no probe is sent after 20 s")
		}
	})
}

// After the maximum all waits end, and until the server is back one call at a time looks
// whether it is, while all others fail at once.
func TestExpiry(t *testing.T) {
	inBubble(t, func(b *bench) {
		begin := b.now()
		b.send(b.call("m"), outage.Unreachable)
		stuck := b.call("m")
		calls := []*waiting{b.wait(b.Context(), stuck), b.wait(b.Context(), b.call("m")), b.wait(b.Context(), b.call("n"))}
		b.chosen(calls...)    // and never sent
		queued := b.call("m") // waits for its limiter
		time.Sleep(maxOutage - b.now() + begin)
		synctest.Wait()
		for _, w := range calls[1:] {
			var tooLong *outage.Error
			if w.over.Load() && w.err == nil {
				continue // chosen after the first, and never sent
			}
			if !w.over.Load() || !errors.As(w.err, &tooLong) || tooLong.Cause != errDown || w.at != begin+maxOutage {
				t.Errorf("at %v: %v, want an Error after %v", w.at, w.err, maxOutage)
			}
		}
		if queued.Enter() {
			t.Error("a call that was there before is sent")
		}
		if err := queued.Wait(b.Context()); !errors.As(err, new(*outage.Error)) {
			t.Errorf("error %v of a call that was there before, want one at once", err)
		}
		probe, other := b.call("m"), b.call("m")
		if err := probe.Wait(b.Context()); err != nil {
			t.Fatal(err)
		}
		if err := other.Wait(b.Context()); !errors.As(err, new(*outage.Error)) {
			t.Errorf("error %v, want one at once", err)
		}
		b.send(probe, outage.Unreachable)
		if err := probe.Wait(b.Context()); !errors.As(err, new(*outage.Error)) {
			t.Errorf("error %v of the probe itself, want one at once", err)
		}
		if err := other.Wait(b.Context()); err != nil {
			t.Fatal(err)
		}
		b.send(other, outage.Alive)
		b.held("m", false)
	})
}

// A sign of life opens only the gates that closed on attempts that were sent before.
func TestLateSignOfLife(t *testing.T) {
	inBubble(t, func(b *bench) {
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
			t.Error("a call still waits")
		}
	})
}

// A model that is overloaded shows a host that is alive.
func TestOverloadOpensTheHost(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.send(b.call("n"), outage.Unreachable)
		b.held("m", true)
		c := b.call("m")
		b.chosen(b.wait(b.Context(), c))
		change := b.send(c, outage.Overloaded)
		if len(change.Ended) != 1 || len(change.Began) != 1 || change.Began[0].Model != "m" || !change.Held {
			t.Errorf("the report has changed %+v", change)
		}
		b.held("m", true)
		b.held("n", false)
	})
}

// Who waits between two attempts is held with all others when a gate closes, and who
// fails again and again although the gates are open waits in between.
func TestSleep(t *testing.T) {
	inBubble(t, func(b *bench) {
		if took := b.elapsed(func() { _ = b.call("m").Sleep(b.Context(), time.Second) }); took != time.Second {
			t.Errorf("a second takes %v", took)
		}
		ctx, cancel := context.WithTimeout(b.Context(), time.Second)
		defer cancel()
		if err := b.call("m").Sleep(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v, want the context's", err)
		}
		var sleeping sync.WaitGroup
		sleeping.Go(func() {
			if took := b.elapsed(func() { _ = b.call("m").Sleep(b.Context(), time.Hour) }); took != time.Minute {
				t.Errorf("the sleep ends after %v, want a minute, when the gate closes", took)
			}
		})
		time.Sleep(time.Minute)
		unlucky := b.call("m")
		b.send(unlucky, outage.Unreachable)
		sleeping.Wait()
		for range 5 { // others get through
			b.chosen(b.wait(b.Context(), b.call("m")))
			synctest.Wait()
			c := b.call("m")
			w := b.wait(b.Context(), c)
			b.chosen(w)
			b.send(c, outage.Alive)
			if err := unlucky.Wait(b.Context()); err != nil {
				t.Fatal(err)
			}
			b.send(unlucky, outage.Unreachable)
		}
		c := b.call("m")
		b.chosen(b.wait(b.Context(), c))
		b.send(c, outage.Alive)
		if took := b.elapsed(func() { _ = unlucky.Wait(b.Context()) }); took < 100*time.Millisecond || took > outage.MaxProbeInterval {
			t.Errorf("who fails all the time waits for %v", took)
		}
		time.Sleep(maxOutage)
		if err := unlucky.Wait(b.Context()); !errors.As(err, new(*outage.Error)) {
			t.Errorf("error %v, want an end after the maximum", err)
		}
	})
}

func (b *bench) elapsed(f func()) time.Duration {
	begin := time.Now()
	f()
	return time.Since(begin)
}

// What is remembered is bounded, and what is needed is not forgotten.
func TestManyHostsAndModels(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.send(b.call("m"), outage.Unreachable)
		for i := range 5000 {
			b.Call(fmt.Sprint("https://other", i), "m", limiter.PlaceOf(b.Context()), b.limiter)
			b.Call("https://host", fmt.Sprint("model", i), limiter.PlaceOf(b.Context()), b.limiter)
		}
		b.held("m", true)
	})
}

// Hundreds of calls of some models, some of which give up, with a server that is up and
// down: a model never has more than one probe at a time, and all calls end.
func TestManyCalls(t *testing.T) {
	inBubble(t, func(b *bench) {
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
						t.Error("two probes at the same time")
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
			t.Errorf("the last call ends after %v", b.now())
		}
	})
}
