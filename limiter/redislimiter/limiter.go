package redislimiter

import (
	"context"
	"errors"
	"net/url"
	"strconv"
	"sync"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// Limiter is a [limiter.Backend] that keeps its state in Redis. In its Snapshot, the available
// amounts and the pause are shared by all processes. The counters and the tokens and calls
// held, in flight and waiting are those of this process. While Redis is unreachable, WaitTime
// and Snapshot describe the fallback. Without a fallback, WaitTime returns [limiter.Never] and
// Snapshot reports nothing available.
type Limiter struct {
	store *Store
	keys  []string

	commandMu sync.Mutex    // Held while a command is in flight; locked before mu.
	wakeup    chan struct{} // Wakes the poll loop.

	mu sync.Mutex // Guards the fields below; never held while waiting.
	sharedState
	queue      queue
	polling    bool // The poll loop runs.
	seq        uint64
	ticket     *waiter   // The waiter whose ticket Redis has; nil if none or unknown.
	trial      time.Time // The start of the latest trial call: see trialInterval.
	last, next int64     // The order of the latest call and of the next; next 0: Redis assigns it.

	unreachableSince time.Time        // Zero while Redis is reachable.
	unreachableErr   error            // The latest failure.
	activeFallback   *fallbackLimiter // Nil while Redis is reachable.
	closing          bool             // No further call starts.
	closed           bool             // No further update is sent.

	inFlight, heldTokens int
	returnedRequests     int64
	counters             limiter.Counters
	server               limiter.ServerState
	named                namedLimit
}

func newLimiter(s *Store, model string, limit limiter.Limit) *Limiter {
	l := &Limiter{store: s, wakeup: make(chan struct{}, 1)}
	l.live = map[string]*Permit{}
	for _, key := range []string{"state", "tokens", "requests", "permits", "leases", "tickets", "processes", "lessons"} {
		l.keys = append(l.keys, "{"+s.config.Prefix+":"+url.QueryEscape(model)+"}:"+key)
	}
	l.configured = configured{limit: limit.WithDefaults(), learnLimits: s.config.LearnLimits}
	l.setLimit(l.configured.limit)
	return l
}

// setLimit stores the limit in force and fails waiting calls that can never fit into it.
// l.mu must be held if l is in use.
func (l *Limiter) setLimit(limit limiter.Limit) {
	l.limit = limit
	const maxMinutes = 1_000_000
	l.recent.span = time.Minute * time.Duration(min(maxMinutes, max(1, (limit.TokenBurst+limit.TokensPerMinute-1)/limit.TokensPerMinute)))
	for _, w := range append(byOrder(nil), l.queue.waiters...) {
		if w.tokens > limit.TokenBurst && !w.estimate.request() {
			l.fail(w, &limiter.TooLargeError{Tokens: w.tokens, Capacity: limit.TokenBurst})
		}
	}
}

// Acquire implements [limiter.Backend].
func (l *Limiter) Acquire(ctx context.Context, call limiter.Call) (limiter.Admission, error) {
	call, err := call.WithDefaults(ctx)
	if err != nil {
		return nil, err
	}
	tokens := call.Tokens()
	l.mu.Lock()
	if ctx.Err() != nil {
		defer l.mu.Unlock()
		return nil, l.waitError(ctx, tokens, 0)
	}
	if tokens > l.limit.TokenBurst && time.Since(l.lastResponse) > maxPollInterval { // the limit may have changed
		l.mu.Unlock()
		_, _ = l.do("state") // without a response the known limit applies
		l.mu.Lock()
	}
	if capacity := l.limit.TokenBurst; tokens > capacity {
		l.mu.Unlock()
		return nil, &limiter.TooLargeError{Tokens: tokens, Capacity: capacity}
	}
	position := len(l.queue.waiters) + 1
	if call.MaxQueue > 0 && position > call.MaxQueue {
		l.mu.Unlock()
		return nil, &limiter.WaitError{Tokens: tokens, Err: limiter.ErrQueueFull, Cause: limiter.ErrQueueFull, Position: position}
	}
	if call.MaxWait != 0 || call.OnQueue != nil {
		l.mu.Unlock()
		d := l.WaitTime(tokens)
		if call.MaxWait != 0 && d > max(0, call.MaxWait) {
			return nil, &limiter.WaitError{Tokens: tokens, Err: limiter.ErrWouldWait, Cause: limiter.ErrWouldWait, Expected: d, Position: position}
		}
		if d > 0 && call.OnQueue != nil {
			call.OnQueue(limiter.QueueStatus{Position: position, Expected: d})
		}
		l.mu.Lock()
	}
	if err := l.checkDeadline(ctx, call); err != nil {
		l.mu.Unlock()
		return nil, err
	}
	l.seq++
	p := &Permit{limiter: l, place: call.Place, id: l.store.name + ":" + strconv.FormatUint(l.seq, 36), tokens: tokens}
	if err := l.admit(ctx, p, call); err != nil {
		return nil, err
	}
	return p, nil
}

// admit waits until Redis or the fallback admits a request with the tokens of call. l.mu must
// be held; admit unlocks it.
func (l *Limiter) admit(ctx context.Context, p *Permit, call limiter.Call) (err error) {
	defer l.mu.Unlock()
	w := &waiter{permit: p, call: call, tokens: call.Tokens(), deadline: deadlineOf(ctx, call), attempt: p.attempt + 1, since: time.Now()}
	w.estimate = newEstimate(w.since, call)
	for {
		if s := l.fallback(); s != nil {
			if err = l.admitWith(ctx, s, w); errors.Is(err, errReconnected) {
				continue
			}
		} else if err = l.await(ctx, w); errors.Is(err, limiter.ErrUnavailable) && l.fallback() != nil {
			continue
		}
		if err != nil {
			l.counters.Abandoned++
		}
		return err
	}
}

// await waits in the queue until Redis admits w. l.mu must be held; await unlocks it while it
// waits.
func (l *Limiter) await(ctx context.Context, w *waiter) error {
	if l.isDown() {
		return l.unavailable()
	}
	if w.permit.finished {
		return limiter.ErrFinished
	}
	w.requested, w.requestedAt, w.done, w.ready = false, time.Time{}, false, make(chan struct{})
	w.permit.waiter = w
	if l.queue.push(w); l.queue.head() == w {
		l.wake()
	}
	l.mu.Unlock()
	l.awaitResult(ctx, w)
	l.mu.Lock()
	if !w.done {
		l.fail(w, l.waitError(ctx, w.tokens, time.Since(w.since)))
	}
	return w.err
}

// waitError returns the error of a call whose context is done. l.mu must be held.
func (l *Limiter) waitError(ctx context.Context, tokens int, waited time.Duration) error {
	paused := max(0, time.Until(l.resume))
	return &limiter.WaitError{Tokens: tokens, WaitDuration: waited, Paused: paused, Err: ctx.Err(), Cause: context.Cause(ctx)}
}

// fail ends a wait with an error. l.mu must be held.
func (l *Limiter) fail(w *waiter, err error) {
	if w.cancel != nil {
		w.cancel(err)
		return
	}
	if l.queue.head() == w {
		l.wake() // the queue gets a new head
	}
	if w.requested { // Redis may have admitted it
		l.enqueue(update{op: "withdraw", id: w.permit.id, args: []any{w.attempt - 1}})
	}
	l.dequeue(w, err)
}

// dequeue removes w from the queue and ends its wait. l.mu must be held.
func (l *Limiter) dequeue(w *waiter, err error) {
	if l.queue.remove(w); l.queue.head() == nil {
		l.next = 0
	}
	w.permit.waiter = nil
	w.done, w.err = true, err
	close(w.ready)
}

// close ends all waits and sends the pending updates if Redis is reachable. A call whose end is
// not reported counts with its estimate once its lease expires.
func (l *Limiter) close() {
	l.mu.Lock()
	l.closing = true
	l.failAll()
	if l.activeFallback != nil {
		l.activeFallback.cancel(errClosed)
	}
	hasUpdates := len(l.pending) > 0
	l.mu.Unlock()
	if hasUpdates {
		_, _ = l.do("state")
	}
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
}

// failAll fails all calls in the queue. l.mu must be held.
func (l *Limiter) failAll() {
	for w := l.queue.head(); w != nil; w = l.queue.head() {
		l.fail(w, l.unavailable())
	}
}

// WaitTime implements [limiter.Backend]. It is an estimate if more calls wait than fit into one
// window.
func (l *Limiter) WaitTime(tokens int) time.Duration {
	l.mu.Lock()
	requests, ahead, ownTicket := len(l.queue.waiters), l.queue.tokens, ""
	if w := l.queue.head(); w != nil {
		ownTicket = w.permit.id
	}
	l.mu.Unlock()
	r, err := l.do("wait", max(0, tokens), requests, ahead, ownTicket)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch s := l.fallback(); {
	case tokens > l.limit.TokenBurst:
	case err == nil:
		return r.duration()
	case s != nil:
		return s.WaitTime(tokens)
	}
	return limiter.Never
}

// Pause implements [limiter.Backend], for every process.
func (l *Limiter) Pause(until time.Time) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pause(until)
}

