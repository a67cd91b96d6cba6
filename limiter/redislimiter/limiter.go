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

// A Limiter is a [limiter.Backend] whose books are in Redis: see there for what its
// methods promise. The counters of its Snapshot, and what is held, in flight and
// waiting, are those of this process; what is available and the pause are shared.
// While Redis is away WaitTime returns [limiter.Never], and Snapshot says that nothing
// is available; or both speak of the fallback, if there is one.
type Limiter struct {
	store *Store
	keys  []string

	wire   sync.Mutex    // held by who has a command under way; taken before mu
	wakeup chan struct{} // there is something to say, or to ask again

	mu sync.Mutex // never held by anybody who waits
	books
	queue      queue
	talking    bool
	seq        uint64
	ticket     *waiter   // that Redis has told to wait; nil if none, or not known
	trial      time.Time // when a call started that had too little time
	last, next int64     // order of the latest call, and of the next: 0 if it is to have the others'

	away       time.Time        // since when Redis is; zero if it is not
	trouble    error            // why
	inFallback *fallbackLimiter // in place of Redis; nil while that is there
	closing    bool             // no call starts any more
	closed     bool             // nothing is told any more

	inFlight, heldTokens int
	unsent               int64
	counters             limiter.Counters
	server               limiter.ServerState
	named                named // by the server
}

func newLimiter(s *Store, model string, limit limiter.Limit) *Limiter {
	l := &Limiter{store: s, wakeup: make(chan struct{}, 1)}
	l.live = map[string]*Permit{}
	for _, key := range []string{"state", "tokens", "requests", "permits", "leases", "tickets", "processes", "lessons"} {
		l.keys = append(l.keys, "{"+s.config.Prefix+":"+url.QueryEscape(model)+"}:"+key)
	}
	l.configured = configured{limit: limit.WithDefaults(), climbs: s.config.LearnLimits}
	l.setLimit(l.configured.limit)
	return l
}

