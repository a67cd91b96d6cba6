package outage

import "time"

// An Outcome is what an attempt says of the server.
type Outcome int

// The outcomes.
const (
	// Unclear says nothing: a timeout after the request was sent, say.
	Unclear Outcome = iota

	// Alive is a response with any status that is not Failing.
	Alive

	// Unreachable is a connection that could not be made, by TCP or TLS. It closes
	// the gate of the host, unless there was an Alive for an attempt that was sent
	// later.
	Unreachable

	// Failing is a response that says that nothing works, such as 503, or a
	// connection that broke before a response. Two attempts of different calls in a
	// row, without an Alive for an attempt that was sent after the first, close the
	// gate of their model, and if their models differ that of the host.
	Failing

	// Overloaded is a response that says that the model has too much to do. It
	// closes the gate of the model, and is a sign of life of the host.
	Overloaded
)

// A Change is what a report has changed.
type Change struct {
	Began, Ended []Outage
	Held         bool // the attempt failed in an outage, or never got to a server that answers others
	MayBegin     bool // the attempt failed in what may turn out to be the beginning of an outage
}

// Report is called when the outcome of the attempt that [Call.Enter] let pass is
// known. cause is its failure, retryAfter how long the server asks to wait.
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

// seenAlive notes a sign of life of the host, and if it works of the model, and
// returns the outages that this has ended. It requires that the mutex is held.
func (c *Call) recordAlive(works bool) (ended []Outage) {
	h, m := c.host, c.model
	h.wasAlive = true
	h.lastAlive = max(h.lastAlive, c.sent)
	if works {
		m.lastAlive = max(m.lastAlive, c.sent)
		if m.hold != nil && c.sent > m.hold.sentBefore {
			ended = append(ended, m.hold.Outage)
			m.hold.end()
		}
	}
	if h.hold != nil && c.sent > h.hold.sentBefore {
		ended = append(ended, h.hold.Outage)
		h.hold.end()
	}
	return ended
}

// evidence notes a failure, and returns the hold that it makes, if any. It requires
// that the mutex is held.
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
