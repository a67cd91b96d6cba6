package ratelimited

import (
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// Estimate is the expected usage and duration of a call, based on the model's learned statistics.
type Estimate struct {
	Counted  int           // prompt tokens, counted with the client's vocabulary
	Prompt   int           // prompt tokens, corrected by the learned ratio of real to counted tokens
	Reply    int           // response tokens: the mean of the model's latest responses, 500 without one; at most max_tokens
	Replies  int           // number of responses in this mean: 0 to 64
	Duration time.Duration // from request to response, not exceeded by most calls; 0 if unknown
}

// Estimate returns the expected usage of a call of Conversations.Start. It does not send a request and does not
// use tokens. Its errors are a [*RequestError] or a [*TokenCountError], as for the call itself.
//
// The limiter reserves a different number of tokens for the call: see [Config.FixedEstimates].
func (c *Client) Estimate(request generated.StartConversationRequest) (Estimate, error) {
	if err := c.check(); err != nil {
		return Estimate{}, err
	}
	call := &call{client: c, op: startOperation(request, false), options: c.defaults}
	if call.op.invalid != nil {
		call.op.invalid.Operation = call.op.name
		return Estimate{}, call.op.invalid
	}
	if err := call.countPrompt(); err != nil {
		return Estimate{}, err
	}
	call.selectLimiter()
	e := Estimate{Counted: call.expected.certain, Prompt: call.expected.prompt, Reply: defaultResponseTokens}
	if call.learned != nil {
		if mean, n := call.learned.MeanReply(); n > 0 {
			e.Reply, e.Replies = int(mean+0.5), n
		}
		e.Duration, _ = call.learned.Duration()
	}
	e.Reply = min(e.Reply, call.op.prompt.maxResponse())
	return e, nil
}

// Forecast returns the time until the last of the given number of calls has started. It assumes that all of them
// are made now, that these are the only calls, and that each uses the given number of tokens. The empty model
// stands for all models that share the default limit. Forecast does not use tokens. It returns
// [limiter.Never] if the tokens of a call exceed the capacity of the token bucket.
func (c *Client) Forecast(model string, calls, tokens int) time.Duration {
	if c.check() != nil {
		return limiter.Never
	}
	l := c.limits.For(model)
	if f, ok := l.(interface {
		Forecast(calls, tokens int) time.Duration
	}); ok {
		return f.Forecast(calls, tokens)
	}
	// Limiters that Redis shares, and those of models with a lower token limit, do not have Forecast.
	limit := l.Limit()
	if tokens > limit.TokenBurst {
		return limiter.Never
	}
	seconds := max(float64(calls)/limit.RequestsPerSecond, 60*float64(calls)*float64(tokens)/float64(limit.TokensPerMinute))
	if seconds >= limiter.Never.Seconds() {
		return limiter.Never
	}
	return time.Duration(seconds * float64(time.Second))
}
