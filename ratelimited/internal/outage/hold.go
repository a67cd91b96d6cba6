package outage

import (
	"math"
	"slices"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// A hold is a closed gate. All fields are guarded by the mutex of the gates.
type hold struct {
	Outage
	gates *Gates
	host  *host
	model *model // nil: it is the host's
	sent  uint64 // a sign of life for an attempt sent after this one opens the gate

	probe   *Call     // chosen to be sent, or sent
	sending bool      // the probe is sent
	began   time.Time // when the latest probe was sent
	probes  int       // that failed
	due     bool      // a probe is to be sent as soon as there is a call
	timer   *time.Timer
	expiry  *time.Timer
	expired uint64 // number of the latest call when it had taken longer than the gates allow: nobody waits any more; 0 before
}

// close closes the gate of a host, or of one of its models. It requires that g.mu is
// held.
func (g *Gates) close(h *host, modelName string, m *model, sent uint64, cause error) *hold {
	c := &hold{Outage: Outage{Host: h.name, Model: modelName, Since: time.Now(), Cause: cause}, gates: g, host: h, model: m, sent: sent}
	if m != nil {
		m.hold = c
	} else {
		h.hold = c
		for _, m := range h.models {
			c.adopt(m.hold)
		}
	}
	c.expiry = time.AfterFunc(g.max, c.expire)
	for w := range h.sleeping {
		if m == nil || w.model == m {
			w.release(nil)
		}
	}
	return c
}

// adopt makes the probe of another hold, which is sent already, the probe of c: so that there
// is one at a time when the gate of a host closes around those of its models, or opens. It
// requires that the mutex is held.
func (c *hold) adopt(other *hold) {
	if c == nil || other == nil || c.sending || !other.sending {
		return
	}
	c.probe, c.sending, c.began = other.probe, true, other.began
	c.probe.chosenBy = c
	other.probe, other.sending = nil, false
}

// schedule has the next probe sent: by the backoff, which begins with the latest
// probe, or after the wait that the server asks for if that is longer. It requires
// that the mutex is held.
func (c *hold) schedule(retryAfter time.Duration) {
	c.probes++
	d := c.gates.backoff(c.probes)
	if !c.began.IsZero() {
		d -= time.Since(c.began)
	}
	c.arm(max(retryAfter, d, 0))
}

// arm sets the timer of the next probe. It requires that the mutex is held.
func (c *hold) arm(d time.Duration) {
	switch {
	case c.expired != 0:
	case c.timer == nil:
		c.timer = time.AfterFunc(d, c.wake)
	default:
		c.timer.Reset(d)
	}
}

// wake is called by the timer. It may come too late, when the gate is open.
func (c *hold) wake() {
	c.gates.mu.Lock()
	defer c.gates.mu.Unlock()
	if c.isClosed() && c.expired == 0 {
		c.choose()
	}
}

func (c *hold) isClosed() bool {
	if c.model != nil {
		return c.model.hold == c
	}
	return c.host.hold == c
}

// maxFailures is how often one call may fail as a probe, after it was sent, before
// another one is chosen: it may be the call that is at fault, and not the server. That
// takes most of a minute, so that only long outages change the order of calls.
const maxFailures = 20

// choose makes the oldest call that waits the probe, unless one is sent already. Calls
// that failed often come last. If the chosen call is not sent within an interval,
// because its limiter makes it wait, the next one is chosen as well; the first to be
// sent is the probe. It requires that the mutex is held.
func (c *hold) choose() {
	if c.sending {
		return
	}
	c.probe, c.due = nil, true
	for w := range c.host.waiting {
		if w.holdOf() == c && (c.probe == nil || c.prefers(w, c.probe)) {
			c.probe = w
		}
	}
	if c.probe != nil {
		c.due = false
		c.probe.chosenBy = c
		c.probe.release(nil)
		c.arm(MaxProbeInterval)
	}
}

// prefers reports whether a is to be the probe rather than b.
func (c *hold) prefers(a, b *Call) bool {
	if i, j := c.rank(a), c.rank(b); i != j {
		return i < j
	}
	return a.place.Before(b.place)
}

func (c *hold) rank(call *Call) int {
	switch {
	case call.suspect:
		return math.MaxInt
	case call.tried == c:
		return call.failures / maxFailures
	}
	return 0
}

// refuses reports whether a call fails, because the outage is too long: all but new
// ones, and new ones that have been the probe or while another one is. It requires
// that the mutex is held.
func (c *hold) refuses(call *Call) bool {
	return c.expired != 0 && (call.number <= c.expired || c.probe != nil || call.tried == c)
}

// regroup is how long limiters admit nobody after an outage, so that the calls that
// were held are back in their queues, in order, before the first is admitted.
func regroup(calls int) time.Duration {
	return 10*time.Millisecond + time.Duration(calls)*5*time.Microsecond
}

// open opens the gate, if there is one. It requires that the mutex is held.
func (c *hold) open() {
	if c == nil {
		return
	}
	c.expiry.Stop()
	if c.timer != nil {
		c.timer.Stop()
	}
	if c.model != nil {
		c.model.hold = nil
	} else {
		c.host.hold = nil
		if c.sending {
			c.probe.model.hold.adopt(c)
		}
	}
	var calls []*Call // also those that the gate of their model holds still
	limiters := map[*model]limiter.Backend{}
	for w := range c.host.waiting {
		if c.model == nil || w.model == c.model {
			calls = append(calls, w)
			limiters[w.model] = w.limiter
			w.suspect = w.suspect || w.tried == c && w.failures >= maxFailures
		}
	}
	slices.SortFunc(calls, func(a, b *Call) int {
		switch {
		case a.place.Before(b.place):
			return -1
		case b.place.Before(a.place):
			return 1
		}
		return 0
	})
	defer func() { // also if a limiter of the caller's panics
		for _, w := range calls {
			if w.holdOf() == nil || c.model == nil {
				w.release(nil)
			}
		}
	}()
	until := time.Now().Add(regroup(len(calls)))
	for _, l := range limiters {
		l.Pause(until)
	}
}

// expire ends the waits of all calls that the gate holds. It stays closed: until the
// first sign of life, a new call is sent as a probe or fails.
func (c *hold) expire() {
	c.gates.mu.Lock()
	defer c.gates.mu.Unlock()
	if !c.isClosed() {
		return
	}
	c.expired = c.gates.clock
	if !c.sending {
		c.probe = nil
	}
	if c.timer != nil {
		c.timer.Stop()
	}
	for w := range c.host.waiting {
		if c.model == nil || w.model == c.model {
			w.release(&Error{c.Outage})
		}
	}
}
