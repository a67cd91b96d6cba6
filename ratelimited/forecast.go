package ratelimited

import (
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/limiter"
)

// Estimate is what a call is expected to use and to take, by what the client has learned of its model.
type Estimate struct {
	Counted  int           // tokens of the prompt, by the client's vocabulary
	Prompt   int           // tokens of the prompt, by the ratio of real to counted tokens
	Reply    int           // tokens: the mean of the model's latest replies, or 500 if none was seen; at most max_tokens
	Replies  int           // how many replies Reply is the mean of: 0 to 64
	Duration time.Duration // most calls take no longer from request to response; 0 if unknown
}

// Estimate returns what Conversations.Start of the request is expected to use. It sends and takes
// nothing. The error is a [*RequestError] or a [*TokenCountError], as that of the call would be.
//
// The limiter reserves another amount for the call: see [Config.FixedEstimates].
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
	e := Estimate{Counted: call.expected.certain, Prompt: call.expected.prompt, Reply: defaultReplyTokens}
	if call.learned != nil {
		if mean, n := call.learned.MeanReply(); n > 0 {
			e.Reply, e.Replies = int(mean+0.5), n
		}
		e.Duration, _ = call.learned.Duration()
	}
	e.Reply = min(e.Reply, call.op.prompt.maxReply())
	return e, nil
}

// Forecast returns how long it takes until the last of a number of calls to the given model has
// started, if all of them come now, nobody else makes calls, and each uses the given number of
// tokens. The empty model is any that shares the default limit. Forecast takes nothing. The answer
// is [limiter.Never] for calls of more tokens than the bucket holds.
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
	// The limiters that are shared through Redis, and those of models with a lower limit of tokens.
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
