package main

import "context"

// retrying is a baseline: it sends every request at once and retries, like SDKs without a limiter.
type retrying struct{}

// maxRetries is the number of retries of retrying. SDKs have fewer by default and would lose more
// calls.
const maxRetries = 10

func newRetrying(limits) strategy { return retrying{} }

func (retrying) do(ctx context.Context, e *request) response {
	for retry := 0; ; retry++ {
		r := e.send()
		if r.ok || retry == maxRetries || !backoff(ctx, e.network, retry, r.retryAfter) {
			return r
		}
	}
}
