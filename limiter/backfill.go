package limiter

import (
	"math"
	"time"
)

// backfillDepth bounds how many waiters behind the head are looked at for one
// that may pass it, and so the cost of every change of the balance.
const backfillDepth = 32

// backfill returns a waiter that can start now without delaying the head of the
// queue, or else how long until there may be one. A large call waits until much
// of the window has become free; what is too little for it would otherwise stay
// unused for most of a minute. A waiter passes if, by what is known and expected,
// the head can start as soon as without it: there are tokens to spare when the
// head starts, and the request is out of its window by then.
//
// Nobody passes a head that is short of time before its deadline.
//
// Only a guard can tell. The buckets alone are strictly first come, first served.
// It requires that l.mu is held, and that the head cannot start now.
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
					return nil, Never // its goroutine goes on
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

// maxDelay is how much later the head of the queue may start than it was first
// expected to, before nobody passes it any more.
const maxDelay = time.Second

// isOnSchedule reports whether the head can still start when it was first expected
// to. What passes it is expected to leave it that time; if calls use more than
// that again and again, they would put it off for ever.
func (l *Limiter) isOnSchedule(head *waiter, start time.Time) bool {
	if head.expectedStart.IsZero() {
		head.expectedStart = start
	}
	return !start.After(head.expectedStart.Add(maxDelay))
}

// spare returns how many tokens a call may take now that passes the head of the
// queue, so that the head can start as soon as if it had not; how long the head
// has to wait at least; and whether that is known. others is the wait that the
// head has for other reasons.
//
// It takes the calls in flight as what they are expected to use, because they
// will have ended when the head starts. If the head has to wait for one of them,
// that is the largest, and leaves the window no sooner than a span from now.
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
