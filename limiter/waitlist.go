package limiter

import "time"

// A waiter is a call in the queue. The limiter's mutex guards all fields except ready, until ready is
// closed.
type waiter struct {
	permit *Permit
	cost   cost
	since  time.Time

	// expectedStart is the first forecast of when the call starts, made when it is the head of
	// the queue. Zero: not known yet.
	expectedStart time.Time

	estimate *estimate // nil: the call's estimate never changes
	deadline *deadline // nil: the call is never dropped
	notifier *notifier // nil: the call has no OnQueue function
	promoted bool      // made the head although others have an earlier place
	list     *waitList // the list that holds the waiter

	ready chan struct{} // closed when the wait ends
	done  bool          // whether ready is closed
	err   error         // nil if the call was admitted; set before ready is closed

	prev, next *waiter
}

// A waitList is a linked list of waiters, ordered by the places of their permits. Promoted waiters
// come first.
type waitList struct {
	head, tail *waiter
	len        int
}

// push adds w behind every waiter whose place is not after w's. The search starts at both ends. A new
// call belongs at the tail, a retry near the head, and calls that return after an outage arrive nearly in
// order.
func (l *waitList) push(w *waiter) {
	place := w.permit.place
	after, before := l.tail, l.head // w belongs behind after, or in front of before
	for after != nil && place.Before(after.permit.place) {
		if place.Before(before.permit.place) && !before.promoted {
			for after = before.prev; after != nil && place.Before(after.permit.place); {
				after = after.prev // promoted
			}
			break
		}
		after, before = after.prev, before.next
	}
	w.prev = after
	if after == nil {
		w.next, l.head = l.head, w
	} else {
		w.next, after.next = after.next, w
	}
	if w.next == nil {
		l.tail = w
	} else {
		w.next.prev = w
	}
	l.len++
}

// position returns the position, from 1, that a call at place p would have in the list.
func (l *waitList) position(p Place) int {
	n := l.len + 1
	for w := l.tail; w != nil && p.Before(w.permit.place); w = w.prev {
		n--
	}
	return n
}

// promote makes w the head, regardless of its place.
func (l *waitList) promote(w *waiter) {
	if l.head == w {
		return
	}
	l.remove(w)
	w.promoted = true
	w.next, l.head.prev, l.head = l.head, w, w
	l.len++
}

func (l *waitList) remove(w *waiter) {
	if w.prev == nil {
		l.head = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		l.tail = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next = nil, nil
	l.len--
}
