package outage

import (
	"context"
	"fmt"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// A Call is a call on its way through the gates of its host and model. Its methods
// are for the goroutine that makes the call.
type Call struct {
	tracker *Tracker
	host    *host
	name    string // of the model
	model   *model
	place   limiter.Place
	limiter limiter.Backend
	number  uint64

	sent           uint64    // number of the latest attempt
	failedAttempts int       // attempts in a row that ended in an outage
	firstFailed    time.Time // of these
	lastCause      error     // of the latest of these

	// failures is how often the call failed as a probe of tried. A call is suspect if it
	// did so often, while another one was a sign of life: its failures may be its own.
	failedProbes int
	suspect      bool

	// Guarded by the mutex of the gates while the call waits.
	ready         chan struct{} // closed when the wait is over
	err           error         // why, unless the call may go on
	probeOf       *hold         // the call is the probe of that, or may be
	failedProbeOf *hold         // the call was the probe of that, in vain
}

// Call returns a call to a model of a host, which waits for l in the given place.
// Calls of one unknown model have the name of something else that they share, or
// none.
func (t *Tracker) Call(hostName, modelName string, place limiter.Place, l limiter.Backend) *Call {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counter++
	h := t.host(hostName)
	return &Call{tracker: t, host: h, name: modelName, model: h.model(modelName), place: place, limiter: l, number: t.counter}
}

// holdOf returns what holds the call, nil if nothing does. It requires that the
// mutex is held.
func (c *Call) holdOf() *hold {
	if c.host.hold != nil {
		return c.host.hold
	}
	return c.model.hold
}

// IsHeld reports whether the call has to wait before it may be sent.
func (c *Call) IsHeld() bool {
	c.tracker.mu.Lock()
	defer c.tracker.mu.Unlock()
	h := c.holdOf()
	return h != nil && c.probeOf != h
}

// Wait returns when the call may be sent, as far as is known: the gates are open, or
// the call is to be a probe. It returns an [*Error] when the outage is too long, and
// ctx.Err() when ctx ends. A call whose attempts end in one outage after the other
// waits in between.
func (c *Call) Wait(ctx context.Context) error {
	for {
		ready, wait, err := c.join()
		switch {
		case err != nil:
			return err
		case wait > 0:
			return c.Sleep(ctx, wait)
		case ready == nil:
			return nil
		}
		if err := c.await(ctx, ready); err != nil {
			return err
		}
		if !c.IsHeld() {
			return nil
		}
		// The gate of the host is open, and that of the model is not.
	}
}

// join has the call wait until ready is closed, or for the given time, or not at all.
func (c *Call) join() (ready chan struct{}, wait time.Duration, err error) {
	t := c.tracker
	t.mu.Lock()
	defer t.mu.Unlock()
	h := c.holdOf()
	if c.probeOf != h {
		c.passProbe()
	}
	switch {
	case h == nil && c.failedAttempts < 2, h != nil && c.probeOf == h:
		return nil, 0, nil
	case h == nil && time.Since(c.firstFailed) > t.maxOutage, h != nil && h.rejects(c):
		return nil, 0, c.tooLongError(h)
	case h == nil:
		return nil, t.backoff(c.failedAttempts), nil
	case h.expiredAt != 0:
		h.probe, c.probeOf = c, h
		return nil, 0, nil
	}
	ready = c.wait(c.host.waiting)
	if h.probeDue {
		h.chooseProbe()
	}
	return ready, 0, nil
}

// Sleep lets time pass, or returns ctx.Err() when ctx ends. It returns early when a
// gate closes, because the call has to wait there then.
func (c *Call) Sleep(ctx context.Context, d time.Duration) error {
	t := c.tracker
	t.mu.Lock()
	ready := c.wait(c.host.sleeping)
	timer := time.AfterFunc(d, func() {
		t.mu.Lock()
		defer t.mu.Unlock()
		if c.ready == ready {
			c.release(nil)
		}
	})
	t.mu.Unlock()
	defer timer.Stop()
	return c.await(ctx, ready)
}

// wait begins a wait among others. It requires that the mutex is held.
func (c *Call) wait(others map[*Call]struct{}) (ready chan struct{}) {
	c.ready, c.err = make(chan struct{}), nil
	others[c] = struct{}{}
	return c.ready
}

// await waits until the call is released.
func (c *Call) await(ctx context.Context, ready chan struct{}) error {
	select {
	case <-ready:
		return c.err
	case <-ctx.Done():
	}
	c.tracker.mu.Lock()
	defer c.tracker.mu.Unlock()
	c.release(ctx.Err())
	return c.err
}

// tooLong is the error of a call that is not held any longer by h, or by the failures
// that it alone has. It requires that the mutex is held.
func (c *Call) tooLongError(h *hold) error {
	if h != nil {
		return &Error{h.Outage}
	}
	return &Error{Outage{Host: c.host.name, Model: c.name, Since: c.firstFailed, Cause: c.lastCause}}
}

// release ends a wait, unless it is over. It requires that the mutex is held.
func (c *Call) release(err error) {
	if c.ready == nil {
		return
	}
	delete(c.host.waiting, c)
	delete(c.host.sleeping, c)
	c.err = err
	close(c.ready)
	c.ready = nil
}

// Outage returns the outage that holds the call, if any.
func (c *Call) Outage() (Outage, bool) {
	c.tracker.mu.Lock()
	defer c.tracker.mu.Unlock()
	h := c.holdOf()
	if h == nil {
		return Outage{}, false
	}
	return h.Outage, true
}

// Enter is called right before an attempt is sent. It reports whether it may be; if
// not, the call has to wait.
func (c *Call) Enter() bool {
	t := c.tracker
	t.mu.Lock()
	defer t.mu.Unlock()
	if h := c.holdOf(); h != nil {
		if isProbe := h.probe == c && h.sending; !isProbe && (h.sending || c.probeOf != h) {
			c.passProbe()
			return false
		}
		h.probe, h.sending, c.probeOf = c, true, h
		h.probeSent = time.Now()
	}
	t.counter++
	c.sent = t.counter
	return true
}

// ProbeTime returns how long the call may take to get a connection, 0 if that is not
// bounded: a probe that hangs keeps others from being sent.
func (c *Call) ProbeTime() time.Duration {
	c.tracker.mu.Lock()
	defer c.tracker.mu.Unlock()
	h := c.probeOf
	if h == nil || h.probe != c || !h.isActive() {
		return 0
	}
	return min(MaxProbeInterval, max(minProbeInterval, time.Until(h.Since.Add(c.tracker.maxOutage))))
}

// Leave is called when the call has ended, or failed for a reason that says nothing
// of the server. If it was a probe, the next call is it.
func (c *Call) Leave() {
	if c.probeOf == nil {
		return
	}
	c.tracker.mu.Lock()
	defer c.tracker.mu.Unlock()
	c.passProbe()
}

// handOver makes another call the probe if c is it. It requires that the mutex is held.
func (c *Call) passProbe() {
	if h := c.endProbe(); h != nil && h.expiredAt == 0 {
		h.chooseProbe()
	}
}

// resign ends the call's time as a probe, and returns the hold that has none now; nil
// if there is none. It requires that the mutex is held.
func (c *Call) endProbe() *hold {
	h := c.probeOf
	c.probeOf = nil
	if h == nil || h.probe != c || !h.isActive() {
		return nil
	}
	h.probe, h.sending = nil, false
	return h
}

// Error is the end of a wait that is too long.
type Error struct{ Outage }

// Error names the host and says how long it is down.
func (e *Error) Error() string {
	return fmt.Sprintf("outage: %s has been down for %v: %v", e.Host, time.Since(e.Since), e.Cause)
}
