package limiter

import (
	"context"
	"fmt"
	"math"
	"sync"
	"time"
)

// Never is the answer of [Limiter.WaitTime] for a call that can never start.
const Never = time.Duration(math.MaxInt64)

// A Limiter admits calls within one [Limit], first come, first served but for
// what [Guarded] lets pass and [Call.Duration] puts ahead. See the package comment
// for how it works and which method to use.
//
// Make one with [New]. The zero value has no buckets: its Acquire and SetLimit return an
// error. A Limiter is safe for use by any number of goroutines and must not be copied.
type Limiter struct {
	mu        sync.Mutex // never held by anybody who waits
	limit     Limit      // in force, with its defaults filled in
	mayExceed bool       // the configured limit is not a ceiling
	learner   *learner   // nil: the limit is the configured one
	budget    budget
	queue     queue

	pausedUntil time.Time

	backoff              func(n int) time.Duration
	consecutiveThrottles int       // in a row
	throttledUntil       time.Time // end of the pause after the latest
	resetFrom            time.Time // a success of a call that was sent from then on ends the row
	lastTrial            time.Time // when a call started that had too little time

	// timer wakes the head of the queue, at wakeAt if it is armed. It is
	// created by the first wait, so that a limiter without waiters has none.
	timer    *time.Timer
	timerSet bool
	wakeAt   time.Time

	forecastBias float64     // by how much more than a forecast waits are foretold to last
	notifiers    int         // waiters that want to know where they wait
	statusTimer  *time.Timer // tells them; nil if there are none

	concurrency      concurrency
	inFlight         int   // permits neither settled nor cancelled
	suspended        int   // of them, those that wait for another limiter to be retried
	heldTokens       int   // their tokens
	returnedRequests int64 // requests that were given back
	counters         Counters
	serverState      ServerState // what it last said
}

// An Option changes how a new limiter works.
type Option func(*Limiter)

// Guarded puts a guard beside the buckets, for a server that may count in
// another way than by token bucket, and a network that may bring calls closer
// together than they were sent. jitter is by how much: at least 0, at most an hour.
//
// A bucket that is full at first and refills meanwhile lets up to twice its
// capacity pass in the first minute. A server that counts by windows refuses
// half of that. A guarded limiter therefore also keeps to windows of its own: no
// more requests than the bucket holds, rounded down, in the time that they take
// and the jitter (so a RequestBurst below RequestsPerSecond costs more of the
// rate than the default does); and no call starts while TokensPerMinute were
// used in the minute before, as far as that is known (with a TokenBurst above it,
// so many in as long as they take). A call in flight counts as a fifth of its estimate there, or
// less if calls take longer than 22 s on average (a
// call of more than an eighth of the limit as all of it and a quarter more). There
// is always room for the replies that may end while a call is on its way, by how often calls end.
//
// It learns: from what remains according to [Limiter.Observe], and from refusals for want of
// tokens, whether the server charges prompts on arrival, so that they count from
// when they are sent; from further such refusals that its own count does not
// explain, if there is more than one in half an hour, to count more of what is in
// flight (and less again, a step every half hour); from refusals for want of requests, that the jitter is
// larger, up to five times (which wears off within ten minutes); and from
// [Limiter.Observe] what others use of the same account.
//
// It also learns limits that are below the configured one. The token limit of
// [ServerState.LimitTokens] is in force as soon as the server names it. A rate that the server
// refuses twice within 20 windows is lowered, to 1.2 times what the server accepted, but to no
// less than 0.4 and no more than 0.8 of the rate, or to 0.9 of it if it was used without a refusal
// before, and to what follows from Retry-After if one request is allowed at a time. A rate that is
// used for 20 s and 5 windows (tokens: two minutes) without a refusal is raised again, within ten
// minutes of a refusal to just below the rate that was refused. A small rise is tried for up to 20
// windows. Requests at a learned rate are spread. Refusals teach nothing while others use the account, or while no request is
// accepted for more than a minute. [Limiter.Limit] and [Snapshot] show the limit in force.
//
// The order is first come, first served, but for the turns of calls that gave way, see
// [Call.Duration], and for calls that do not delay the one at the head: while a large call waits
// for most of a minute to become free, smaller ones may use what would be too little for it.
func Guarded(jitter time.Duration) Option {
	jitter = max(0, min(jitter, time.Hour))
	return func(l *Limiter) {
		l.budget.guard = newGuard(time.Now(), l.limit, jitter)
	}
}

// LearnLimits makes the limit of a [Guarded] limiter a beginning instead of a ceiling. The token
// limit that the server names is in force also if it is higher. While nothing is refused, a rate is
// doubled when it was used for 5 s and one and a quarter windows (tokens: half a minute); after the first
// refusal the limiter searches for the server's rate as it does below the configured one. The
// buckets alone learn nothing.
func LearnLimits() Option {
	return func(l *Limiter) { l.mayExceed = true }
}

