package limiter

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"
)

// Never is the result of [Limiter.WaitTime] for a call that can never start.
const Never = time.Duration(math.MaxInt64)

// A Limiter admits calls within one [Limit], first come, first served. [Classes], [Guarded] and
// [Call.Duration] modify that order. The package comment explains how a limiter works and which
// method to use.
//
// Make a Limiter with [New]. Acquire and SetLimit of the zero value return an error. A Limiter is
// safe for concurrent use and must not be copied.
type Limiter struct {
	mu        sync.Mutex // never held by a goroutine that waits
	limit     Limit      // in force, with defaults filled in
	mayExceed bool       // learned rates may exceed the configured limit
	learner   *learner   // nil: the limit is not learned
	budget    budget
	queue     queue

	pausedUntil time.Time

	backoff              func(n int) time.Duration
	consecutiveThrottles int       // 429 responses since the last reset
	throttledUntil       time.Time // end of the pause after the latest 429
	resetFrom            time.Time // a settled call sent at or after this time resets consecutiveThrottles
	lastTrial            time.Time // when a call last started with less time than it needs

	// timer wakes the head of the queue at wakeAt if timerSet. The first wait
	// creates it, so a limiter without waiters does not have a timer.
	timer    *time.Timer
	timerSet bool
	wakeAt   time.Time

	forecastBias float64     // relative correction of forecast wait times; 0: none
	notifiers    int         // number of waiters with an OnQueue function
	statusTimer  *time.Timer // updates their status; nil if notifiers is 0

	concurrency      concurrency
	inFlight         int   // permits neither settled nor cancelled
	suspended        int   // permits in flight that wait for another limiter before a retry
	heldTokens       int   // tokens of the permits in flight
	returnedRequests int64 // total, see Snapshot.ReturnedRequests
	counters         Counters
	serverState      ServerState // last value passed to Observe
}

// An Option configures a new limiter.
type Option func(*Limiter)

// Guarded adds a guard to the buckets. The guard is for a server that does not count by token
// bucket, and for a network with variable latency. jitter is how much closer together two calls may
// arrive than they were sent. It is clamped to the range from 0 to one hour.
//
// A full bucket that refills admits up to twice its capacity in the first minute. A server that
// counts in windows rejects half of that. A guarded limiter therefore also enforces windows:
//
//   - Requests: at most RequestBurst, rounded down, in the time in which that many refill plus the
//     jitter. A RequestBurst below RequestsPerSecond therefore costs more of the rate than the default.
//   - Tokens: a call does not start while TokensPerMinute tokens were used in the last minute. If
//     TokenBurst is larger, the window is the time in which TokenBurst tokens refill.
//   - Calls in flight count at 20% of their estimate, or less if calls take longer than 22 s on
//     average. A call of more than an eighth of the limit counts at 125% of its estimate.
//   - Some headroom is kept for calls that end while another call is on its way to the server. It
//     grows with the rate at which calls end.
//
// The guard learns how the server counts:
//
//   - Whether prompts are charged on arrival, from the remaining tokens in [Limiter.Observe] and
//     from 429 responses that name the token limit. If so, prompts count from when they are sent.
//   - To count more of the calls in flight, after further such responses that its own count does not
//     explain, if two come within half an hour. Every half hour without one reduces that by one step.
//   - To use more jitter, up to five times the configured one, from 429 responses that name the
//     request limit. The extra jitter decays within ten minutes.
//   - What other clients of the account use, from [Limiter.Observe].
//
// A guarded limiter also learns limits below the configured one:
//
//   - A token limit named in [ServerState.LimitTokens] takes effect at once.
//   - A rate is cut when the server rejects requests twice within 20 windows. The new rate is 1.2
//     times the accepted rate, but from 0.4 to 0.8 of the old one. A rate that was used without a 429
//     before is cut to 0.9. If the server allows one request at a time, Retry-After bounds the rate.
//   - A rate that is used for 20 s and 5 windows (tokens: 2 minutes) without a 429 is raised. Within
//     ten minutes of a 429 it stays just below the rejected rate. A small raise is tried for up to 20 windows.
//   - Requests at a learned rate are spread evenly.
//   - The limiter ignores a 429 while other clients use the account, or while the server rejects
//     all requests for more than a minute.
//
// [Limiter.Limit] and [Snapshot] report the limit in force.
//
// A guarded limiter also backfills. While a large call waits for most of a minute, smaller calls
// behind it may use tokens that are too few for it. They must not delay it.
func Guarded(jitter time.Duration) Option {
	jitter = max(0, min(jitter, time.Hour))
	return func(l *Limiter) {
		l.budget.guard = newGuard(time.Now(), l.limit, jitter)
	}
}

// LearnLimits lets a [Guarded] limiter exceed the configured limit, which becomes a starting point.
// A token limit named by the server takes effect even if it is higher. Before the first 429, a rate
// doubles after 5 s and 1.25 windows of use (tokens: 30 s). After the first 429, the limiter searches
// for the server's rate as it does below the configured limit. Without [Guarded], LearnLimits has no
// effect.
func LearnLimits() Option {
	return func(l *Limiter) { l.mayExceed = true }
}