// pause pauses every process until the given time. l.mu must be held.
func (l *Limiter) pause(until time.Time) {
	if !until.After(time.Now()) {
		return
	}
	l.resume = later(l.resume, until)
	if l.activeFallback != nil {
		l.activeFallback.Pause(until) // reconnected reports it to Redis
	} else {
		l.enqueue(update{op: "pause", until: until})
	}
}

// Observe implements [limiter.Backend], as a guarded limiter does. It sends an update only if Redis is reachable
// and the server's state differs from the shared state.
func (l *Limiter) Observe(s limiter.ServerState) {
	s.At = time.Now()
	requests, tokens := s.Remaining()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.server = s
	if !l.unreachableSince.IsZero() {
		if f := l.fallback(); f != nil {
			f.Observe(f.scale(s))
		}
		return
	}
	perMinute, limit, reportLimit := l.limit.TokensPerMinute, -1, false
	if tokens >= 0 && s.LimitTokens != nil {
		limit = *s.LimitTokens
		perMinute, reportLimit = min(perMinute, limit), l.shouldReportLimit(limit)
	}
	if requests == 0 && l.limit.RequestBurst < 2 {
		requests = 1 // the server counts by the minute: do not empty a bucket of one
	}
	if float64(requests) >= l.limit.RequestBurst {
		requests = -1
	}
	if l.externalUsage == 0 && perMinute-tokens <= int(l.used)+l.unacknowledged() {
		tokens = -1
	}
	if requests >= 0 || tokens >= 0 || reportLimit {
		l.enqueue(update{op: "observe", args: []any{requests, tokens, limit, flag(reportLimit)}})
	}
}

