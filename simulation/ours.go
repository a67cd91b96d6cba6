package main

import (
	"context"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/estimate"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// ours is the limiter with the estimates, used as package ratelimited uses them,
// but that it never gives up: what the limiter does is to be seen, and not how
// many retries a client is configured to have. So it loses no call by design.
type ours struct {
	limiter *limiter.Limiter
	model   estimate.Model
}

func newOurs(l limits) strategy {
	limit := limiter.Limit{RequestsPerSecond: l.rps, TokensPerMinute: l.tpm}
	guarded, err := limiter.New(limit, limiter.Guarded(limiter.DefaultJitter))
	if err != nil {
		panic(err)
	}
	return &ours{limiter: guarded}
}

func (o *ours) do(ctx context.Context, e *errand) reply {
	prompt := e.history + o.model.Prompt(e.counted)
	tokens := min(prompt+min(o.model.Reply(), e.maxTokens), o.limiter.Limit().TokenBurst)
	permit, err := o.limiter.Acquire(ctx, tokens)
	if err != nil {
		return reply{}
	}
	for {
		r := e.send()
		if r.ok {
			permit.Settle(r.prompt + r.completion)
			o.limiter.Observe(limiter.ServerState{RemainingTokens: &r.remaining})
			o.model.Learn(e.counted, r.prompt-e.history, r.completion)
			return r
		}
		permit.Refused(limiter.Refusal{RetryAfter: r.retryAfter, Tokens: r.noTokens, Requests: !r.noTokens})
		if permit.Retry(ctx) != nil {
			permit.Settle(0)
			return r
		}
	}
}