// New returns a limiter with both buckets full. Without options it consists of exactly the two token
// buckets. An invalid limit fails with a [*LimitError]; a nil option or an invalid weight of [Classes]
// fails with another error.
func New(limit Limit, options ...Option) (*Limiter, error) {
	if err := limit.Validate(); err != nil {
		return nil, err
	}
	limit = limit.WithDefaults()
	l := &Limiter{limit: limit, budget: newBudget(limit), queue: newQueue(), backoff: ExponentialBackoff(defaultBaseDelay, defaultMaxDelay)}
	for i, option := range options {
		if option == nil {
			return nil, fmt.Errorf("limiter: options[%d]: must be an Option, got nil", i)
		}
		option(l)
	}
	if err := l.queue.validate(); err != nil {
		return nil, err
	}
	if l.budget.guard != nil {
		l.learner = newLearner(l.budget.guard, limit, l.mayExceed)
	}
	return l, nil
}

// isZero reports whether l was not made by New.
func (l *Limiter) isZero() bool { return l == nil || l.budget.requests.lim == nil }

// Acquire waits until one request and the given number of tokens are available, takes both, and
// returns the permit that holds them. A call of 0 tokens needs only a request.
//
// Acquire fails, without taking anything, with
//
//   - a [*TooLargeError] if the bucket cannot hold that many tokens: at once, or when the limit is
//     lowered during the wait;
//   - an error that wraps [ErrNegativeTokens] if tokens is negative;
//   - a [*WaitError] when ctx is done.
//
// Acquire waits even if the deadline of ctx is before the expected admission, because a refund may
// admit the call sooner. If the call is admitted just as ctx ends, Acquire returns its permit.
//
// Acquire is shorthand for AcquireCall with a [Call] of that many prompt tokens.
func (l *Limiter) Acquire(ctx context.Context, tokens int) (*Permit, error) {
	return l.AcquireCall(ctx, Call{Prompt: tokens})
}

// AcquireCall waits like [Limiter.Acquire], subject to the call's Place, Class, MaxWait, MaxQueue and
// Duration, and returns the permit. Besides the errors of Acquire, it fails with a [*ClassError] for
// an unknown class, and with a [*WaitError] that wraps [ErrWouldWait] or [ErrQueueFull].
func (l *Limiter) AcquireCall(ctx context.Context, call Call) (*Permit, error) {
	if l.isZero() {
		return nil, errZero
	}
	call, err := call.WithDefaults(ctx)
	if err != nil {
		return nil, err
	}
	tokens := call.Tokens()
	if ctx.Err() != nil {
		return nil, newWaitError(ctx, tokens, 0)
	}
	p := &Permit{limiter: l, place: call.Place}

	l.mu.Lock()
	if p.class = l.queue.class(call.Class); p.class == nil {
		defer l.mu.Unlock()
		return nil, l.queue.classError(call.Class)
	}
	if tokens > l.limit.TokenBurst {
		capacity := l.limit.TokenBurst
		l.mu.Unlock()
		return nil, &TooLargeError{Tokens: tokens, Capacity: capacity}
	}
	p.cost = l.budget.cost(call)
	if err := l.acquire(ctx, p, p.cost, call); err != nil {
		return nil, err
	}
	return p, nil
}

