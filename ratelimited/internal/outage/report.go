package outage

import "time"

// An Outcome is what an attempt shows about the server.
type Outcome int

// The outcomes of an attempt.
const (
	// Unclear does not show anything, for example a timeout after the request was sent.
	Unclear Outcome = iota

	// Alive is a response with any status that is not Failing.
	Alive

	// Unreachable is a connection that could not be made, by TCP or TLS. It begins a hold of the host, unless an
	// attempt that was sent later had an Alive outcome.
	Unreachable

	// Failing is a response such as 503, which shows that nothing works, or a connection that broke before a
	// response. Two successive ones of different calls begin a hold, unless an attempt that was sent after the
	// first one had an Alive outcome. They begin a hold of their model or, if their models differ, of the
	// host.
	Failing

	// Overloaded is a response that reports that the model is overloaded. It begins a hold of the model, and is an
	// Alive outcome for the host.
	Overloaded
)

// A Change describes the effects of a report.
type Change struct {
	Began, Ended []Outage
	Held         bool // the attempt failed in an outage, or could not reach a server that was alive before
	MayBegin     bool // the failure may be the beginning of an outage
}

// Report reports the outcome of an attempt that [Call.Enter] allowed. cause is its failure, and retryAfter the wait
// that the server requests.
func (c *Call) Report(outcome Outcome, cause error, retryAfter time.Duration) (change Change) {
	t := c.tracker
	if t.maxOutage <= 0 {
		return Change{}
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	probed := c.endProbe()
	var began *hold
	switch outcome {
	case Alive, Overloaded:
		change.Ended = c.recordAlive(outcome == Alive)
		if outcome == Overloaded && c.model.hold == nil {
			began = t.beginHold(c.host, c.name, c.model, c.sent, cause)
		}
	case Unreachable:
		if c.host.wasAlive && c.host.hold == nil && c.sent > c.host.lastAlive {
			began = t.beginHold(c.host, "", nil, c.sent, cause)
		}
	case Failing:
		if c.host.wasAlive {
			began = c.recordFailure(cause)
		}
	case Unclear:
	}
	if began != nil {
		change.Began = append(change.Began, began.Outage)
		began.scheduleProbe(retryAfter)
	}
	if probed != nil && probed.isActive() {
		if c.failedProbeOf != probed {
			c.failedProbeOf, c.failedProbes = probed, 0
		}
		if outcome == Failing {
			c.failedProbes++
		}
		if cause != nil {
			probed.Cause = cause
		}
		probed.scheduleProbe(retryAfter)
	}
	change.Held = outcome == Unreachable && c.host.wasAlive ||
		(outcome == Failing && !c.suspect || outcome == Overloaded) && c.holdOf() != nil
	change.MayBegin = outcome == Failing && !c.suspect
	switch {
	case outcome != Unreachable && outcome != Failing:
		c.failedAttempts, c.suspect = 0, false
	case change.Held:
		if c.failedAttempts++; c.failedAttempts == 1 {
			c.firstFailed = time.Now()
		}
		c.lastCause = cause
	}
	return change
}

// recordAlive records that the host is alive, and the model too if it works. It returns the outages that this
// ends. It requires that the mutex is held.
func (c *Call) recordAlive(works bool) (ended []Outage) {
	h, m := c.host, c.model
	h.wasAlive = true
	h.lastAlive = max(h.lastAlive, c.sent)
	if works {
		m.lastAlive = max(m.lastAlive, c.sent)
		if m.hold != nil && c.sent > m.hold.lastFailedSent {
			ended = append(ended, m.hold.Outage)
			m.hold.end()
		}
	}
	if h.hold != nil && c.sent > h.hold.lastFailedSent {
		ended = append(ended, h.hold.Outage)
		h.hold.end()
	}
	return ended
}

// recordFailure records a failure, and returns the hold that it begins, if any. It requires that the mutex is
// held.
func (c *Call) recordFailure(cause error) *hold {
	h, m := c.host, c.model
	if h.hold == nil && c.sent > h.lastAlive {
		for _, other := range h.models {
			if other != m && other.firstFailure.sentAfter(h.lastAlive) {
				return c.tracker.beginHold(h, "", nil, other.firstFailure.sent, cause)
			}
		}
	}
	if m.hold != nil || c.sent <= m.lastAlive {
		return nil
	}
	if f := m.firstFailure; f.sentAfter(m.lastAlive) && f.call != c.number {
		return c.tracker.beginHold(h, c.name, m, f.sent, cause)
	}
	m.firstFailure = failure{call: c.number, sent: c.sent}
	return nil
}
