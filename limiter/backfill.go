package limiter

import (
	"math"
	"time"
)

// backfillDepth bounds how many waiters behind the head backfill examines, and so the cost of every
// change of the balance.
const backfillDepth = 32

// backfill returns a waiter that can start now without delaying the head of the queue, or the time
// until there may be one. While a large call waits until much of the window is free, tokens that are too
// few for it would otherwise remain unused for most of a minute. A waiter is backfilled if the head is
// expected to start as soon as without it. That requires that enough tokens remain when the head starts,
// and that the waiter's request has left the window by then.
//
// A head that is short of time before its deadline is never passed.
//
// Backfilling needs a guard. A limiter of two buckets is strictly first come, first served. The caller
// must hold l.mu, and the head must not be able to start now.
func (l *Limiter) backfill(now time.Time) (*waiter, time.Duration) {
	g := l.budget.guard
	head := l.queue.head()
	if g == nil || l.isFull() || head.cost.tokens == 0 || head.deadline.isTight(now) {
		return nil, Never
	}
	if d := l.paused(now); d > 0 {
		return nil, d
	}
	spare, wait, known := g.spare(g.at(now), head.cost, l.budget.bucketWait(now, head.cost))
	if known && !l.isOnSchedule(head, now.Add(wait)) {
		return nil, Never
	}
	spare = min(spare, int(l.budget.tokens.level(now).after(wait).balance)-head.cost.tokens)
	next := Never
	if spare <= 0 {
		return nil, next
	}
	looked := 0
	for w := range l.queue.behind(head) {
		if looked++; looked > backfillDepth {
			break
		}
		if w.cost.tokens <= spare {
			d := l.budget.wait(now, w.cost)
			if d == 0 && wait >= g.requests.span {
				if w.isStale(now) {
					return nil, Never // applyEstimate calls dispatch again
				}
				return w, 0
			}
			if d < wait-g.requests.span {
				next = min(next, d)
			}
		}
	}
	return nil, next
}

// maxDelay is how much later than first expected the head of the queue may start. If it would start
// later, no further call is backfilled.
const maxDelay = time.Second

// isOnSchedule reports whether the head can still start at about the expected time. Backfilled calls
// should not delay it. Without this check, calls that use more than their estimates could delay it
// forever.
func (l *Limiter) isOnSchedule(head *waiter, start time.Time) bool {
	if head.expectedStart.IsZero() {
		head.expectedStart = start
	}
	return !start.After(head.expectedStart.Add(maxDelay))
}

// spare returns how many tokens a backfilled call may take now without delaying the head of the queue.
// It also returns how long the head has to wait at least, and whether that wait is known. others is the head's wait for
// other reasons than tokens.
//
// The calls in flight count at their expected usage, because they will have ended when the head starts.
// If the head has to wait for one of them, spare assumes that it is the largest one. Its tokens leave the
// window no sooner than a span from now.
func (g *guard) spare(now time.Duration, head cost, others time.Duration) (tokens int, wait time.Duration, known bool) {
	small, large := g.uncharged()
	expected := float64(small)*max(1, g.meanActual/max(1, g.meanEstimate)) + float64(large) + g.headroom()
	inFlight := int(math.Ceil(expected))
	room := g.tokens.limit - min(head.tokens, g.tokens.limit) - inFlight
	wait = max(others, g.tokenWait(now, head.tokens, inFlight))
	if wait == Never {
		largest := 0
		for _, n := range g.largeInFlight {
			largest = max(largest, n)
		}
		return room + largest, g.tokens.span, false
	}
	return room - g.tokens.usedAt(now+wait) - g.externalUsageAt(now+wait), wait, true
}
