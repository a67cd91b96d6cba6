package limiter

import "time"

// A waiter is a call that waits to be admitted. All fields but ready are
// guarded by the limiter's mutex until ready is closed.
type waiter struct {
	permit *Permit
	cost   cost
	since  time.Time

	// promised is when it was first expected to start, once it is the head and
	// that is known.
	promised time.Time

	ready chan struct{} // closed when the wait is over
	over  bool          // ready is closed
	err   error         // why the call was not admitted, set before ready is closed

	prev, next *waiter
}

// A queue is the waiters in the order of their permits' sequence numbers.
type queue struct {
	head, tail *waiter
	len        int
}

// push adds w behind every waiter with a lower sequence number. A new call has
// the highest of all and goes to the end. A retry belongs to a call that was
// admitted before, so only other retries can be in front of it: the search from
// the head passes no one else.
func (q *queue) push(w *waiter) {
	after := q.tail
	if after != nil && after.permit.seq > w.permit.seq {
		after = nil
		for next := q.head; next.permit.seq < w.permit.seq; next = next.next {
			after = next
		}
	}
	w.prev = after
	if after == nil {
		w.next, q.head = q.head, w
	} else {
		w.next, after.next = after.next, w
	}
	if w.next == nil {
		q.tail = w
	} else {
		w.next.prev = w
	}
	q.len++
}

func (q *queue) remove(w *waiter) {
	if w.prev == nil {
		q.head = w.next
	} else {
		w.prev.next = w.next
	}
	if w.next == nil {
		q.tail = w.prev
	} else {
		w.next.prev = w.prev
	}
	w.prev, w.next = nil, nil
	q.len--
}
