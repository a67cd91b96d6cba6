package limiter

import "time"

// A waiter is a call that waits to be admitted. All fields but ready are
// guarded by the limiter's mutex until ready is closed.
type waiter struct {
	permit *Permit
	cost   cost
	since  time.Time

	// expectedStart is when it was first expected to start, once it is the head and
	// that is known.
	expectedStart time.Time

	estimate *estimate // nil: the call keeps the estimate that it came with
	deadline *deadline // nil: the call never gives way
	notifier *notifier // nil: nobody wants to know where it waits
	promoted bool      // it was made the head although others have an earlier place
	list     *waitList // in which it waits

	ready chan struct{} // closed when the wait is over
	done  bool          // ready is closed
	err   error         // why the call was not admitted, set before ready is closed

	prev, next *waiter
}

// A waitList is the waiters of a class in the order of their permits' places, but for those that were
// promoted.
type waitList struct {
	head, tail *waiter
	len        int
}

// push adds w behind every waiter whose place is not after its own. A new call goes
// to the end, a retry near the front, and calls that come back after an outage
// arrive nearly in order: so the search begins at both ends.
func (l *waitList) push(w *waiter) {
	place := w.permit.place
	after, before := l.tail, l.head // w belongs behind the one or in front of the other
	for after != nil && place.Before(after.permit.place) {
		if place.Before(before.permit.place) && !before.promoted {
			for after = before.prev; after != nil && place.Before(after.permit.place); {
				after = after.prev // it was promoted
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

// position returns what a call's position would be, from 1, if it joined.
func (l *waitList) position(p Place) int {
	n := l.len + 1
	for w := l.tail; w != nil && p.Before(w.permit.place); w = w.prev {
		n--
	}
	return n
}

// promote makes w the head, whatever its place is.
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
