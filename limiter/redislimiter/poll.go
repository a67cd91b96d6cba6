package redislimiter

import (
	"maps"
	"slices"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

const (
	// maxPollInterval is the maximum time between two acquire commands for the head of the
	// queue. It bounds how late this process notices a refund in another one. It is 0.4% of
	// the minute in which tokens are counted.
	maxPollInterval = 250 * time.Millisecond

	// ticketGrace is how much later than planned a process may ask again before its ticket
	// expires; three round trips if those take longer.
	ticketGrace = 250 * time.Millisecond

	// retryInterval is the time between two commands while Redis is unreachable.
	retryInterval = 100 * time.Millisecond
)

// wake starts the poll loop or makes it continue. l.mu must be held.
func (l *Limiter) wake() {
	switch {
	case l.closed:
	case !l.polling:
		l.polling = true
		l.store.goroutines.Go(l.poll)
	default:
		select {
		case l.wakeup <- struct{}{}:
		default:
		}
	}
}

// poll is the poll loop. It sends the pending updates and asks Redis to admit the head of the
// queue, until nothing is pending and the queue is empty. While Redis is unreachable it retries.
// A process starts at most one call in each round trip.
func (l *Limiter) poll() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		l.commandMu.Lock()
		l.mu.Lock()
		w, unreachable := l.nextWaiter(), !l.unreachableSince.IsZero()
		l.withdraw(w)
		if w != nil && w.isStale() {
			w = nil // its goroutine wakes the loop when it has a new estimate
		}
		if l.closed || w == nil && len(l.pending) == 0 && !unreachable {
			l.polling = false
			l.mu.Unlock()
			l.commandMu.Unlock()
			return
		}
		op, args, updates := "state", []any(nil), len(l.pending)
		if unreachable {
			w = nil // no call starts before Redis has the pending updates
		}
		if w != nil {
			op, args = "acquire", l.acquireArgs(w)
		}
		l.mu.Unlock()
		r, err := l.tryCommand(updates, op, args...)
		d, wakeup := l.handleResponse(w, r, err), l.wakeup
		l.commandMu.Unlock()
		if d == 0 {
			continue
		}
		if err != nil {
			wakeup = nil // a new update does not justify an earlier retry
		}
		timer.Reset(d)
		select {
		case <-timer.C:
		case <-wakeup:
		case <-l.store.ctx.Done():
		}
	}
}

// acquireArgs returns the arguments of the acquire command for a waiter. l.mu must be held.
func (l *Limiter) acquireArgs(w *waiter) []any {
	if w.requested = true; w.requestedAt.IsZero() {
		w.requestedAt = time.Now()
	}
	if w.permit.order == 0 {
		w.permit.order = l.next
	}
	backlog := len(l.queue.waiters)
	if w.attempt > 1 {
		backlog = 1 // only the retry has an old order, not the calls behind it
	}
	return []any{w.permit.id, w.permit.order, w.tokens, w.attempt, backlog, maxPollInterval.Microseconds(), max(ticketGrace, 3*l.roundTrip).Microseconds()}
}

// handleResponse applies the response to the acquire command for w and returns how long to wait
// before the next command. A nil w means that the command asked for no admission.
func (l *Limiter) handleResponse(w *waiter, r response, err error) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		if l.isDown() {
			l.failAll()
		}
		return retryInterval
	}
	if w == nil {
		return 0
	}
	p := w.permit
	p.order = r.order
	switch {
	case w.done: // its wait ended meanwhile; an update reports this
	case r.status == "ok":
		p.local = nil
		if w.attempt == 1 {
			l.live[p.id] = p
			l.last = p.order
		}
		if l.isLate(w) {
			l.trial = time.Now()
		}
		l.recordAdmission(w)
		p.sent = w.requestedAt // the earliest time at which Redis may have counted it
		l.dequeue(w, nil)
		if l.next = 0; l.queue.head() != nil {
			l.next = l.last + 1
		}
	case r.status == "large" && w.estimate.request(): // the limit was lowered
		w.requestedAt = time.Time{}
	case r.status == "large":
		l.fail(w, &limiter.TooLargeError{Tokens: w.tokens, Capacity: int(r.value)})
	case l.isLate(w):
		l.failLate(w)
	default:
		w.requestedAt, l.ticket = time.Time{}, w
		return r.duration()
	}
	return 0
}

// withdraw removes the ticket of a waiter that is not the head any more, because a waiter with an
// earlier place has arrived. Otherwise the head would wait for this ticket as for that of
// another process. l.mu must be held.
func (l *Limiter) withdraw(head *waiter) {
	w := l.ticket
	if w == nil || w == head {
		return
	}
	l.ticket = nil
	if !w.done && !l.closed {
		w.requested = false
		l.pending = append(l.pending, update{op: "withdraw", id: w.permit.id, args: []any{w.attempt - 1}})
	}
}

// recordAdmission updates the permit and the counters of an admitted waiter. l.mu must be held.
func (l *Limiter) recordAdmission(w *waiter) {
	p, now := w.permit, time.Now()
	waited := now.Sub(w.since)
	l.counters.TotalWait += waited
	p.waitDuration += waited
	p.sent, p.returned = now, false
	if p.attempt++; p.attempt > 1 {
		l.counters.Retried++
	} else {
		l.counters.Admitted++
		l.inFlight++
		l.heldTokens += p.tokens
	}
}

// renewLeases renews the leases of the calls in flight. It also sends a command without such
// calls if this process has recent usage, so that it notices when Redis lost the state. With a
// fallback it always sends a command, because the fallback needs a recent balance.
func (l *Limiter) renewLeases() {
	l.mu.Lock()
	calls, used := slices.Collect(maps.Values(l.live)), l.recent.sum(time.Now())
	l.mu.Unlock()
	if len(calls) == 0 && used == 0 && l.store.config.Fallback == 0 {
		return
	}
	for {
		n := min(len(calls), maxPerCommand)
		// Skip calls that ended meanwhile. Redis may have applied their end; a renewal would
		// hold their tokens again.
		inFlight := func() []any {
			return leases(slices.Values(slices.DeleteFunc(calls[:n:n], func(p *Permit) bool { return p.finished })))
		}
		if _, err := l.doWith("renew", inFlight); err != nil {
			return // the next tick tries again
		}
		if calls = calls[n:]; len(calls) == 0 {
			return
		}
	}
}
