package redislimiter

import (
	"context"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// A Limiter is a [limiter.Backend] whose books are in Redis: see there for what its
// methods promise. The counters of its Snapshot, and what is held, in flight and
// waiting, are those of this process; what is available and the pause are shared.
// Methods that cannot return an error do nothing while Redis is away, WaitTime
// returns [limiter.Never], and Snapshot says that nothing is available.
type Limiter struct {
	store *Store
	model string
	keys  []string
	local *limiter.Limiter // in place of Redis while that is away; nil without Config.Fallback

	joining sync.Mutex
	wakeup  chan struct{} // the head of the queue should ask again

	mu sync.Mutex // never held by anybody who waits
	books
	queue       queue
	dispatching bool
	seq         uint64
	last, next  int64              // order of the latest call, and of the next: 0 if it is to have the others'
	live        map[string]*Permit // calls in flight that are in the books
	outbox      map[string][]any   // what is still to be said of permits, by their ids
	owed        int                // tokens that were used without the books

	away    time.Time // since when Redis is; zero if it is not
	trouble error     // why

	inFlight, heldTokens int
	counters             limiter.Counters
	server               limiter.ServerState
}

func newLimiter(s *Store, model string, limit limiter.Limit) *Limiter {
	l := &Limiter{store: s, model: model, wakeup: make(chan struct{}, 1), live: map[string]*Permit{}, outbox: map[string][]any{}}
	for _, key := range []string{"state", "tokens", "requests", "permits", "leases", "tickets"} {
		l.keys = append(l.keys, "{"+s.config.Prefix+":"+model+"}:"+key)
	}
	l.setLimit(limit.WithDefaults())
	return l
}

// setLimit takes note of a limit, and ends the waits of calls that could never start
// within it. It requires that l.mu is held, if l is in use.
func (l *Limiter) setLimit(limit limiter.Limit) {
	l.limit = limit
	l.recent.span = time.Minute * time.Duration(max(1, (limit.TokenBurst+limit.TokensPerMinute-1)/limit.TokensPerMinute))
	l.setFallback(limit)
	for _, w := range append(byOrder(nil), l.queue.waiters...) {
		if w.tokens > limit.TokenBurst {
			l.refuse(w, &limiter.TooLargeError{Tokens: w.tokens, Capacity: limit.TokenBurst})
		}
	}
}

// Acquire implements [limiter.Backend].
func (l *Limiter) Acquire(ctx context.Context, tokens int) (limiter.Admission, error) {
	if tokens < 0 {
		return nil, fmt.Errorf("%w: %d", limiter.ErrNegativeTokens, tokens)
	}
	if ctx.Err() != nil {
		return nil, waitError(ctx, tokens, 0)
	}
	l.mu.Lock()
	if capacity := l.limit.TokenBurst; tokens > capacity {
		l.mu.Unlock()
		return nil, &limiter.TooLargeError{Tokens: tokens, Capacity: capacity}
	}
	l.seq++
	p := &Permit{limiter: l, seq: l.seq, id: l.store.name + ":" + strconv.FormatUint(l.seq, 36), tokens: tokens}
	if err := l.admit(ctx, p, tokens); err != nil {
		return nil, err
	}
	return p, nil
}

// admit waits until p gets a request and so many tokens. It is called with l.mu held
// and returns without it.
func (l *Limiter) admit(ctx context.Context, p *Permit, tokens int) error {
	w := &waiter{permit: p, tokens: tokens, attempt: p.attempt + 1, since: time.Now(), ready: make(chan struct{})}
	if l.isDown() {
		l.counters.Abandoned++
		w.over, w.err = true, l.unavailable()
		l.mu.Unlock()
		return l.withoutRedis(ctx, w)
	}
	p.waiter = w
	l.queue.push(w)
	switch {
	case !l.dispatching:
		l.dispatching = true
		go l.dispatch()
	case l.queue.head() == w:
		l.wake()
	}
	l.mu.Unlock()

	select {
	case <-w.ready:
	case <-ctx.Done():
		l.mu.Lock()
		if !w.over {
			l.refuse(w, waitError(ctx, tokens, time.Since(w.since)))
		}
		l.mu.Unlock()
	}
	return l.withoutRedis(ctx, w)
}

func waitError(ctx context.Context, tokens int, waited time.Duration) error {
	return &limiter.WaitError{Tokens: tokens, Waited: waited, Err: ctx.Err(), Cause: context.Cause(ctx)}
}

// refuse ends a wait without an admission. It requires that l.mu is held.
func (l *Limiter) refuse(w *waiter, err error) {
	l.counters.Abandoned++
	if l.queue.head() == w {
		l.wake() // there will be another
	}
	l.leave(w, err)
	if w.asked && !w.asking { // else the dispatcher sees to it when the answer is there
		go l.undo(w, false)
	}
}

// leave takes w out of the queue and lets its goroutine go on. It requires that l.mu
// is held.
func (l *Limiter) leave(w *waiter, err error) {
	l.queue.remove(w)
	w.permit.waiter = nil
	w.over, w.err = true, err
	close(w.ready)
}

// undo makes Redis forget of a waiter that has left. It may have granted what was asked
// for without our hearing of it.
func (l *Limiter) undo(w *waiter, granted bool) {
	l.mu.Lock()
	retry, finished := w.attempt > 1, w.permit.finished
	l.mu.Unlock()
	op := "cancel"
	if retry && !finished {
		op = "leave"
		if granted {
			op = "unsent"
		}
	}
	l.deliver(op, w.permit.id)
}

// deliver runs an operation on a permit, which may let the head of the queue start. If
// Redis is away it is told when it is back; the books take the same thing once.
func (l *Limiter) deliver(op, id string, args ...any) {
	r, err := l.do(op, append([]any{id}, args...)...)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.outbox[id] = append([]any{op}, args...)
		return
	}
	delete(l.outbox, id)
	if r.value == 1 {
		l.wake()
	}
}

