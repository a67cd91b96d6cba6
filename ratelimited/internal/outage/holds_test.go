package outage_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited/internal/outage"
)

// A model and its host are down at the same time. In each case a call of the model must
// go on soon after the host is back.
func TestModelAndHost(t *testing.T) {
	for name, test := range map[string]func(b *bench) *waiting{
		"the model's probe falls due while the host is down": func(b *bench) *waiting {
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
		"the model's probe is held by the host, and finds the model down": func(b *bench) *waiting {
			probe := b.call("m")
			b.chosen(b.wait(b.Context(), probe))
			b.enters(probe) // over a connection that turns out to be closed: nothing is reported
			b.send(b.call("n"), outage.Unreachable)
			b.chosen(b.wait(b.Context(), probe))
			b.send(probe, outage.Overloaded)
			ctx, cancel := context.WithTimeout(b.Context(), time.Second)
			defer cancel()
			_ = probe.Wait(ctx) // it may be chosen
			probe.Leave()
			return b.wait(b.Context(), b.call("m"))
		},
		"the model's probe has not been sent when the host goes down": func(b *bench) *waiting {
			probe := b.call("m")
			b.chosen(b.wait(b.Context(), probe))
			b.send(b.call("n"), outage.Unreachable)
			if probe.Enter() {
				b.Error("a probe of the model is sent although the host is down")
			}
			probe.Leave()
			n := b.call("n")
			b.chosen(b.wait(b.Context(), n))
			b.send(n, outage.Alive)
			return b.wait(b.Context(), b.call("m"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			inBubble(t, func(b *bench) {
				b.send(b.call("m"), outage.Overloaded)
				w := test(b)
				back := b.now()
				time.Sleep(6 * time.Second)
				synctest.Wait()
				if !w.over.Load() || w.err != nil {
					t.Errorf("in 6 s after %v it does not go on: %v", back, w.err)
				}
				w.Leave()
			})
		})
	}
}

// A model that is down for too long, and then its host: a call of the model neither
// waits for ever nor does it fail where it could be the probe.
func TestExpiredModelAndHost(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.send(b.call("m"), outage.Overloaded)
		time.Sleep(maxOutage + time.Second)
		probe := b.call("m")
		if err := probe.Wait(b.Context()); err != nil {
			t.Fatal(err)
		}
		b.send(b.call("n"), outage.Unreachable)
		if probe.Enter() {
			t.Error("a probe of the model is sent although the host is down")
		}
		probe.Leave()
		n := b.call("n")
		wn, w := b.wait(b.Context(), n), b.wait(b.Context(), b.call("m"))
		if b.chosen(wn, w) != wn {
			t.Fatal("another call than the oldest is the probe")
		}
		b.send(n, outage.Alive)
		synctest.Wait()
		if !w.over.Load() || w.err != nil {
			t.Errorf("the call of the model waits, or fails with %v; want it to be the probe", w.err)
		}
		w.Leave()
		if err := b.call("m").Wait(b.Context()); err != nil {
			t.Errorf("error %v with no call under way", err)
		}
	})
}

// However long ago the first failure was, an outage begins with the second.
func TestOldFailure(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.send(b.call("m"), outage.Failing)
		time.Sleep(time.Hour)
		begin := time.Now()
		b.send(b.call("m"), outage.Failing)
		w := b.wait(b.Context(), b.call("m"))
		b.chosen(w)
		if w.err != nil || b.Current()[0].Since != begin {
			t.Errorf("error %v in an outage since %v", w.err, b.Current()[0].Since)
		}
	})
}

// A limiter whose Pause panics does not keep the calls of others waiting.
func TestPausePanics(t *testing.T) {
	inBubble(t, func(b *bench) {
		b.limiter = panicking{b.limiter}
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
			t.Errorf("the other call waits, or fails with %v", other.err)
		}
	})
}

type panicking struct{ limiter.Backend }

func (panicking) Pause(time.Time) { panic("no pause") }
