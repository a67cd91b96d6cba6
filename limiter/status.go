package limiter

import (
	"context"
	"errors"
	"math"
	"time"
)

// QueueStatus is a waiting call's position and expected wait.
type QueueStatus struct {
	// Position is the call's position in the expected order of admission, from 1. It includes the
	// calls of other classes that are expected to start earlier.
	Position int
	// Expected is how long the call is expected to wait from now. It assumes that no other call
	// arrives and that all waiting calls use their estimates.
	Expected time.Duration
}

// statusInterval is the minimum time between two status updates of a call.
const statusInterval = time.Second

// errStatus ends the wait of a call whose OnQueue function did not return but panicked or called
// runtime.Goexit. The caller itself does not receive this error.
var errStatus = errors.New("limiter: OnQueue did not return")

// A notifier passes a call's status to its OnQueue function. The limiter's mutex guards all fields
// except the channel. A nil notifier does nothing.
type notifier struct {
	onQueue   func(QueueStatus)
	latest    QueueStatus
	forecast  time.Duration // wait forecast when the call arrived, without correction
	changed   chan struct{} // capacity 1; receives a value when latest changes
	notifying bool          // onQueue is running
	setAt     time.Time     // when latest was set
}

func newNotifier(c Call) *notifier {
	if c.OnQueue == nil {
		return nil
	}
	return &notifier{onQueue: c.OnQueue, changed: make(chan struct{}, 1)}
}

// set records the call's status, unless the last change is less than statusInterval ago.
func (h *notifier) set(now time.Time, s QueueStatus) {
	if h == nil || s == h.latest || now.Sub(h.setAt) < statusInterval {
		return
	}
	h.latest, h.setAt = s, now
	select {
	case h.changed <- struct{}{}:
	default: // the previous change was not received yet
	}
}

// await returns true when the wait of w is over, or false when ctx is done. During the wait it runs the
// call's Estimate and OnQueue functions, in the goroutine of the caller.
func (l *Limiter) await(ctx context.Context, w *waiter) bool {
	var refresh, changed chan struct{}
	if w.estimate != nil {
		refresh = w.estimate.refresh
	}
	if w.notifier != nil {
		changed = w.notifier.changed
	}
	for {
		select {
		case <-w.ready:
			return true
		case <-refresh:
			l.refreshEstimate(ctx, w)
		case <-changed:
			l.notify(w)
		case <-ctx.Done():
			return false
		}
	}
}

// recordForecast sets the status of a call that has just arrived. The caller must hold l.mu.
func (l *Limiter) recordForecast(now time.Time, w *waiter, position int, d time.Duration) {
	if w.notifier != nil {
		w.notifier.set(now, QueueStatus{position, l.correctForecast(d)})
		w.notifier.forecast = d
	}
}

// A forecast cannot include calls that arrive later and go ahead, or backfilling. The limiter
// therefore multiplies forecasts by a factor, 1 + forecastBias, that follows the median of actual to
// forecast waits. Each call changes the factor by biasStep, within 1/maxBias and maxBias.
const (
	biasStep      = 0.02
	maxBias       = 3    // as a factor
	biasTolerance = 0.01 // a relative error up to this does not change the factor
)

// correctForecast returns the expected wait for a forecast of d. The caller must hold l.mu.
func (l *Limiter) correctForecast(d time.Duration) time.Duration {
	if longer := float64(d) * (1 + l.forecastBias); longer < math.MaxInt64 {
		return time.Duration(longer)
	}
	return Never
}

// learnForecastBias adjusts the correction after w has waited for the given time. The caller must hold
// l.mu.
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

// notify calls the OnQueue function of w. The goroutine that waits calls it, without l.mu.
func (l *Limiter) notify(w *waiter) {
	l.mu.Lock()
	status, done := w.notifier.latest, w.done
	w.notifier.notifying = !done
	l.mu.Unlock()
	if done {
		return
	}
	returned := false
	defer func() {
		l.mu.Lock()
		w.notifier.notifying = false
		if returned {
			l.mu.Unlock()
			return
		}
		admitted := w.done && w.err == nil
		if !w.done {
			l.abandon(w, errStatus)
			l.dispatch(time.Now())
		}
		l.mu.Unlock()
		if admitted { // while onQueue ran
			w.permit.Cancel()
		}
	}()
	w.notifier.onQueue(status)
	returned = true
}

// countNotifier adds n, 1 or -1, to the number of notifiers if w has one, and starts or stops the
// status timer. The caller must hold l.mu.
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

// updateStatuses updates the status of every waiter with a notifier. The status timer calls it.
func (l *Limiter) updateStatuses() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.notifiers == 0 {
		return // the timer fired before it was stopped
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