// acquire admits p at cost c, at once or when its turn comes, subject to the call's MaxWait,
// MaxQueue and deadline. The caller holds l.mu; acquire releases it.
func (l *Limiter) acquire(ctx context.Context, p *Permit, c cost, call Call) error {
	now := time.Now()
	due, err := l.checkDeadline(ctx, now, p, c, call)
	if err != nil {
		l.mu.Unlock()
		return err
	}
	if l.queue.len == 0 && l.wait(now, c) == 0 {
		l.admit(now, p, c)
		l.mu.Unlock()
		return nil
	}

	waiting := p.class.len
	w := &waiter{
		permit: p, cost: c, since: now, estimate: newEstimate(now, call), deadline: due, notifier: newNotifier(call), ready: make(chan struct{}),
	}
	p.waiter = w
	l.queue.push(w)
	l.countNotifier(w, 1)
	l.dispatch(now) // w may be the new head, or may be backfilled
	switch {
	case w.done:
	case call.MaxQueue > 0 && waiting >= call.MaxQueue:
		l.abandon(w, newQueueFull(c.tokens, waiting))
		l.dispatch(now)
	case call.MaxWait != 0 || w.notifier != nil:
		f, position := l.forecast(now, w)
		expected := l.correctForecast(f.elapsed)
		l.recordForecast(now, w, position, f.elapsed)
		if call.MaxWait != 0 && expected > call.MaxWait {
			l.abandon(w, newWouldWait(c.tokens, expected, position))
			l.dispatch(now)
		}
	}
	l.mu.Unlock()

	if l.await(ctx, w) {
		return w.err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.done {
		return w.err // admitted or abandoned since await returned
	}
	now = time.Now()
	ended := newWaitError(ctx, c.tokens, now.Sub(w.since))
	ended.Paused = max(0, l.paused(now))
	l.abandon(w, ended)
	l.dispatch(now)
	return ended
}

// wait returns how long a call at the head of the queue has to wait, Never if that depends on calls
// in flight. The caller must hold l.mu.
func (l *Limiter) wait(now time.Time, c cost) time.Duration {
	if l.isFull() {
		return Never
	}
	return max(l.paused(now), l.budget.wait(now, c))
}

// paused returns the remaining time of the pause, 0 or less if l is not paused. The caller must hold
// l.mu.
func (l *Limiter) paused(now time.Time) time.Duration {
	if l.pausedUntil.IsZero() {
		return 0
	}
	return l.pausedUntil.Sub(now)
}

// dispatch admits all calls that can start now, and sets the timer for the next one. Every change
// that may let a call start sooner or later must call it. The caller must hold l.mu.
func (l *Limiter) dispatch(now time.Time) {
	for l.queue.len > 0 {
		w := l.queue.head()
		if w.isStale(now) {
			l.setTimer(now, Never) // applyEstimate calls dispatch again
			return
		}
		d := l.wait(now, w.cost)
		if l.dropIfLate(now, w, d) {
			continue
		}
		if d > 0 {
			var next time.Duration
			if w, next = l.backfill(now); w == nil {
				l.setTimer(now, min(d, next, l.timeUntilDrop(now)))
				return
			}
			if l.dropIfLate(now, w, 0) {
				continue
			}
		}
		if d > 0 || w.promoted {
			l.counters.Backfilled++
		}
		waited := now.Sub(w.since)
		w.permit.waited += waited
		l.learnForecastBias(w, waited)
		l.counters.TotalWait += waited
		l.admit(now, w.permit, w.cost)
		l.dequeue(w, nil)
	}
	l.setTimer(now, Never)
}

// setTimer sets the timer to fire in d. If d is Never, it stops the timer: then only another change,
// such as the end of a call in flight, can admit a call. The caller must hold l.mu.
func (l *Limiter) setTimer(now time.Time, d time.Duration) {
	if d == Never {
		if l.timerSet {
			l.timerSet = false
			l.timer.Stop()
		}
		return
	}
	at := now.Add(d)
	switch {
	case l.timer == nil:
		l.timer = time.AfterFunc(d, l.wake)
	case l.timerSet && at.Equal(l.wakeAt):
		return
	default:
		l.timer.Reset(d)
	}
	l.timerSet, l.wakeAt = true, at
}

// wake is the timer's function. It may run once after the timer was stopped or reset; dispatch then
// sets the timer again.
func (l *Limiter) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timerSet = false
	l.dispatch(time.Now())
}

// admit takes c on behalf of p, for its first attempt or a retry. The caller must hold l.mu.
func (l *Limiter) admit(now time.Time, p *Permit, c cost) {
	if p.admitted && !p.requestReturned {
		l.budget.uncharge(p.sent, c) // the prompt of the previous attempt
	}
	l.budget.take(now, c)
	if seconds := l.limit.seconds(c); !p.admitted {
		p.chargedSeconds = seconds
		l.queue.serve(p.class, seconds)
	} else if !p.requestReturned { // otherwise the class was charged for this request already
		l.queue.serve(p.class, seconds)
	}
	p.sent, p.requestReturned = now, false
	alone, changed := l.learner.sent(now)
	l.pause(now, now.Add(alone))
	if changed {
		l.apply(now)
	}
	if p.admitted {
		l.counters.Retried++
		return
	}
	p.admitted = true
	l.inFlight++
	l.heldTokens += c.tokens
	l.counters.Admitted++
}

// abandon ends the wait of w with err, without an admission. The caller must hold l.mu.
func (l *Limiter) abandon(w *waiter, err error) {
	l.counters.Abandoned++
	l.dequeue(w, err)
}

// dequeue removes w from the queue and wakes its goroutine, which returns err. The caller must hold
// l.mu.
func (l *Limiter) dequeue(w *waiter, err error) {
	l.queue.remove(w)
	l.countNotifier(w, -1)
	w.permit.waiter = nil
	w.done, w.err = true, err
	close(w.ready)
}

// Pause stops all admissions, of new calls and of retries, until the given time. A later time extends
// a pause; an earlier time does not shorten it. The buckets refill during a pause.
func (l *Limiter) Pause(until time.Time) {
	if l.isZero() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	// A time parsed from a header has no monotonic clock reading. Adding to now gives it one,
	// so later changes of the wall clock do not move it.
	l.pause(now, now.Add(until.Sub(now)))
	l.dispatch(now)
}

// pause extends the pause to the given time if that is later. The caller must hold l.mu.
func (l *Limiter) pause(now, until time.Time) {
	if until.After(now) && until.After(l.pausedUntil) {
		l.pausedUntil = until
	}
}
