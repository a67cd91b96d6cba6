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
	tracker    *Tracker
	host       *host
	model      *model // nil: it is the host's
	sentBefore uint64 // a sign of life for an attempt sent after this one opens the gate

	probe        *Call     // chosen to be sent, or sent
	sending      bool      // the probe is sent
	probeSent    time.Time // when the latest probe was sent
	failedProbes int       // that failed
	probeDue     bool      // a probe is to be sent as soon as there is a call
	timer        *time.Timer
	expiry       *time.Timer
	expiredAt    uint64 // number of the latest call when it had taken longer than the gates allow: nobody waits any more; 0 before
}

// close closes the gate of a host, or of one of its models. It requires that g.mu is
// held.
func (t *Tracker) beginHold(h *host, modelName string, m *model, sent uint64, cause error) *hold {
	started := &hold{Outage: Outage{Host: h.name, Model: modelName, Since: time.Now(), Cause: cause}, tracker: t, host: h, model: m, sentBefore: sent}
	if m != nil {
		m.hold = started
	} else {
		h.hold = started
		for _, m := range h.models {
			started.takeProbe(m.hold)
		}
	}
	started.expiry = time.AfterFunc(t.maxOutage, started.expire)
	for w := range h.sleeping {
		if m == nil || w.model == m {
			w.release(nil)
		}
	}
	return started
}

// adopt makes the probe of another hold, which is sent already, the probe of c: so that there
// is one at a time when the gate of a host closes around those of its models, or opens. It
// requires that the mutex is held.
func (h *hold) takeProbe(other *hold) {
	if h == nil || other == nil || h.sending || !other.sending {
		return
	}
	h.probe, h.sending, h.probeSent = other.probe, true, other.probeSent
	h.probe.probeOf = h
	other.probe, other.sending = nil, false
}

// schedule has the next probe sent: by the backoff, which begins with the latest
// probe, or after the wait that the server asks for if that is longer. It requires
// that the mutex is held.
func (h *hold) scheduleProbe(retryAfter time.Duration) {
	h.failedProbes++
	d := h.tracker.backoff(h.failedProbes)
	if !h.probeSent.IsZero() {
		d -= time.Since(h.probeSent)
	}
	h.setTimer(max(retryAfter, d, 0))
}

// arm sets the timer of the next probe. It requires that the mutex is held.
func (h *hold) setTimer(d time.Duration) {
	switch {
	case h.expiredAt != 0:
	case h.timer == nil:
		h.timer = time.AfterFunc(d, h.onTimer)
	default:
		h.timer.Reset(d)
	}
}

// wake is called by the timer. It may come too late, when the gate is open.
func (h *hold) onTimer() {
	h.tracker.mu.Lock()
	defer h.tracker.mu.Unlock()
	if h.isActive() && h.expiredAt == 0 {
		h.chooseProbe()
	}
}

func (h *hold) isActive() bool {
	if h.model != nil {
		return h.model.hold == h
	}
	return h.host.hold == h
}

// maxFailures is how often one call may fail as a probe, after it was sent, before
// another one is chosen: it may be the call that is at fault, and not the server. That
// takes most of a minute, so that only long outages change the order of calls.
const maxFailures = 20

// choose makes the oldest call that waits the probe, unless one is sent already. Calls
// that failed often come last. If the chosen call is not sent within an interval,
// because its limiter makes it wait, the next one is chosen as well; the first to be
// sent is the probe. It requires that the mutex is held.
func (h *hold) chooseProbe() {
	if h.sending {
		return
	}
	h.probe, h.probeDue = nil, true
	for w := range h.host.waiting {
		if w.holdOf() == h && (h.probe == nil || h.prefers(w, h.probe)) {
			h.probe = w
		}
	}
	if h.probe != nil {
		h.probeDue = false
		h.probe.probeOf = h
		h.probe.release(nil)
		h.setTimer(MaxProbeInterval)
	}
}

// prefers reports whether a is to be the probe rather than b.
func (h *hold) prefers(a, b *Call) bool {
	if i, j := h.rank(a), h.rank(b); i != j {
		return i < j
	}
	return a.place.Before(b.place)
}

func (h *hold) rank(call *Call) int {
	switch {
	case call.suspect:
		return math.MaxInt
	case call.failedProbeOf == h:
		return call.failedProbes / maxFailures
	}
	return 0
}

// refuses reports whether a call fails, because the outage is too long: all but new
// ones, and new ones that have been the probe or while another one is. It requires
// that the mutex is held.
func (h *hold) rejects(call *Call) bool {
	return h.expiredAt != 0 && (call.number <= h.expiredAt || h.probe != nil || call.failedProbeOf == h)
}

// regroup is how long limiters admit nobody after an outage, so that the calls that
// were held are back in their queues, in order, before the first is admitted.
func resumeDelay(calls int) time.Duration {
	return 10*time.Millisecond + time.Duration(calls)*5*time.Microsecond
}

// open opens the gate, if there is one. It requires that the mutex is held.
func (h *hold) end() {
	if h == nil {
		return
	}
	h.expiry.Stop()
	if h.timer != nil {
		h.timer.Stop()
	}
	if h.model != nil {
		h.model.hold = nil
	} else {
		h.host.hold = nil
		if h.sending {
			h.probe.model.hold.takeProbe(h)
		}
	}
	var calls []*Call // also those that the gate of their model holds still
	limiters := map[*model]limiter.Backend{}
	for w := range h.host.waiting {
		if h.model == nil || w.model == h.model {
			calls = append(calls, w)
			limiters[w.model] = w.limiter
			w.suspect = w.suspect || w.failedProbeOf == h && w.failedProbes >= maxFailures
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
			if w.holdOf() == nil || h.model == nil {
				w.release(nil)
			}
		}
	}()
	until := time.Now().Add(resumeDelay(len(calls)))
	for _, l := range limiters {
		l.Pause(until)
	}
}

// expire ends the waits of all calls that the gate holds. It stays closed: until the
// first sign of life, a new call is sent as a probe or fails.
func (h *hold) expire() {
	h.tracker.mu.Lock()
	defer h.tracker.mu.Unlock()
	if !h.isActive() {
		return
	}
	h.expiredAt = h.tracker.counter
	if !h.sending {
		h.probe = nil
	}
	if h.timer != nil {
		h.timer.Stop()
	}
	for w := range h.host.waiting {
		if h.model == nil || w.model == h.model {
			w.release(&Error{h.Outage})
		}
	}
}
