package main

import (
	"context"
	"errors"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/estimate"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// adaptive is this repository's limiter with its estimates, used as in package ratelimited.
type adaptive struct {
	limiter *limiter.Limiter
	model   estimate.Model
	retries int // negative: it never gives up
}

// newAdaptive retries without a bound, to measure the limiter and not the configured retries. It
// therefore never loses a call.
func newAdaptive(l limits) strategy { return newClient(l, -1) }

// newDefault has the default number of retries.
func newDefault(l limits) strategy { return newClient(l, 3) }

// newLearning also raises the rates above the configured limits.
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
	return &adaptive{limiter: guarded, retries: retries}
}

// maxOutage is how long 429 responses do not count as retries.
const maxOutage = 5 * time.Minute

func (a *adaptive) do(ctx context.Context, e *request) response {
	call := limiter.Call{Class: e.class, Estimate: func() (prompt, reply int) { return a.estimate(e) }}
	call.Prompt, call.Reply = call.Estimate()
	call.Duration, call.MinDuration = a.model.Duration()
	permit, err := a.limiter.AcquireCall(ctx, call)
	if err != nil {
		return response{}
	}
	var firstRefused time.Time
	for counted := 0; ; {
		sent := time.Now()
		r := e.send()
		switch {
		case r.ok:
			took := time.Since(sent)
			a.model.LearnDuration(took, took)
			a.model.Learn(e.counted, estimate.Parts{}, r.prompt-e.history, r.completion)
			permit.Settle(r.prompt + r.completion)
			if r.remaining >= 0 {
				state := limiter.ServerState{RemainingTokens: &r.remaining, LimitTokens: &e.network.limit}
				if r.requests >= 0 {
					state.RemainingRequests = &r.requests
				}
				a.limiter.Observe(state)
			}
			return r
		case r.late:
			if errors.Is(ctx.Err(), context.DeadlineExceeded) {
				a.model.LearnDuration(time.Since(sent), estimate.Unknown)
			}
			permit.Settle(permit.Tokens())
			return r
		}
		wait := permit.Throttled(limiter.Throttle{RetryAfter: r.retryAfter, Tokens: r.noTokens, Requests: !r.noTokens && !e.network.noHints})
		if firstRefused.IsZero() {
			firstRefused = time.Now()
		}
		if a.retries >= 0 && time.Since(firstRefused)+wait > maxOutage {
			if counted++; counted > a.retries {
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

// estimate returns the current estimate of a call.
func (a *adaptive) estimate(e *request) (prompt, reply int) {
	limit := a.limiter.Limit().TokenBurst
	prompt = min(limit, e.history+a.model.Prompt(e.counted, estimate.Parts{}))
	bound := estimate.Unbounded
	if e.maxTokens > 0 {
		bound = e.maxTokens
	}
	return prompt, min(a.model.Reply(bound, limit), limit-prompt)
}
