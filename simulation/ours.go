package main

import (
	"context"
	"errors"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/estimate"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// ours is the limiter with the estimates, used as package ratelimited uses them.
type ours struct {
	limiter *limiter.Limiter
	model   estimate.Model
	retries int // negative: it never gives up
}

// newOurs never gives up: what the limiter does is to be seen, and not how many
// retries a client is configured to have. So it loses no call by design.
func newOurs(l limits) strategy { return newClient(l, -1) }

// newDefault has the retries of a client by default.
func newDefault(l limits) strategy { return newClient(l, 3) }

// newLearning has the limits as a beginning.
func newLearning(l limits) strategy { return newClient(l, 3, limiter.LearnLimits()) }

// newClasses shares the limits between two classes.
func newClasses(l limits) strategy {
	return newClient(l, 3, limiter.Classes(map[string]float64{"a": 1, "b": 4}))
}

func newClient(l limits, retries int, options ...limiter.Option) strategy {
	limit := limiter.Limit{RequestsPerSecond: l.rps, TokensPerMinute: l.tpm}
	guarded, err := limiter.New(limit, append(options, limiter.Guarded(limiter.DefaultJitter))...)
	if err != nil {
		panic(err)
	}
	return &ours{limiter: guarded, retries: retries}
}

// maxOutage is how long refusals do not count as retries.
const maxOutage = 5 * time.Minute

func (o *ours) do(ctx context.Context, e *request) reply {
	call := limiter.Call{Class: e.class, Estimate: func() (prompt, reply int) { return o.estimate(e) }}
	call.Prompt, call.Reply = call.Estimate()
	call.Duration, call.MinDuration = o.model.Duration()
	permit, err := o.limiter.AcquireCall(ctx, call)
	if err != nil {
		return reply{}
	}
	var refused time.Time
	for counted := 0; ; {
		sent := time.Now()
		r := e.send()
		switch {
		case r.ok:
			took := time.Since(sent)
			o.model.LearnDuration(took, took)
			o.model.Learn(e.counted, estimate.Parts{}, r.prompt-e.history, r.completion)
			permit.Settle(r.prompt + r.completion)
			if r.remaining >= 0 {
				state := limiter.ServerState{RemainingTokens: &r.remaining, LimitTokens: &e.world.limit}
				if r.requests >= 0 {
					state.RemainingRequests = &r.requests
				}
				o.limiter.Observe(state)
			}
			return r
		case r.late:
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				o.model.LearnDuration(time.Since(sent), estimate.Unknown)
			}
			permit.Settle(permit.Tokens())
			return r
		}
		wait := permit.Throttled(limiter.Throttle{RetryAfter: r.retryAfter, Tokens: r.noTokens, Requests: !r.noTokens && !e.world.mute})
		if refused.IsZero() {
			refused = time.Now()
		}
		if o.retries >= 0 && time.Since(refused)+wait > maxOutage {
			if counted++; counted > o.retries {
				permit.Settle(0)
				return r
			}
		}
		if permit.Retry(ctx) != nil {
			permit.Settle(0)
			return r
		}
	}
}

// estimate returns how many tokens a call is expected to use, as by now.
func (o *ours) estimate(e *request) (prompt, reply int) {
	limit := o.limiter.Limit().TokenBurst
	prompt = min(limit, e.history+o.model.Prompt(e.counted, estimate.Parts{}))
	bound := estimate.Unbounded
	if e.maxTokens > 0 {
		bound = e.maxTokens
	}
	return prompt, min(o.model.Reply(bound, limit), limit-prompt)
}
