package redislimiter

import (
	"maps"
	"slices"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

const (
	// horizon is after how long at most the head of the queue asks again. It bounds
	// how late a refund in another process is noticed: four thousandths of the
	// minute that tokens are counted in.
	horizon = 250 * time.Millisecond

	// grace is how much later than it was told to ask a process may do so without
	// losing what its ticket reserves; or three round trips, if they take longer.
	grace = 250 * time.Millisecond

	// Redis is asked again so long after it failed.
	again = 100 * time.Millisecond
)

// wake makes talk go on, or begin. It requires that l.mu is held.
func (l *Limiter) wake() {
	switch {
	case l.closed:
	case !l.talking:
		l.talking = true
		l.store.goroutines.Go(l.talk)
	default:
		select {
		case l.wakeup <- struct{}{}:
		default:
		}
	}
}

// talk tells Redis the news and asks for the head of the queue, again and again, until
// there is nothing to tell and nobody waits; or whether it is back, while it is away.
// A process starts at most one call in each round trip.
func (l *Limiter) talk() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		l.wire.Lock()
		l.mu.Lock()
		w, away := l.punctual(), !l.away.IsZero()
		l.withdraw(w)
		if w != nil && w.isStale() {
			w = nil // its goroutine wakes this one when it has a new estimate
		}
		if l.closed || w == nil && len(l.news) == 0 && !away {
			l.talking = false
			l.mu.Unlock()
			l.wire.Unlock()
			return
		}
		op, args, known := "state", []any(nil), len(l.news)
		if away {
			w = nil // no call starts before Redis has heard what it missed
		}
		if w != nil {
			op, args = "acquire", l.question(w)
		}
		l.mu.Unlock()
		r, err := l.try(known, op, args...)
		d, wakeup := l.answered(w, r, err), l.wakeup
		l.wire.Unlock()
		if d == 0 {
			continue
		}
		if err != nil {
			wakeup = nil // who has something new to say does not make it come back
		}
		timer.Reset(d)
		select {
		case <-timer.C:
		case <-wakeup:
		case <-l.store.ctx.Done():
		}
	}
}

// question is what is asked for a waiter. It requires that l.mu is held.
func (l *Limiter) question(w *waiter) []any {
	if w.asked = true; w.askedAt.IsZero() {
		w.askedAt = time.Now()
	}
	if w.permit.order == 0 {
		w.permit.order = l.next
	}
	backlog := len(l.queue.waiters)
	if w.attempt > 1 {
		backlog = 1 // its turn was long ago, and the others' is not
	}
	return []any{w.permit.id, w.permit.order, w.tokens, w.attempt, backlog, horizon.Microseconds(), max(grace, 3*l.roundTrip).Microseconds()}
}

// answered does what the answer to a waiter's question says, and returns how long to
// wait before the next. Without a waiter nothing was asked for.
func (l *Limiter) answered(w *waiter, r reply, err error) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		if l.isDown() {
			l.refuseAll()
		}
		return again
	}
	if w == nil {
		return 0
	}
	p := w.permit
	p.order = r.order
	switch {
	case w.over: // it left meanwhile, and there is news of that
	case r.status == "ok":
		p.local = nil
		if w.attempt == 1 {
			l.live[p.id] = p
			l.last = p.order
		}
		if l.isLate(w) {
			l.trial = time.Now()
		}
		l.grant(w)
		p.sent = w.askedAt // at the latest then Redis took it as sent
		l.leave(w, nil)
		if l.next = 0; l.queue.head() != nil {
			l.next = l.last + 1
		}
	case r.status == "large" && w.estimate.ask(): // the limit is lower than it was
		w.askedAt = time.Time{}
	case r.status == "large":
		l.refuse(w, &limiter.TooLargeError{Tokens: w.tokens, Capacity: int(r.value)})
	case l.isLate(w):
		l.giveWay(w)
	default:
		w.askedAt, l.ticket = time.Time{}, w
		return r.answer()
	}
	return 0
}

// withdraw takes back the ticket of a waiter that is not the head any more, since one
// with an earlier place has come: it would keep the head waiting like that of another
// process. It requires that l.mu is held.
func (l *Limiter) withdraw(head *waiter) {
	w := l.ticket
	if w == nil || w == head {
		return
	}
	l.ticket = nil
	if !w.over && !l.closed {
		w.asked = false
		l.news = append(l.news, news{op: "withdraw", id: w.permit.id, args: []any{w.attempt - 1}})
	}
}

// grant admits a waiter. It requires that l.mu is held.
func (l *Limiter) grant(w *waiter) {
	p, now := w.permit, time.Now()
	waited := now.Sub(w.since)
	l.counters.TotalWait += waited
	p.waited += waited
	p.sent, p.unsent = now, false
	if p.attempt++; p.attempt > 1 {
		l.counters.Retried++
	} else {
		l.counters.Admitted++
		l.inFlight++
		l.heldTokens += p.tokens
	}
}

// beat renews the leases of the calls in flight. It speaks up also where there is none,
// as long as it would have something to bring if the books were lost, or might have to
// do without Redis and needs to know how much is left.
func (l *Limiter) beat() {
	l.mu.Lock()
	calls, used := slices.Collect(maps.Values(l.live)), l.recent.sum(time.Now())
	l.mu.Unlock()
	if len(calls) == 0 && used == 0 && l.store.config.Fallback == 0 {
		return
	}
	for {
		n := min(len(calls), most)
		// A call may have ended since. Renewing its lease after Redis was told would hold
		// its tokens again.
		inFlight := func() []any {
			return leases(slices.Values(slices.DeleteFunc(calls[:n:n], func(p *Permit) bool { return p.finished })))
		}
		if _, err := l.doWith("renew", inFlight); err != nil {
			return // the next beat does it
		}
		if calls = calls[n:]; len(calls) == 0 {
			return
		}
	}
}
