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

// A notifier tells a caller where its call waits. The limiter's mutex guards it, but for news. A nil
// notifier tells nothing.
type notifier struct {
	onQueue   func(QueueStatus)
	latest    QueueStatus
	forecast  time.Duration // at first: for how long the call would wait
	changed   chan struct{} // has a value when latest has changed
	notifying bool          // the caller is being told
	setAt     time.Time     // when latest was set
}

func newNotifier(c Call) *notifier {
	if c.OnQueue == nil {
		return nil
	}
	return &notifier{onQueue: c.OnQueue, changed: make(chan struct{}, 1)}
}

// set notes where the call waits now, unless that was noted less than statusInterval ago.
func (h *notifier) set(now time.Time, s QueueStatus) {
	if h == nil || s == h.latest || now.Sub(h.setAt) < statusInterval {
		return
	}
	h.latest, h.setAt = s, now
	select {
	case h.changed <- struct{}{}:
	default: // the caller has not heard of the one before yet
	}
}

// await reports true when the wait of w is over, or false when ctx is done. Meanwhile it calls the
// functions of the call, in the goroutine of the caller.
func (l *Limiter) await(ctx context.Context, w *waiter) bool {
	var asks, news chan struct{}
	if w.estimate != nil {
		asks = w.estimate.refresh
	}
	if w.notifier != nil {
		news = w.notifier.changed
	}
	for {
		select {
		case <-w.ready:
			return true
		case <-asks:
			l.refreshEstimate(ctx, w)
		case <-news:
			l.notify(w)
		case <-ctx.Done():
			return false
		}
	}
}

// recordForecast notes where a call that has just come waits. It requires that l.mu is held.
func (l *Limiter) recordForecast(now time.Time, w *waiter, position int, d time.Duration) {
	if w.notifier != nil {
		w.notifier.set(now, QueueStatus{position, l.correctForecast(d)})
		w.notifier.forecast = d
	}
}

// A forecast does not know who will come and pass those who wait, nor who of them will pass others. So waits are
// foretold by a factor longer or shorter, which follows the median of what came of such words: it
// changes by biasStep with each call, from 1/maxBias to maxBias.
const (
	biasStep      = 0.02
	maxBias       = 3
	biasTolerance = 0.01 // as good as foretold
)

// correctForecast returns how long a wait is foretold to be that a forecast has as d. It requires that l.mu is held.
func (l *Limiter) correctForecast(d time.Duration) time.Duration {
	if longer := float64(d) * (1 + l.forecastBias); longer < math.MaxInt64 {
		return time.Duration(longer)
	}
	return Never
}

// learnForecastBias learns from a wait that is over how long the next ones should be foretold to be. It requires that l.mu is
// held.
func (l *Limiter) learnForecastBias(w *waiter, waited time.Duration) {
	if w.notifier == nil || w.notifier.forecast < statusInterval {
		return
	}
	factor := 1 + l.forecastBias
	switch ratio := float64(waited) / (factor * float64(w.notifier.forecast)); {
	case ratio > 1+biasTolerance:
		factor = min(maxBias, factor*(1+biasStep))
	case ratio < 1-biasTolerance:
		factor = max(1.0/maxBias, factor/(1+biasStep))
	}
	l.forecastBias = factor - 1
}

// notify tells the caller of w where its call waits.
func (l *Limiter) notify(w *waiter) {
	l.mu.Lock()
	status, over := w.notifier.latest, w.done
	w.notifier.notifying = !over
	l.mu.Unlock()
	if over {
		return
	}
	told := false
	defer func() {
		l.mu.Lock()
		w.notifier.notifying = false
		if told {
			l.mu.Unlock()
			return
		}
		granted := w.done && w.err == nil
		if !w.done {
			l.abandon(w, errStatus)
			l.dispatch(time.Now())
		}
		l.mu.Unlock()
		if granted { // meanwhile
			w.permit.Cancel()
		}
	}()
	w.notifier.onQueue(status)
	told = true
}

// countNotifier has a waiter that wants it told where it waits, each second, for n = 1, or no longer for -1. It
// requires that l.mu is held.
func (l *Limiter) countNotifier(w *waiter, n int) {
	if w.notifier == nil {
		return
	}
	l.notifiers += n
	switch {
	case l.notifiers == 0 && l.statusTimer != nil:
		l.statusTimer.Stop()
		l.statusTimer = nil
	case l.notifiers > 0 && l.statusTimer == nil:
		l.statusTimer = time.AfterFunc(statusInterval, l.updateStatuses)
	}
}

// updateStatuses is the timer's.
func (l *Limiter) updateStatuses() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.notifiers == 0 {
		return // the timer was stopped too late
	}
	now := time.Now()
	f, position := l.newForecast(now), 0
	for w := range l.queue.inOrder(l.limit.seconds) {
		f.start(w.cost)
		position++
		w.notifier.set(now, QueueStatus{position, l.correctForecast(f.elapsed)})
	}
	l.statusTimer.Reset(statusInterval)
}
