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
	Evidence     bool // the attempt failed in what may turn out to be the beginning of an outage
}

// Report is called when the outcome of the attempt that [Call.Enter] let pass is
// known. cause is its failure, retryAfter how long the server asks to wait.
func (c *Call) Report(outcome Outcome, cause error, retryAfter time.Duration) (change Change) {
	g := c.gates
	if g.max <= 0 {
		return Change{}
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	probed := c.resign()
	var began *hold
	switch outcome {
	case Alive, Overloaded:
		change.Ended = c.seenAlive(outcome == Alive)
		if outcome == Overloaded && c.model.hold == nil {
			began = g.close(c.host, c.name, c.model, c.sent, cause)
		}
	case Unreachable:
		if c.host.answered && c.host.hold == nil && c.sent > c.host.alive {
			began = g.close(c.host, "", nil, c.sent, cause)
		}
	case Failing:
		if c.host.answered {
			began = c.evidence(cause)
		}
	case Unclear:
	}
	if began != nil {
		change.Began = append(change.Began, began.Outage)
		began.schedule(retryAfter)
	}
	if probed != nil && probed.isClosed() {
		if c.tried != probed {
			c.tried, c.failures = probed, 0
		}
		if outcome == Failing {
			c.failures++
		}
		if cause != nil {
			probed.Cause = cause
		}
		probed.schedule(retryAfter)
	}
	change.Held = outcome == Unreachable && c.host.answered ||
		(outcome == Failing && !c.suspect || outcome == Overloaded) && c.holdOf() != nil
	change.Evidence = outcome == Failing && !c.suspect
	switch {
	case outcome != Unreachable && outcome != Failing:
		c.misses, c.suspect = 0, false
	case change.Held:
		if c.misses++; c.misses == 1 {
			c.first = time.Now()
		}
		c.cause = cause
	}
	return change
}

// seenAlive notes a sign of life of the host, and if it works of the model, and
// returns the outages that this has ended. It requires that the mutex is held.
func (c *Call) seenAlive(works bool) (ended []Outage) {
	h, m := c.host, c.model
	h.answered = true
	h.alive = max(h.alive, c.sent)
	if works {
		m.alive = max(m.alive, c.sent)
		if m.hold != nil && c.sent > m.hold.sent {
			ended = append(ended, m.hold.Outage)
			m.hold.open()
		}
	}
	if h.hold != nil && c.sent > h.hold.sent {
		ended = append(ended, h.hold.Outage)
		h.hold.open()
	}
	return ended
}

// evidence notes a failure, and returns the hold that it makes, if any. It requires
// that the mutex is held.
func (c *Call) evidence(cause error) *hold {
	h, m := c.host, c.model
	if h.hold == nil && c.sent > h.alive {
		for _, other := range h.models {
			if other != m && other.failure.since(h.alive) {
				return c.gates.close(h, "", nil, other.failure.sent, cause)
			}
		}
	}
	if m.hold != nil || c.sent <= m.alive {
		return nil
	}
	if f := m.failure; f.since(m.alive) && f.call != c.number {
		return c.gates.close(h, c.name, m, f.sent, cause)
	}
	m.failure = failure{call: c.number, sent: c.sent}
	return nil
}