// wake makes the head of the queue ask.
func (l *Limiter) wake() {
	select {
	case l.wakeup <- struct{}{}:
	default:
	}
}

// WaitTime implements [limiter.Backend]. Where more than a window's worth of calls
// wait it is an estimate.
func (l *Limiter) WaitTime(tokens int) time.Duration {
	l.mu.Lock()
	if tokens > l.limit.TokenBurst {
		l.mu.Unlock()
		return limiter.Never
	}
	requests, ahead, own := len(l.queue.waiters), l.queue.tokens, ""
	if w := l.queue.head(); w != nil {
		own = w.permit.id
	}
	l.mu.Unlock()
	r, err := l.do("wait", max(0, tokens), requests, ahead, own)
	if err != nil {
		return limiter.Never
	}
	return r.answer()
}

// Pause implements [limiter.Backend], for every process.
func (l *Limiter) Pause(until time.Time) {
	if d := time.Until(until); d > 0 {
		_, _ = l.do("pause", d.Microseconds()) // while Redis is away nobody starts
	}
}

// Observe implements [limiter.Backend]. It asks Redis nothing where the server says
// only what the books say too.
func (l *Limiter) Observe(s limiter.ServerState) {
	s.At = time.Now()
	requests, tokens := s.Remaining()
	l.mu.Lock()
	l.server = s
	if float64(requests) >= l.limit.RequestBurst {
		requests = -1
	}
	if l.foreign == 0 && float64(l.limit.TokensPerMinute-tokens) <= l.used {
		tokens = -1
	}
	l.mu.Unlock()
	if requests >= 0 || tokens >= 0 {
		_, _ = l.do("observe", requests, tokens) // the next reply brings the news again
	}
}

// Limit implements [limiter.Backend]: it returns the limit in force, which another
// process may have set, as of the latest reply.
func (l *Limiter) Limit() limiter.Limit {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.limit
}

// SetLimit implements [limiter.Backend], for every process. Beside a
// [*limiter.LimitError] it may return an [*UnavailableError], and has then changed
// nothing.
func (l *Limiter) SetLimit(limit limiter.Limit) error {
	if err := limit.Validate(); err != nil {
		return err
	}
	if _, err := l.do("limit", limitArgs(limit.WithDefaults())...); err != nil {
		return err
	}
	l.wake()
	return nil
}

// Snapshot implements [limiter.Backend].
func (l *Limiter) Snapshot() limiter.Snapshot {
	r, err := l.do("state")
	l.mu.Lock()
	defer l.mu.Unlock()
	s := limiter.Snapshot{
		Limit: l.limit, HeldTokens: l.heldTokens, InFlight: l.inFlight, Waiting: len(l.queue.waiters),
		Server: l.server, Counters: l.counters,
	}
	if err == nil {
		s.AvailableRequests, s.AvailableTokens = r.requests, r.tokens
		if d := r.answer(); d > 0 {
			s.PausedUntil = time.Now().Add(d)
		}
	}
	return s
}
