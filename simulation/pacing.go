package main

import (
	"context"

	"golang.org/x/time/rate"
)

// pacing is a baseline: two limiters of golang.org/x/time/rate, one for requests
// and one for tokens, as one would put them together in an hour. A call pays for
// the longest reply it allows, since nobody gives back what it did not use.
type pacing struct {
	requests, tokens *rate.Limiter
}

// pacingRetries is how many retries it has. A limiter is there to need few.
const pacingRetries = 3

func newPacing(l limits) strategy {
	return &pacing{
		requests: rate.NewLimiter(rate.Limit(l.rps), int(l.burst())),
		tokens:   rate.NewLimiter(rate.Limit(l.tokensPerSecond()), l.tpm),
	}
}

func (p *pacing) do(ctx context.Context, e *request) reply {
	// The tokens first: a call that then waits for them would come later than its
	// request was paid for, and together with others.
	tokens := min(e.history+e.counted+e.maxTokens, p.tokens.Burst())
	if p.tokens.WaitN(ctx, tokens) != nil {
		return reply{}
	}
	for retry := 0; ; retry++ {
		if p.requests.Wait(ctx) != nil {
			return reply{}
		}
		r := e.send()
		if r.ok || retry == pacingRetries || !backoff(ctx, e.world, retry, r.retryAfter) {
			return r
		}
	}
}
