package redislimiter

import (
	"maps"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

const (
	// horizon is after how long at most the head of the queue asks again. It bounds
	// how late a refund in another process is noticed: four thousandths of the
	// minute that tokens are counted in.
	horizon = 250 * time.Millisecond

	// grace is how much later than it was told to ask a process may do so without
	// losing what its ticket reserves.
	grace = 250 * time.Millisecond

	// Redis is asked again so long after it failed.
	again = 100 * time.Millisecond
)

// dispatch asks Redis for the head of the queue, again and again, until nobody waits.
// There is one at a time, so a process has one question under way for each model, and
// starts at most one call in each round trip.
func (l *Limiter) dispatch() {
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		l.mu.Lock()
		w := l.queue.head()
		if w == nil {
			l.dispatching = false
			l.mu.Unlock()
			return
		}
		w.asked, w.asking = true, true
		if w.permit.order == 0 {
			w.permit.order = l.next
		}
		order, backlog := w.permit.order, len(l.queue.waiters)
		if w.attempt > 1 {
			backlog = 1 // its turn was long ago, and the others' is not
		}
		l.mu.Unlock()
		r, err := l.do("acquire", w.permit.id, order, w.tokens, w.attempt, backlog, horizon.Microseconds(), grace.Microseconds())
		d := l.answered(w, r, err)
		if d == 0 {
			continue
		}
		timer.Reset(d)
		select {
		case <-timer.C:
		case <-l.wakeup:
		}
	}
}

// answered does what the answer to a waiter's question says, and returns how long to
// wait before the next.
func (l *Limiter) answered(w *waiter, r reply, err error) time.Duration {
	l.mu.Lock()
	defer l.mu.Unlock()
	w.asking = false
	if err != nil {
		if w.over {
			go l.undo(w, false)
		}
		return l.failed(err)
	}
	w.permit.order = r.order
	switch {
	case w.over: // it left meanwhile
		go l.undo(w, r.status == "ok")
	case r.status == "ok":
		l.grant(w)
	case r.status == "large":
		l.refuse(w, &limiter.TooLargeError{Tokens: w.tokens, Capacity: int(r.value)})
	default:
		return r.answer()
	}
	return 0
}

// failed returns how long to wait before Redis is asked again. When it has been away
// for too long, all who wait fail. It requires that l.mu is held.
func (l *Limiter) failed(err error) time.Duration {
	if l.store.ctx.Err() == nil && !l.isDown() {
		return again
	}
	for w := l.queue.head(); w != nil; w = l.queue.head() {
		l.refuse(w, err)
	}
	return 0
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
		if p.local == nil {
			l.live[p.id] = p
		}
	}
	if !w.over {
		l.leave(w, nil)
	}
	if w.attempt == 1 {
		l.last = p.order
	}
	if l.next = 0; l.queue.head() != nil {
		l.next = l.last + 1
	}
}

// probe asks a Redis that is away until it is back.
func (l *Limiter) probe() {
	for {
		select {
		case <-l.store.ctx.Done():
			return
		case <-time.After(again):
		}
		if _, err := l.try("state"); err == nil {
			l.beat()
			return
		}
	}
}

// beat renews the leases of the calls in flight and delivers what is still to be.
func (l *Limiter) beat() {
	l.mu.Lock()
	var ids []any
	for id := range l.live {
		ids = append(ids, id)
	}
	outbox := maps.Clone(l.outbox)
	for id := range outbox {
		ids = append(ids, id)
	}
	owed := l.owed
	l.mu.Unlock()
	for len(ids) > 0 {
		n := min(len(ids), most)
		if _, err := l.do("renew", ids[:n]...); err != nil {
			return // the next beat does it
		}
		ids = ids[n:]
	}
	for id, say := range outbox {
		l.deliver(say[0].(string), id, say[1:]...)
	}
	if owed > 0 {
		if _, err := l.do("charge", owed); err == nil {
			l.mu.Lock()
			l.owed -= owed
			l.mu.Unlock()
		}
	}
}
