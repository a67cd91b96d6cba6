package outage

import (
	"context"
	"fmt"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// A Call is one call, as the tracker of its host and model sees it. Its methods must be called in the
// goroutine that makes the call.
type Call struct {
	tracker *Tracker
	host    *host
	name    string // name of the model
	model   *model
	place   limiter.Place
	limiter limiter.Backend
	number  uint64

	sent           uint64    // number of the latest attempt
	failedAttempts int       // successive attempts that failed in an outage
	firstFailed    time.Time // the first of them
	lastCause      error     // failure of the latest of them

	// failedProbes is how often the call failed as a probe of failedProbeOf. The call is suspect if it did so
	// often and another call then had an Alive outcome: the call itself may cause its failures.
	failedProbes int
	suspect      bool

	// Guarded by the tracker's mutex while the call waits.
	ready         chan struct{} // closed when the wait is over
	err           error         // why the wait ended; nil if the call may continue
	probeOf       *hold         // the call is the probe of this hold, or a candidate
	failedProbeOf *hold         // the call was the probe of this hold and failed
}

// Call returns a call to a model of a host, which waits for l in the given place. For calls to an unknown
// model, modelName is the name of something else that they share, or empty.
func (t *Tracker) Call(hostName, modelName string, place limiter.Place, l limiter.Backend) *Call {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.counter++
	h := t.host(hostName)
	return &Call{tracker: t, host: h, name: modelName, model: h.model(modelName), place: place, limiter: l, number: t.counter}
}

// holdOf returns the hold of the call; nil without one. It requires that the mutex is held.
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

// Wait returns nil when the call may be sent, because it is not held or because it is the next probe. It
// returns an [*Error] when the outage is too long, and ctx.Err() when ctx ends. A call whose attempts
// repeatedly fail in outages waits between them.
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
		// The hold of the host has ended, but the model is held.
	}
}

// join starts a wait. The call must wait until ready is closed, or for the given time, or not at all if
// both are zero.
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

// Sleep waits for d, or returns ctx.Err() when ctx ends. It returns early when a hold begins, because the
// call has to wait for its end then.
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

// wait adds the call to a set of waiting calls. It requires that the mutex is held.
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

// tooLongError returns the error of a call that h no longer holds. With a nil h, it is the error of a call
// whose attempts failed for too long. It requires that the mutex is held.
func (c *Call) tooLongError(h *hold) error {
	if h != nil {
		return &Error{h.Outage}
	}
	return &Error{Outage{Host: c.host.name, Model: c.name, Since: c.firstFailed, Cause: c.lastCause}}
}

// release ends a wait, unless it has ended. It requires that the mutex is held.
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

// Enter must be called right before an attempt is sent. It reports whether the attempt may be sent; if not,
// the call has to wait.
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

// ProbeTime returns how long the call may take to get a connection; 0 means unbounded. It is bounded for a
// probe, because a probe that hangs prevents other probes.
func (c *Call) ProbeTime() time.Duration {
	c.tracker.mu.Lock()
	defer c.tracker.mu.Unlock()
	h := c.probeOf
	if h == nil || h.probe != c || !h.isActive() {
		return 0
	}
	return min(MaxProbeInterval, max(minProbeInterval, time.Until(h.Since.Add(c.tracker.maxOutage))))
}

// Leave must be called when the call has ended, or has failed for a reason that does not concern the
// server. If the call was the probe, another call becomes the probe.
func (c *Call) Leave() {
	if c.probeOf == nil {
		return
	}
	c.tracker.mu.Lock()
	defer c.tracker.mu.Unlock()
	c.passProbe()
}

// passProbe makes another call the probe if c is the probe. It requires that the mutex is held.
func (c *Call) passProbe() {
	if h := c.endProbe(); h != nil && h.expiredAt == 0 {
		h.chooseProbe()
	}
}

// endProbe ends the call's role as a probe, and returns the hold that does not have a probe now; nil if c
// was not the probe. It requires that the mutex is held.
func (c *Call) endProbe() *hold {
	h := c.probeOf
	c.probeOf = nil
	if h == nil || h.probe != c || !h.isActive() {
		return nil
	}
	h.probe, h.sending = nil, false
	return h
}

// Error reports that an outage lasts for too long.
type Error struct{ Outage }

// Error returns the host, the duration of the outage and its cause.
func (e *Error) Error() string {
	return fmt.Sprintf("outage: %s has been down for %v: %v", e.Host, time.Since(e.Since), e.Cause)
}