// setLimit takes note of a limit, and ends the waits of calls that could never start
// within it. It requires that l.mu is held, if l is in use.
func (l *Limiter) setLimit(limit limiter.Limit) {
	l.limit = limit
	const forever = 1_000_000 // minutes
	l.recent.span = time.Minute * time.Duration(min(forever, max(1, (limit.TokenBurst+limit.TokensPerMinute-1)/limit.TokensPerMinute)))
	for _, w := range append(byOrder(nil), l.queue.waiters...) {
		if w.tokens > limit.TokenBurst && !w.estimate.ask() {
			l.refuse(w, &limiter.TooLargeError{Tokens: w.tokens, Capacity: limit.TokenBurst})
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
	if tokens > l.limit.TokenBurst && time.Since(l.heard) > horizon { // there may be a new limit
		l.mu.Unlock()
		_, _ = l.do("state") // if Redis is away the limit is the one that is known
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

// admit waits until p gets a request and the tokens of call, from Redis or from what stands
// in for it. It is called with l.mu held and returns without it.
func (l *Limiter) admit(ctx context.Context, p *Permit, call limiter.Call) (err error) {
	defer l.mu.Unlock()
	w := &waiter{permit: p, call: call, tokens: call.Tokens(), deadline: deadlineOf(ctx, call), attempt: p.attempt + 1, since: time.Now()}
	w.estimate = newEstimate(w.since, call)
	for {
		if s := l.fallback(); s != nil {
			if err = l.admitBy(ctx, s, w); errors.Is(err, errBack) {
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

// await waits in the queue for Redis to admit w. It requires that l.mu is held, which it
// releases while it waits.
func (l *Limiter) await(ctx context.Context, w *waiter) error {
	if l.isDown() {
		return l.unavailable()
	}
	if w.permit.finished {
		return limiter.ErrFinished
	}
	w.asked, w.askedAt, w.over, w.ready = false, time.Time{}, false, make(chan struct{})
	w.permit.waiter = w
	if l.queue.push(w); l.queue.head() == w {
		l.wake()
	}
	l.mu.Unlock()
	l.watch(ctx, w)
	l.mu.Lock()
	if !w.over {
		l.refuse(w, l.waitError(ctx, w.tokens, time.Since(w.since)))
	}
	return w.err
}

// waitError requires that l.mu is held.
func (l *Limiter) waitError(ctx context.Context, tokens int, waited time.Duration) error {
	paused := max(0, time.Until(l.resume))
	return &limiter.WaitError{Tokens: tokens, WaitDuration: waited, Paused: paused, Err: ctx.Err(), Cause: context.Cause(ctx)}
}

// refuse ends a wait without an admission. It requires that l.mu is held.
func (l *Limiter) refuse(w *waiter, err error) {
	if w.cancel != nil {
		w.cancel(err)
		return
	}
	if l.queue.head() == w {
		l.wake() // there will be another
	}
	if w.asked { // the answer may be under way, or lost
		l.tell(news{op: "withdraw", id: w.permit.id, args: []any{w.attempt - 1}})
	}
	l.leave(w, err)
}

// leave takes w out of the queue and lets its goroutine go on. It requires that l.mu
// is held.
func (l *Limiter) leave(w *waiter, err error) {
	if l.queue.remove(w); l.queue.head() == nil {
		l.next = 0
	}
	w.permit.waiter = nil
	w.over, w.err = true, err
	close(w.ready)
}

// close ends all waits, and tells Redis what there is to tell, if it is there. What it
// does not hear of counts with its estimate, when its lease runs out.
func (l *Limiter) close() {
	l.mu.Lock()
	l.closing = true
	l.refuseAll()
	if l.inFallback != nil {
		l.inFallback.cancel(errClosed)
	}
	silent := len(l.news) == 0
	l.mu.Unlock()
	if !silent {
		_, _ = l.do("state")
	}
	l.mu.Lock()
	l.closed = true
	l.mu.Unlock()
}

// refuseAll ends all waits for Redis. It requires that l.mu is held.
func (l *Limiter) refuseAll() {
	for w := l.queue.head(); w != nil; w = l.queue.head() {
		l.refuse(w, l.unavailable())
	}
}

// WaitTime implements [limiter.Backend]. Where more than a window's worth of calls
// wait it is an estimate.
func (l *Limiter) WaitTime(tokens int) time.Duration {
	l.mu.Lock()
	requests, ahead, own := len(l.queue.waiters), l.queue.tokens, ""
	if w := l.queue.head(); w != nil {
		own = w.permit.id
	}
	l.mu.Unlock()
	r, err := l.do("wait", max(0, tokens), requests, ahead, own)
	l.mu.Lock()
	defer l.mu.Unlock()
	switch s := l.fallback(); {
	case tokens > l.limit.TokenBurst:
	case err == nil:
		return r.answer()
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

// pause requires that l.mu is held.
func (l *Limiter) pause(until time.Time) {
	if !until.After(time.Now()) {
		return
	}
	l.resume = later(l.resume, until)
	if l.inFallback != nil {
		l.inFallback.Pause(until) // Redis is told when it is back
	} else {
		l.tell(news{op: "pause", until: until})
	}
}

// Observe implements [limiter.Backend], as a guarded limiter does. It tells Redis nothing where the server says
// only what the books say too, or while Redis is away.
func (l *Limiter) Observe(s limiter.ServerState) {
	s.At = time.Now()
	requests, tokens := s.Remaining()
	l.mu.Lock()
	defer l.mu.Unlock()
	l.server = s
	if !l.away.IsZero() {
		if in := l.fallback(); in != nil {
			in.Observe(in.partOf(s))
		}
		return
	}
	perMinute, limit, isNews := l.limit.TokensPerMinute, -1, false
	if tokens >= 0 && s.LimitTokens != nil {
		limit = *s.LimitTokens
		perMinute, isNews = min(perMinute, limit), l.isNews(limit)
	}
	if requests == 0 && l.limit.RequestBurst < 2 {
		requests = 1 // what is left of a minute does not empty a bucket of one
	}
	if float64(requests) >= l.limit.RequestBurst {
		requests = -1
	}
	if l.foreign == 0 && perMinute-tokens <= int(l.used)+l.unacknowledged() {
		tokens = -1
	}
	if requests >= 0 || tokens >= 0 || isNews {
		l.tell(news{op: "observe", args: []any{requests, tokens, limit, flag(isNews)}})
	}
}

// Limit implements [limiter.Backend]: it returns the limit in force, which another
// process may have set or learned, as of the latest reply.
func (l *Limiter) Limit() limiter.Limit {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.limit
}

// SetLimit implements [limiter.Backend], for every process: what was learned is
// forgotten. Beside a
// [*limiter.LimitError] it may return an [*UnavailableError]: if only the reply was
// lost, the limit has changed all the same, which Limit shows when Redis is back.
func (l *Limiter) SetLimit(limit limiter.Limit) error {
	return l.set("limit", limit)
}

// set has Redis carry out an operation that sets the limit.
func (l *Limiter) set(op string, limit limiter.Limit) error {
	if err := limit.Validate(); err != nil {
		return err
	}
	if _, err := l.do(op, append(limitArgs(limit.WithDefaults()), flag(l.store.config.LearnLimits))...); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.wake() // somebody may fit now
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
	} else if in := l.fallback(); in != nil {
		s = in.Snapshot()
	}
	s.Limit, s.HeldTokens, s.InFlight = l.limit, l.heldTokens, l.inFlight
	s.Configured = l.configured.limit
	s.RequestsFrom, s.TokensFrom = l.learned.sources()
	s.Waiting += len(l.queue.waiters)
	s.Server, s.ReturnedRequests, s.Counters = l.server, l.unsent, l.counters
	return s
}
