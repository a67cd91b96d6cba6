package main

import (
	"context"

	"golang.org/x/time/rate"
)

// pacing is a baseline: two limiters of golang.org/x/time/rate, one for requests and one for tokens,
// in the simplest combination. A call takes its whole max_tokens, because x/time/rate cannot return
// unused tokens.
type pacing struct {
	requests, tokens *rate.Limiter
}

// pacingRetries is the number of retries of pacing. A client with a limiter needs few.
const pacingRetries = 3

func newPacing(l limits) strategy {
	return &pacing{
		requests: rate.NewLimiter(rate.Limit(l.rps), int(l.burst())),
		tokens:   rate.NewLimiter(rate.Limit(l.tokensPerSecond()), l.tpm),
	}
}

func (p *pacing) do(ctx context.Context, e *request) response {
	// Take the tokens first: a call that took its request before a wait for tokens would be sent late,
	// together with others.
	tokens := min(e.history+e.counted+e.maxTokens, p.tokens.Burst())
	if p.tokens.WaitN(ctx, tokens) != nil {
		return response{}
	}
	for retry := 0; ; retry++ {
		if p.requests.Wait(ctx) != nil {
			return response{}
		}
		r := e.send()
		if r.ok || retry == pacingRetries || !backoff(ctx, e.network, retry, r.retryAfter) {
			return r
		}
	}
}
