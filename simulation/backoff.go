package main

import (
	"context"
	"time"
)

// backoff waits before a further attempt, the first having number 0: a second and
// twice as long each time, up to 32 s, or what the server asked for if that is
// longer; and up to half as long again, so that not all come back at once. It
// reports false if ctx is done.
func backoff(ctx context.Context, w *world, retry int, asked time.Duration) bool {
	step := min(32*time.Second, time.Second<<retry)
	select {
	case <-time.After(max(step, asked) + w.jitter(step/2)):
		return true
	case <-ctx.Done():
		return false
	}
}
