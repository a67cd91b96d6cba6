package redislimiter

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// A fallbackLimiter admits calls while Redis is away, within a share of the limit. Each time
// that Redis is lost there is a new one. Its fields are guarded by the mutex of the
// limiter that it stands in for.
type fallbackLimiter struct {
	*limiter.Limiter
	share  float64
	ctx    context.Context // of its waits
	cancel context.CancelCauseFunc
	calls  map[string]*Permit // in flight, whose latest request it admitted
	let    recent             // requests that it admitted
	used   recent             // tokens of calls that are over, and that Redis does not know
}

var errBack = errors.New("the server is back")

// fallback returns what stands in for Redis, if calls are to go on without that. It
// requires that l.mu is held.
func (l *Limiter) fallback() *fallbackLimiter {
	share := l.store.config.Fallback
	if share == 0 || l.closing || !l.isDown() {
		return nil
	}
	if l.inFallback == nil {
		l.inFallback = l.newFallbackLimiter(share)
	}
	return l.inFallback
}

// newFallbackLimiter begins where the books were when they were last heard of: with its share of
// the tokens that were left then, with no request to spare, and paused if they were.
func (l *Limiter) newFallbackLimiter(share float64) *fallbackLimiter {
	c, limit := &l.store.config, l.limit
	part := func(n int) int { return max(1, int(float64(n)*share)) }
	in, err := limiter.New(limiter.Limit{
		RequestsPerSecond: max(limit.RequestsPerSecond*share, math.SmallestNonzeroFloat64), RequestBurst: max(1, limit.RequestBurst*share),
		TokensPerMinute: part(limit.TokensPerMinute), TokenBurst: min(limit.TokenBurst, part(limit.TokensPerMinute)),
	}, limiter.Guarded(c.Jitter), limiter.Backoff(limiter.ExponentialBackoff(c.BaseDelay, c.MaxDelay)))
	if err != nil {
		panic(err) // a share of a valid limit is valid
	}
	s := &fallbackLimiter{Limiter: in, share: share, calls: map[string]*Permit{}}
	s.ctx, s.cancel = context.WithCancelCause(context.Background())
	s.used.span = l.recent.span
	s.let.span = time.Duration(min(limit.RequestBurst/limit.RequestsPerSecond, 1e6)*float64(time.Second)) + c.Jitter
	first, err := in.Acquire(s.ctx, 0)
	if err != nil {
		panic(err) // there is room for it, and nobody else
	}
	first.Settle(int(math.Ceil(max(0, float64(min(limit.TokensPerMinute, limit.TokenBurst))-l.left) * share)))
	requests, tokens := 0, part(int(max(0, float64(limit.TokensPerMinute)-l.used-l.foreign)))
	in.Observe(limiter.ServerState{RemainingRequests: &requests, RemainingTokens: &tokens})
	in.Pause(l.resume)
	return s
}

// partOf returns the part of what the server says that is about the share of the limit.
func (s *fallbackLimiter) partOf(state limiter.ServerState) limiter.ServerState {
	part := func(n *int) *int {
		if n == nil {
			return nil
		}
		some := int(float64(*n) * s.share)
		if *n > 0 {
			some = max(1, some)
		}
		return &some
	}
	state.LimitTokens, state.RemainingTokens = part(state.LimitTokens), part(state.RemainingTokens)
	return state
}

// admitBy has s admit w. It requires that l.mu is held, which it releases while it
// waits. Its error is errBack if Redis has come back meanwhile.
func (l *Limiter) admitBy(ctx context.Context, s *fallbackLimiter, w *waiter) error {
	p := w.permit
	local := p.local
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(s.ctx, func() { cancel(context.Cause(s.ctx)) })()
	p.waiter, w.cancel = w, cancel
	l.mu.Unlock()
	var err error
	if local != nil {
		err = local.Retry(ctx)
	} else {
		call := w.call
		call.MaxWait = 0 // it was checked before
		local, err = s.AcquireCall(ctx, call)
	}
	l.mu.Lock()
	p.waiter, w.cancel = nil, nil
	switch {
	case p.finished:
		if local != nil {
			local.Cancel() // it is of this attempt, or ended already
		}
		return limiter.ErrFinished
	case l.closing:
		return l.unavailable()
	case s.ctx.Err() != nil:
		return errBack // what it may have admitted, it admitted to nobody
	case errors.As(err, new(*limiter.TooLargeError)):
		return l.unavailable() // it fits when Redis is back
	case err != nil:
		return err
	}
	if w.attempt == 1 {
		p.tokens, w.tokens = local.Tokens(), local.Tokens() // it may have been estimated again
	}
	p.local, s.calls[p.id] = local, p
	l.grant(w)
	s.let.add(p.sent, 1)
	return nil
}

// ended takes note of the end of a call and of what it used that Redis does not know.
func (s *fallbackLimiter) ended(id string, used int) {
	delete(s.calls, id)
	s.used.add(time.Now(), used)
}

// back ends the time of what stands in, if Redis was away. The books hear what they have
// missed before anybody asks them. It requires that l.mu is held.
func (l *Limiter) back() {
	l.away, l.trouble = time.Time{}, nil
	s := l.inFallback
	if s == nil {
		return
	}
	l.inFallback = nil
	s.cancel(errBack)
	now := time.Now()
	if let, used := s.let.sum(now), s.used.sum(now); let > 0 || used > 0 {
		l.tell(news{op: "charge", args: []any{let, used}})
	}
	for id, p := range s.calls {
		p.local, l.live[id] = nil, p
		l.tell(news{op: "adopt", id: id, args: []any{p.tokens}})
	}
	l.pause(l.resume)
}