// New returns a limiter with both buckets full, or a [*LimitError]. Without
// options it is exactly its two token buckets.
func New(limit Limit, options ...Option) (*Limiter, error) {
	if err := limit.Validate(); err != nil {
		return nil, err
	}
	limit = limit.WithDefaults()
	l := &Limiter{limit: limit, budget: newBudget(limit), queue: newQueue(), backoff: ExponentialBackoff(defaultBaseDelay, defaultMaxDelay)}
	for i, option := range options {
		if option == nil {
			return nil, fmt.Errorf("limiter: options[%d] is nil: must be an Option", i)
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

// isZero reports whether New did not make the limiter.
func (l *Limiter) isZero() bool { return l == nil || l.budget.requests.lim == nil }

// Acquire waits until one request and the given number of tokens can be taken,
// takes both, and returns the permit that holds them. 0 tokens is a call that
// costs a request only.
//
// It returns a [*TooLargeError] at once if the bucket cannot hold that many
// tokens (or later, if the limit is lowered meanwhile), an error that wraps
// [ErrNegativeTokens] for a negative number, and a [*WaitError] when ctx is
// done. If so, nothing was taken. A ctx whose deadline lies before the expected
// admission is still waited for, because a refund may admit the call sooner. If
// the call is admitted just as ctx ends, it gets its permit.
//
// It is shorthand for AcquireCall with a [Call] of that many tokens.
func (l *Limiter) Acquire(ctx context.Context, tokens int) (*Permit, error) {
	return l.AcquireCall(ctx, Call{Prompt: tokens})
}

// AcquireCall waits like [Limiter.Acquire], in the call's place in line and as long as its
// MaxWait and Duration allow, and returns the permit.
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

// acquire grants c to p, now or when its turn has come, within the call's MaxWait and its
// deadline. It is called with l.mu held and returns without it.
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
	l.dispatch(now) // it may be the new head, or pass the one there is
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
		return w.err // granted, or refused, before it could leave
	}
	now = time.Now()
	ended := newWaitError(ctx, c.tokens, now.Sub(w.since))
	ended.Paused = max(0, l.paused(now))
	l.abandon(w, ended)
	l.dispatch(now)
	return ended
}

// wait returns how long a call at the head of the queue has to wait.
// It requires that l.mu is held.
func (l *Limiter) wait(now time.Time, c cost) time.Duration {
	if l.isFull() {
		return Never
	}
	return max(l.paused(now), l.budget.wait(now, c))
}

// paused returns how long the pause lasts, 0 or less if there is none.
// It requires that l.mu is held.
func (l *Limiter) paused(now time.Time) time.Duration {
	if l.pausedUntil.IsZero() {
		return 0
	}
	return l.pausedUntil.Sub(now)
}

// dispatch admits as many calls as can start now, and sets the clock for the next.
// Everything that may let one start sooner or later calls it. It requires that
// l.mu is held.
func (l *Limiter) dispatch(now time.Time) {
	for l.queue.len > 0 {
		w := l.queue.head()
		if w.isStale(now) {
			l.setTimer(now, Never) // its goroutine goes on
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

// setTimer sets the timer to go off in d, or stops it where that is Never: then only
// the end of a call in flight, or another change, can let anybody start.
// It requires that l.mu is held.
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

// wake is the timer's. A call that was already on its way when the timer was
// stopped or set anew does no harm: the pump sets it again.
func (l *Limiter) wake() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.timerSet = false
	l.dispatch(time.Now())
}

// admit takes c on behalf of p. It requires that l.mu is held.
func (l *Limiter) admit(now time.Time, p *Permit, c cost) {
	if p.admitted && !p.requestReturned {
		l.budget.uncharge(p.sent, c) // the attempt before
	}
	l.budget.take(now, c)
	if seconds := l.limit.seconds(c); !p.admitted {
		p.chargedSeconds = seconds
		l.queue.serve(p.class, seconds)
	} else if !p.requestReturned { // otherwise its request is counted already
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

// abandon ends a wait without an admission. It requires that l.mu is held.
func (l *Limiter) abandon(w *waiter, err error) {
	l.counters.Abandoned++
	l.dequeue(w, err)
}

// dequeue takes w out of the queue and lets its goroutine go on.
// It requires that l.mu is held.
func (l *Limiter) dequeue(w *waiter, err error) {
	l.queue.remove(w)
	l.countNotifier(w, -1)
	w.permit.waiter = nil
	w.done, w.err = true, err
	close(w.ready)
}

// Pause admits nobody before the given time, neither new calls nor retries. A
// later time extends a pause, an earlier one does not shorten it. The buckets
// refill meanwhile.
func (l *Limiter) Pause(until time.Time) {
	if l.isZero() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	now := time.Now()
	// A time that was parsed from a header has no monotonic clock reading. Based
	// on now it gets one, and later changes of the wall clock do not move it.
	l.pause(now, now.Add(until.Sub(now)))
	l.dispatch(now)
}

// pause extends the pause. It requires that l.mu is held.
func (l *Limiter) pause(now, until time.Time) {
	if until.After(now) && until.After(l.pausedUntil) {
		l.pausedUntil = until
	}
}
