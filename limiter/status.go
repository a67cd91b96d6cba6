package limiter

import (
	"context"
	"errors"
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
	onQueue func(QueueStatus)
	latest  QueueStatus
	news    chan struct{} // has a value when latest has changed
}

func newWatch(c Call) *watch {
	if c.OnQueue == nil {
		return nil
	}
	return &watch{onQueue: c.OnQueue, news: make(chan struct{}, 1)}
}

// set notes where the call waits now.
func (h *watch) set(s QueueStatus) {
	if h == nil || s == h.latest {
		return
	}
	h.latest = s
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

// tell tells the caller of w where its call waits.
func (l *Limiter) tell(w *waiter) {
	l.mu.Lock()
	status, over := w.watch.latest, w.over
	l.mu.Unlock()
	if over {
		return
	}
	told := false
	defer func() {
		if told {
			return
		}
		l.mu.Lock()
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
	f, position := l.newForecast(time.Now()), 0
	for w := range l.queue.inOrder(l.limit.seconds) {
		f.start(w.cost)
		position++
		w.watch.set(QueueStatus{position, f.passed})
	}
	l.status.Reset(statusInterval)
}
