package redislimiter

import (
	"context"
	"errors"
	"math"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// fallbackLimiter admits calls within a share of the limit while Redis is unreachable. Each
// outage gets a new one. The mutex of the Limiter guards its fields.
type fallbackLimiter struct {
	*limiter.Limiter
	share    float64
	ctx      context.Context // The context of all waits.
	cancel   context.CancelCauseFunc
	calls    map[string]*Permit // The calls in flight whose latest attempt it admitted.
	requests recentUsage        // Admitted requests.
	used     recentUsage        // Tokens of ended calls that are not in the shared state.
}

var errReconnected = errors.New("redislimiter: Redis is reachable again")

// fallback returns the active fallback. It returns nil if calls must wait for Redis or fail.
// l.mu must be held.
func (l *Limiter) fallback() *fallbackLimiter {
	share := l.store.config.Fallback
	if share == 0 || l.closing || !l.isDown() {
		return nil
	}
	if l.activeFallback == nil {
		l.activeFallback = l.newFallbackLimiter(share)
	}
	return l.activeFallback
}

// newFallbackLimiter continues from the shared state as of the latest response: with its share of
// the available tokens, without a request to spare, and with the same pause.
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
	s.requests.span = time.Duration(min(limit.RequestBurst/limit.RequestsPerSecond, 1e6)*float64(time.Second)) + c.Jitter
	first, err := in.Acquire(s.ctx, 0)
	if err != nil {
		panic(err) // the first call always fits
	}
	first.Settle(int(math.Ceil(max(0, float64(min(limit.TokensPerMinute, limit.TokenBurst))-l.availableTokens) * share)))
	requests, tokens := 0, part(int(max(0, float64(limit.TokensPerMinute)-l.used-l.externalUsage)))
	in.Observe(limiter.ServerState{RemainingRequests: &requests, RemainingTokens: &tokens})
	in.Pause(l.resume)
	return s
}

// scale returns the server's state with the token amounts reduced to the share of the limit.
func (s *fallbackLimiter) scale(state limiter.ServerState) limiter.ServerState {
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

// admitWith waits until s admits w. l.mu must be held; admitWith unlocks it while it waits. The
// error is errReconnected if Redis has become reachable meanwhile.
func (l *Limiter) admitWith(ctx context.Context, s *fallbackLimiter, w *waiter) error {
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
		call.MaxWait = 0 // Acquire has checked it
		local, err = s.AcquireCall(ctx, call)
	}
	l.mu.Lock()
	p.waiter, w.cancel = nil, nil
	switch {
	case p.finished:
		if local != nil {
			local.Cancel() // without effect if the permit has ended already
		}
		return limiter.ErrFinished
	case l.closing:
		return l.unavailable()
	case s.ctx.Err() != nil:
		return errReconnected // ignores an admission by s, which is discarded
	case errors.As(err, new(*limiter.TooLargeError)):
		return l.unavailable() // the call fits once Redis is reachable again
	case err != nil:
		return err
	}
	if w.attempt == 1 {
		p.tokens, w.tokens = local.Tokens(), local.Tokens() // s may have requested a new estimate
	}
	p.local, s.calls[p.id] = local, p
	l.recordAdmission(w)
	s.requests.add(p.sent, 1)
	return nil
}

// recordEnd removes an ended call and counts its tokens that are not in the shared state.
func (s *fallbackLimiter) recordEnd(id string, used int) {
	delete(s.calls, id)
	s.used.add(time.Now(), used)
}

// reconnected records that Redis is reachable and ends the fallback. Its updates report the
// fallback's usage before any call asks Redis for an admission. l.mu must be held.
func (l *Limiter) reconnected() {
	l.unreachableSince, l.unreachableErr = time.Time{}, nil
	s := l.activeFallback
	if s == nil {
		return
	}
	l.activeFallback = nil
	s.cancel(errReconnected)
	now := time.Now()
	if requests, used := s.requests.sum(now), s.used.sum(now); requests > 0 || used > 0 {
		l.enqueue(update{op: "charge", args: []any{requests, used}})
	}
	for id, p := range s.calls {
		p.local, l.live[id] = nil, p
		l.enqueue(update{op: "adopt", id: id, args: []any{p.tokens}})
	}
	l.pause(l.resume)
}
