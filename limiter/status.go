package limiter

import (
	"context"
	"errors"
	"math"
	"time"
)

// QueueStatus is where a call waits, and for how long it is expected to.
type QueueStatus struct {
	// Position is which of the calls that wait is expected to start first: 1 is the next one. The
	// calls of other classes count as far as they are expected to start before.
	Position int
	// Expected is how long the call is expected to wait from now, if nobody comes and the calls that wait use
	// what they are estimated at.
	Expected time.Duration
}

// statusInterval is how often a call is told of its position at most.
const statusInterval = time.Second

// errStatus ends the wait of a call whose OnQueue did not return. Only other goroutines can see it: the one
// that waited panics, or exits.
var errStatus = errors.New("limiter: OnQueue did not return")

// A watch tells a caller where its call waits. The limiter's mutex guards it, but for news. A nil
// watch tells nothing.
type watch struct {
	onQueue  func(QueueStatus)
	latest   QueueStatus
	forecast time.Duration // at first: for how long the call would wait
	news     chan struct{} // has a value when latest has changed
	telling  bool          // the caller is being told
	at       time.Time     // when latest was set
}

func newWatch(c Call) *watch {
	if c.OnQueue == nil {
		return nil
	}
	return &watch{onQueue: c.OnQueue, news: make(chan struct{}, 1)}
}

// set notes where the call waits now, unless that was noted less than statusInterval ago.
func (h *watch) set(now time.Time, s QueueStatus) {
	if h == nil || s == h.latest || now.Sub(h.at) < statusInterval {
		return
	}
	h.latest, h.at = s, now
	select {
	case h.news <- struct{}{}:
	default: // the caller has not heard of the one before yet
	}
}

// await reports true when the wait of w is over, or false when ctx is done. Meanwhile it calls the
// functions of the call, in the goroutine of the caller.
func (l *Limiter) await(ctx context.Context, w *waiter) bool {
	var asks, news chan struct{}
	if w.estimate != nil {
		asks = w.estimate.asks
	}
	if w.watch != nil {
		news = w.watch.news
	}
	for {
		select {
		case <-w.ready:
			return true
		case <-asks:
			l.estimateAgain(ctx, w)
		case <-news:
			l.tell(w)
		case <-ctx.Done():
			return false
		}
	}
}

// foresee notes where a call that has just come waits. It requires that l.mu is held.
func (l *Limiter) foresee(now time.Time, w *waiter, position int, d time.Duration) {
	if w.watch != nil {
		w.watch.set(now, QueueStatus{position, l.expect(d)})
		w.watch.forecast = d
	}
}

// A forecast does not know who will come and pass those who wait, nor who of them will pass others. So waits are
// foretold by a factor longer or shorter, which follows the median of what came of such words: it
// changes by factorStep with each call, from 1/maxFactor to maxFactor.
const (
	factorStep = 0.02
	maxFactor  = 3
	tolerance  = 0.01 // as good as foretold
)

// expect returns how long a wait is foretold to be that a forecast has as d. It requires that l.mu is held.
func (l *Limiter) expect(d time.Duration) time.Duration {
	if longer := float64(d) * (1 + l.factor); longer < math.MaxInt64 {
		return time.Duration(longer)
	}
	return Never
}

// hindsight learns from a wait that is over how long the next ones should be foretold to be. It requires that l.mu is
// held.
func (l *Limiter) hindsight(w *waiter, waited time.Duration) {
	if w.watch == nil || w.watch.forecast < statusInterval {
		return
	}
	factor := 1 + l.factor
	switch ratio := float64(waited) / (factor * float64(w.watch.forecast)); {
	case ratio > 1+tolerance:
		factor = min(maxFactor, factor*(1+factorStep))
	case ratio < 1-tolerance:
		factor = max(1.0/maxFactor, factor/(1+factorStep))
	}
	l.factor = factor - 1
}

// tell tells the caller of w where its call waits.
func (l *Limiter) tell(w *waiter) {
	l.mu.Lock()
	status, over := w.watch.latest, w.over
	w.watch.telling = !over
	l.mu.Unlock()
	if over {
		return
	}
	told := false
	defer func() {
		l.mu.Lock()
		w.watch.telling = false
		if told {
			l.mu.Unlock()
			return
		}
		granted := w.over && w.err == nil
		if !w.over {
			l.refuse(w, errStatus)
			l.pump(time.Now())
		}
		l.mu.Unlock()
		if granted { // meanwhile
			w.permit.Cancel()
		}
	}()
	w.watch.onQueue(status)
	told = true
}

// watch has a waiter that wants it told where it waits, each second, for n = 1, or no longer for -1. It
// requires that l.mu is held.
func (l *Limiter) watch(w *waiter, n int) {
	if w.watch == nil {
		return
	}
	l.watching += n
	switch {
	case l.watching == 0 && l.status != nil:
		l.status.Stop()
		l.status = nil
	case l.watching > 0 && l.status == nil:
		l.status = time.AfterFunc(statusInterval, l.tellAll)
	}
}

// tellAll is the timer's.
func (l *Limiter) tellAll() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.watching == 0 {
		return // the timer was stopped too late
	}
	now := time.Now()
	f, position := l.newForecast(now), 0
	for w := range l.queue.inOrder(l.limit.seconds) {
		f.start(w.cost)
		position++
		w.watch.set(now, QueueStatus{position, l.expect(f.passed)})
	}
	l.status.Reset(statusInterval)
}
