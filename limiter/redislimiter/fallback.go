package redislimiter

import (
	"context"
	"errors"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// setFallback makes the limiter that stands in for Redis keep to its share of a limit.
func (l *Limiter) setFallback(limit limiter.Limit) {
	share := l.store.config.Fallback
	if share == 0 {
		return
	}
	limit = limiter.Limit{
		RequestsPerSecond: limit.RequestsPerSecond * share,
		TokensPerMinute:   max(1, int(float64(limit.TokensPerMinute)*share)),
	}
	if l.local != nil {
		_ = l.local.SetLimit(limit) // a share of a valid limit is valid
		return
	}
	l.local, _ = limiter.New(limit, limiter.Guarded(l.store.config.Jitter))
}

// withoutRedis returns what became of a wait that is over. If Redis could not be
// asked, and there is a fallback, that decides.
func (l *Limiter) withoutRedis(ctx context.Context, w *waiter) error {
	if l.local == nil || l.store.ctx.Err() != nil || !errors.Is(w.err, limiter.ErrUnavailable) {
		return w.err
	}
	p := w.permit
	var local *limiter.Permit
	var err error
	if p.local != nil {
		err = p.local.Retry(ctx)
	} else if local, err = l.local.Acquire(ctx, w.tokens); err == nil && w.attempt > 1 {
		local.Settle(0) // the call is in the books; it needs no more than a request
	}
	if err != nil {
		if errors.As(err, new(*limiter.TooLargeError)) {
			return w.err // it fits when Redis is back
		}
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if w.attempt == 1 {
		p.local = local
	}
	l.counters.Abandoned-- // it has not been, after all
	l.grant(w)
	return nil
}
