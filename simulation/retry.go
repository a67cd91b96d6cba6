package main

import "context"

// retrying is a baseline: it sends at once, and leaves the rest to retries, as
// SDKs without a limiter do.
type retrying struct{}

// patience is how many retries it has. SDKs give fewer by default, and would lose
// more calls.
const patience = 10

func newRetrying(limits) strategy { return retrying{} }

func (retrying) do(ctx context.Context, e *request) reply {
	for retry := 0; ; retry++ {
		r := e.send()
		if r.ok || retry == patience || !backoff(ctx, e.world, retry, r.retryAfter) {
			return r
		}
	}
}
