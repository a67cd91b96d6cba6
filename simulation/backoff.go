package main

import (
	"context"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// exponential is the backoff of the strategies that retry.
var exponential = limiter.ExponentialBackoff(time.Second, 32*time.Second)

// backoff waits before a further attempt, the first having number 0: by the
// exponential backoff, or as long as the server asked for and up to half as long
// again if that is more. It reports false if ctx is done.
func backoff(ctx context.Context, w *world, retry int, asked time.Duration) bool {
	select {
	case <-time.After(max(exponential(retry+1), asked+w.jitter(1+asked/2))):
		return true
	case <-ctx.Done():
		return false
	}
}
