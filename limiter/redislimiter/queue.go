package redislimiter

import (
	"container/heap"
	"context"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// A waiter is a call, or a further attempt of one, that waits to be admitted. All
// fields but ready are guarded by the limiter's mutex until ready is closed.
type waiter struct {
	permit   *Permit
	call     limiter.Call
	tokens   int       // of call
	deadline time.Time // zero: the call never gives way
	attempt  int
	since    time.Time
	estimate *estimate // nil: the call keeps the estimate that it came with

	asked   bool      // Redis may know of it
	askedAt time.Time // first, since the latest answer
	over    bool
	err     error
	ready   chan struct{}           // closed when it is over
	cancel  context.CancelCauseFunc // while it waits for what stands in for Redis, not in the queue
	index   int                     // in the queue
}

// A queue is the waiters of one process, by the places of their permits.
type queue struct {
	waiters byOrder
	tokens  int // of all
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

// Less orders waiters of one place by when they came.
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
