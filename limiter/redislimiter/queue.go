package redislimiter

import (
	"container/heap"
	"context"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// waiter is a call, or a further attempt of one, that waits for its admission. Until ready is
// closed, the limiter's mutex guards all fields except ready.
type waiter struct {
	permit   *Permit
	call     limiter.Call
	tokens   int       // The tokens of call.
	deadline time.Time // Zero: the call is never rejected as late.
	attempt  int
	since    time.Time
	estimate *estimate // Nil: the estimate of the call never changes.

	requested   bool      // Redis may have a ticket or a permit of this waiter.
	requestedAt time.Time // The first acquire command since the latest response; zero: none.
	done        bool
	err         error
	ready       chan struct{}           // Closed when done.
	cancel      context.CancelCauseFunc // Set while the waiter waits in the fallback instead of the queue.
	index       int                     // The index in the queue.
}

// queue holds the waiters of one process, ordered by the places of their permits.
type queue struct {
	waiters byOrder
	tokens  int // The sum over all waiters.
}

func (q *queue) head() *waiter {
	if len(q.waiters) == 0 {
		return nil
	}
	return q.waiters[0]
}

func (q *queue) push(w *waiter) {
	q.tokens += w.tokens
	heap.Push(&q.waiters, w)
}

func (q *queue) remove(w *waiter) {
	q.tokens -= w.tokens
	heap.Remove(&q.waiters, w.index)
}

type byOrder []*waiter

func (b byOrder) Len() int { return len(b) }

// Less orders waiters of the same place by their arrival.
func (b byOrder) Less(i, j int) bool {
	if p, q := b[i].permit.place, b[j].permit.place; p != q {
		return p.Before(q)
	}
	return b[i].since.Before(b[j].since)
}

func (b byOrder) Swap(i, j int) {
	b[i], b[j] = b[j], b[i]
	b[i].index, b[j].index = i, j
}

func (b *byOrder) Push(x any) {
	w := x.(*waiter)
	w.index = len(*b)
	*b = append(*b, w)
}

func (b *byOrder) Pop() any {
	last := len(*b) - 1
	w := (*b)[last]
	(*b)[last] = nil
	*b = (*b)[:last]
	return w
}
