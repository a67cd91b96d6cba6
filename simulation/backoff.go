package main

import (
	"context"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// exponential is the backoff of the baselines.
var exponential = limiter.ExponentialBackoff(time.Second, 32*time.Second)

// backoff waits before a retry; the first has number 0. It waits for the exponential backoff, or for
// the server's Retry-After plus up to 50% if that is longer. It returns false if ctx is done.
func backoff(ctx context.Context, n *network, retry int, retryAfter time.Duration) bool {
	select {
	case <-time.After(max(exponential(retry+1), retryAfter+n.jitter(1+retryAfter/2))):
		return true
	case <-ctx.Done():
		return false
	}
}