// Limit implements [limiter.Backend]. It returns the limit in force as of the latest response
// from Redis. Another process may have set or learned it.
func (l *Limiter) Limit() limiter.Limit {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.limit
}

// SetLimit implements [limiter.Backend], for every process. It discards the learned rates. Its
// error is a [*limiter.LimitError] or an [*UnavailableError]. If only the response was lost, the
// limit has changed despite the error; Limit returns it once Redis is reachable again.
func (l *Limiter) SetLimit(limit limiter.Limit) error {
	return l.set("limit", limit)
}

// set runs an operation of the script that sets the limit.
func (l *Limiter) set(op string, limit limiter.Limit) error {
	if err := limit.Validate(); err != nil {
		return err
	}
	if _, err := l.do(op, append(limitArgs(limit.WithDefaults()), flag(l.store.config.LearnLimits))...); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wake() // the head of the queue may fit now
	return nil
}

// Snapshot implements [limiter.Backend].
func (l *Limiter) Snapshot() limiter.Snapshot {
	r, err := l.do("state")
	l.mu.Lock()
	defer l.mu.Unlock()
	var s limiter.Snapshot
	if err == nil {
		s.AvailableRequests, s.AvailableTokens = r.requests, r.tokens
		if r.paused > 0 {
			s.PausedUntil = time.Now().Add(r.paused)
		}
	} else if f := l.fallback(); f != nil {
		s = f.Snapshot()
	}
	s.Limit, s.HeldTokens, s.InFlight = l.limit, l.heldTokens, l.inFlight
	s.Configured = l.configured.limit
	s.RequestsFrom, s.TokensFrom = l.learned.sources()
	s.Waiting += len(l.queue.waiters)
	s.Server, s.ReturnedRequests, s.Counters = l.server, l.returnedRequests, l.counters
	return s
}
