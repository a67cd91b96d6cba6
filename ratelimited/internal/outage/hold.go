package outage

import (
	"math"
	"slices"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// A hold is an outage in progress. The tracker's mutex guards all fields.
type hold struct {
	Outage
	tracker        *Tracker
	host           *host
	model          *model // nil for the whole host
	lastFailedSent uint64 // Alive outcomes of attempts that were sent after this one end the hold

	probe        *Call     // the chosen or sent probe
	sending      bool      // the probe has been sent
	probeSent    time.Time // when the latest probe was sent
	failedProbes int
	probeDue     bool // the next waiting call becomes the probe
	timer        *time.Timer
	expiry       *time.Timer
	expiredAt    uint64 // number of the latest call when the maximum duration was over; 0 before
}

// beginHold begins a hold of a host, or of one of its models. It requires that t.mu is held.
func (t *Tracker) beginHold(h *host, modelName string, m *model, sent uint64, cause error) *hold {
	started := &hold{Outage: Outage{Host: h.name, Model: modelName, Since: time.Now(), Cause: cause}, tracker: t, host: h, model: m, lastFailedSent: sent}
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

// takeProbe makes the probe of another hold, which is already sent, the probe of h. So the host and its models
// have one probe at a time when a hold of the host begins or ends. It requires that the mutex is held.
func (h *hold) takeProbe(other *hold) {
	if h == nil || other == nil || h.sending || !other.sending {
		return
	}
	h.probe, h.sending, h.probeSent = other.probe, true, other.probeSent
	h.probe.probeOf = h
	other.probe, other.sending = nil, false
}

// scheduleProbe schedules the next probe: after the backoff, which starts at the latest probe, or after the wait
// that the server requests if that is longer. It requires that the mutex is held.
func (h *hold) scheduleProbe(retryAfter time.Duration) {
	h.failedProbes++
	d := h.tracker.backoff(h.failedProbes)
	if !h.probeSent.IsZero() {
		d -= time.Since(h.probeSent)
	}
	h.setTimer(max(retryAfter, d, 0))
}

// setTimer sets the timer of the next probe. It requires that the mutex is held.
func (h *hold) setTimer(d time.Duration) {
	switch {
	case h.expiredAt != 0:
	case h.timer == nil:
		h.timer = time.AfterFunc(d, h.onTimer)
	default:
		h.timer.Reset(d)
	}
}

// onTimer runs when the timer fires, possibly after the end of the hold.
func (h *hold) onTimer() {
	h.tracker.mu.Lock()
	defer h.tracker.mu.Unlock()
	if h.isActive() && h.expiredAt == 0 {
		h.chooseProbe()
	}
}

// isActive reports whether the hold has not ended. It requires that the mutex is held.
func (h *hold) isActive() bool {
	if h.model != nil {
		return h.model.hold == h
	}
	return h.host.hold == h
}

// maxFailures is how often a call may fail as a probe, after it was sent, before another call becomes the probe:
// the call itself may cause the failures. With backoff this takes most of a minute, so only long outages
// change the order of calls.
const maxFailures = 20

// chooseProbe makes the oldest waiting call the probe, unless a probe has been sent. Calls that failed often
// come last. If the limiter delays the chosen call for longer than an interval, the next call is chosen
// too; the first one that is sent is the probe. It requires that the mutex is held.
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

// prefers reports whether a should be the probe rather than b.
func (h *hold) prefers(a, b *Call) bool {
	if i, j := h.rank(a), h.rank(b); i != j {
		return i < j
	}
	return a.place.Before(b.place)
}

// rank returns the rank of a call as a probe: calls with a lower rank come first.
func (h *hold) rank(call *Call) int {
	switch {
	case call.suspect:
		return math.MaxInt
	case call.failedProbeOf == h:
		return call.failedProbes / maxFailures
	}
	return 0
}

// rejects reports whether a call fails because the outage is too long. After the maximum, a new call is
// accepted if it has not been the probe and if another one is not. It requires that the mutex is held.
func (h *hold) rejects(call *Call) bool {
	return h.expiredAt != 0 && (call.number <= h.expiredAt || h.probe != nil || call.failedProbeOf == h)
}

// resumeDelay returns how long limiters admit no calls after an outage. The held calls need this time to return to
// their queues in order.
func resumeDelay(calls int) time.Duration {
	return 10*time.Millisecond + time.Duration(calls)*5*time.Microsecond
}

// end ends the hold; h may be nil. It requires that the mutex is held.
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
	var calls []*Call // including those that their model still holds
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
	defer func() { // even if a limiter of the caller panics
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

// expire ends the waits of all held calls. The hold itself continues: until the first Alive outcome, a new call
// is sent as a probe or fails.
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
