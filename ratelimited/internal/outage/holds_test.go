package outage_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited/internal/outage"
)

// A model and its host are down at the same time. In each case, a call to the model must
// continue soon after the host is back.
func TestModelAndHost(t *testing.T) {
	for name, test := range map[string]func(f *fixture) *waiting{
		"the model's probe is due while the host is down": func(f *fixture) *waiting {
			n := f.call("n")
			w := f.wait(f.Context(), f.call("m"))
			f.send(f.call("x"), outage.Unreachable)
			for range 5 {
				f.chosen(f.wait(f.Context(), n))
				f.send(n, outage.Unreachable)
			}
			f.chosen(f.wait(f.Context(), n))
			f.send(n, outage.Alive)
			return w
		},
		"the host holds the model's probe, and then the model is still down": func(f *fixture) *waiting {
			probe := f.call("m")
			f.chosen(f.wait(f.Context(), probe))
			f.enters(probe) // its connection turns out to be closed, so nothing is reported
			f.send(f.call("n"), outage.Unreachable)
			f.chosen(f.wait(f.Context(), probe))
			f.send(probe, outage.Overloaded)
			ctx, cancel := context.WithTimeout(f.Context(), time.Second)
			defer cancel()
			_ = probe.Wait(ctx) // it may become the probe
			probe.Leave()
			return f.wait(f.Context(), f.call("m"))
		},
		"the model's probe has not been sent when the host goes down": func(f *fixture) *waiting {
			probe := f.call("m")
			f.chosen(f.wait(f.Context(), probe))
			f.send(f.call("n"), outage.Unreachable)
			if probe.Enter() {
				f.Error("the model's probe is sent although the host is down")
			}
			probe.Leave()
			n := f.call("n")
			f.chosen(f.wait(f.Context(), n))
			f.send(n, outage.Alive)
			return f.wait(f.Context(), f.call("m"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			withTracker(t, func(f *fixture) {
				f.send(f.call("m"), outage.Overloaded)
				w := test(f)
				back := f.now()
				time.Sleep(6 * time.Second)
				synctest.Wait()
				if !w.over.Load() || w.err != nil {
					t.Errorf("the call does not continue within 6 s after %v: error %v", back, w.err)
				}
				w.Leave()
			})
		})
	}
}

// A model is down for too long, and then its host is down. A call to the model does not wait
// forever, and does not fail if it could be the probe.
func TestExpiredModelAndHost(t *testing.T) {
	withTracker(t, func(f *fixture) {
		f.send(f.call("m"), outage.Overloaded)
		time.Sleep(maxOutage + time.Second)
		probe := f.call("m")
		if err := probe.Wait(f.Context()); err != nil {
			t.Fatal(err)
		}
		f.send(f.call("n"), outage.Unreachable)
		if probe.Enter() {
			t.Error("the model's probe is sent although the host is down")
		}
		probe.Leave()
		n := f.call("n")
		wn, w := f.wait(f.Context(), n), f.wait(f.Context(), f.call("m"))
		if f.chosen(wn, w) != wn {
			t.Fatal("the oldest call is not the probe")
		}
		f.send(n, outage.Alive)
		synctest.Wait()
		if !w.over.Load() || w.err != nil {
			t.Errorf("the call to the model waits or fails: error %v, want it to be the probe", w.err)
		}
		w.Leave()
		if err := f.call("m").Wait(f.Context()); err != nil {
			t.Errorf("error %v while no call is in flight", err)
		}
	})
}

// An outage begins with the second failure, even if the first one was long ago.
func TestOldFailure(t *testing.T) {
	withTracker(t, func(f *fixture) {
		f.send(f.call("m"), outage.Failing)
		time.Sleep(time.Hour)
		begin := time.Now()
		f.send(f.call("m"), outage.Failing)
		w := f.wait(f.Context(), f.call("m"))
		f.chosen(w)
		if w.err != nil || f.Current()[0].Since != begin {
			t.Errorf("error %v, outage since %v, want no error and an outage since the second failure", w.err, f.Current()[0].Since)
		}
	})
}

// A limiter whose Pause panics does not keep other calls waiting.
func TestPausePanics(t *testing.T) {
	withTracker(t, func(f *fixture) {
		f.limiter = panicking{f.limiter}
		c := f.call("m")
		f.send(f.call("m"), outage.Unreachable)
		f.chosen(f.wait(f.Context(), c))
		other := f.wait(f.Context(), f.call("m"))
		func() {
			defer func() { _ = recover() }()
			f.send(c, outage.Alive)
		}()
		synctest.Wait()
		if !other.over.Load() || other.err != nil {
			t.Errorf("the other call waits or fails: error %v", other.err)
		}
	})
}

type panicking struct{ limiter.Backend }

func (panicking) Pause(time.Time) { panic("Pause") }
