package outage_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited/internal/outage"
)

// A model and its host are down at the same time. In each case, a call of the model must continue soon
// after the host is back.
func TestModelAndHost(t *testing.T) {
	for name, test := range map[string]func(b *bench) *waiting{
		"the model's probe is due while the host is down": func(b *bench) *waiting {
			n := b.call("n")
			w := b.wait(b.Context(), b.call("m"))
			b.send(b.call("x"), outage.Unreachable)
			for range 5 {
				b.chosen(b.wait(b.Context(), n))
				b.send(n, outage.Unreachable)
			}
			b.chosen(b.wait(b.Context(), n))
			b.send(n, outage.Alive)
			return w
		},
		"the model's probe waits for the host, and then fails": func(b *bench) *waiting {
			probe := b.call("m")
			b.chosen(b.wait(b.Context(), probe))
			b.enters(probe) // the connection is closed, so the call does not report an outcome
			b.send(b.call("n"), outage.Unreachable)
			b.chosen(b.wait(b.Context(), probe))
			b.send(probe, outage.Overloaded)
			ctx, cancel := context.WithTimeout(b.Context(), time.Second)
			defer cancel()
			_ = probe.Wait(ctx) // the call can become the probe
			probe.Leave()
			return b.wait(b.Context(), b.call("m"))
		},
		"the model's probe has not been sent when the host goes down": func(b *bench) *waiting {
			probe := b.call("m")
			b.chosen(b.wait(b.Context(), probe))
			b.send(b.call("n"), outage.Unreachable)
			if probe.Enter() {
				b.Error("the model's probe is sent although the host is down")
			}
			probe.Leave()
			n := b.call("n")
			b.chosen(b.wait(b.Context(), n))
			b.send(n, outage.Alive)
			return b.wait(b.Context(), b.call("m"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			runTest(t, func(b *bench) {
				b.send(b.call("m"), outage.Overloaded)
				w := test(b)
				back := b.now()
				time.Sleep(6 * time.Second)
				synctest.Wait()
				if !w.over.Load() || w.err != nil {
					t.Errorf("the call does not continue within 6 s after %v: %v", back, w.err)
				}
				w.Leave()
			})
		})
	}
}

// A model is down for longer than the maximum, and then its host is down too. A call of the model must not wait
// forever, and must not fail if it can be the probe.
func TestExpiredModelAndHost(t *testing.T) {
	runTest(t, func(b *bench) {
		b.send(b.call("m"), outage.Overloaded)
		time.Sleep(maxOutage + time.Second)
		probe := b.call("m")
		if err := probe.Wait(b.Context()); err != nil {
			t.Fatal(err)
		}
		b.send(b.call("n"), outage.Unreachable)
		if probe.Enter() {
			t.Error("the model's probe is sent although the host is down")
		}
		probe.Leave()
		n := b.call("n")
		wn, w := b.wait(b.Context(), n), b.wait(b.Context(), b.call("m"))
		if b.chosen(wn, w) != wn {
			t.Fatal("the probe is not the oldest call")
		}
		b.send(n, outage.Alive)
		synctest.Wait()
		if !w.over.Load() || w.err != nil {
			t.Errorf("the model's call waits or fails with %v, want it to be the probe", w.err)
		}
		w.Leave()
		if err := b.call("m").Wait(b.Context()); err != nil {
			t.Errorf("error is %v without other calls, want nil", err)
		}
	})
}

// An outage begins with the second failure, even if the first failure was long ago.
func TestOldFailure(t *testing.T) {
	runTest(t, func(b *bench) {
		b.send(b.call("m"), outage.Failing)
		time.Sleep(time.Hour)
		begin := time.Now()
		b.send(b.call("m"), outage.Failing)
		w := b.wait(b.Context(), b.call("m"))
		b.chosen(w)
		if w.err != nil || b.Current()[0].Since != begin {
			t.Errorf("error is %v in an outage since %v, want nil since %v", w.err, b.Current()[0].Since, begin)
		}
	})
}

// If Pause of the limiter panics, the other calls still continue.
func TestPausePanics(t *testing.T) {
	runTest(t, func(b *bench) {
		b.limiter = panickingLimiter{b.limiter}
		c := b.call("m")
		b.send(b.call("m"), outage.Unreachable)
		b.chosen(b.wait(b.Context(), c))
		other := b.wait(b.Context(), b.call("m"))
		func() {
			defer func() { _ = recover() }()
			b.send(c, outage.Alive)
		}()
		synctest.Wait()
		if !other.over.Load() || other.err != nil {
			t.Errorf("the other call waits or fails with %v", other.err)
		}
	})
}

// panickingLimiter is a limiter whose Pause panics.
type panickingLimiter struct{ limiter.Backend }

func (panickingLimiter) Pause(time.Time) { panic("broken limiter") }
