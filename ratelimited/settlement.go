package ratelimited

import (
	"net/http"
	"slices"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited/internal/retry"
)

// settle ends the permit with what the reply says was used, and learns from it.
func (c *call) settle(conversationID string, usage generated.ConversationUsageInfo) {
	if c.ended.CompareAndSwap(false, true) {
		c.learnDuration()
		c.conclude(c.learnUsage(conversationID, usage))
	}
}

// isReadable reports whether a usage is complete enough to settle: it has a total, or none
// of its figures was skipped.
func isReadable(usage generated.ConversationUsageInfo, mismatches []generated.Mismatch) bool {
	const field = "/usage"
	isFigure := func(m generated.Mismatch) bool {
		name, isUsage := strings.CutPrefix(m.Pointer, field)
		return isUsage && (name == "" || name == "/prompt_tokens" || name == "/completion_tokens" || name == "/total_tokens")
	}
	const reported = 100 // of more mismatches, those of the usage may not be reported
	return usage.TotalTokens > 0 || len(mismatches) < reported && !slices.ContainsFunc(mismatches, isFigure)
}

// settleReceived ends the permit of a stream that did not say what it used: the
// prompt was read, and so much of the reply came.
func (c *call) settleReceived(conversationID string, texts []string) {
	if !c.ended.CompareAndSwap(false, true) {
		return
	}
	used := c.expected.prompt + c.countReceived(texts)
	if c.expected.fromCaller { // by the caller, who did not say how much of it is the prompt
		used = max(used, c.expected.total)
	}
	c.recordConversation(conversationID, used)
	c.conclude(used)
}

// maxCounted is how many bytes of a stream that was left are counted, in the caller's
// goroutine; the rest is estimated.
const maxCountedBytes = 64 << 10

// countReceived returns the number of tokens of texts: as counted of the first bytes, and in
// proportion to that of the others.
func (c *call) countReceived(texts []string) int {
	tokens, counted, total := 0, 0, 0
	for _, text := range texts {
		total += len(text)
		text = text[:min(len(text), maxCountedBytes-counted)]
		tokens += c.client.counter.Text(text)
		counted += len(text)
	}
	if counted == total {
		return tokens
	}
	return int(float64(tokens) / float64(counted) * float64(total))
}

// land ends whatever of the flight has not ended yet. used is what the call
// counts as if it was not settled. A call of which the server saw nothing gives
// everything back.
func (c *call) land(used int) {
	if c.latest != nil {
		defer c.latest.end() // last: it may panic
	}
	switch {
	case c.permit == nil || !c.ended.CompareAndSwap(false, true):
	case c.reached:
		c.conclude(used)
	default:
		c.returnPermit()
	}
}

// giveBack returns the permit, with all that was not used, until the call acquires
// another one.
func (c *call) returnPermit() {
	if c.permit == nil {
		return
	}
	if c.ended.Store(true); c.reached {
		c.permit.Settle(c.unconfirmed)
	} else {
		c.permit.Cancel()
	}
	c.client.saver.scheduleSave()
	if c.isObserved() {
		c.emit(Settled{Estimated: c.permit.Tokens(), UnconfirmedTokens: c.unconfirmed, Cancelled: !c.reached})
	}
	c.permit, c.reached, c.unconfirmed = nil, false, 0
}

// conclude settles what the call used, and what attempts without a reply may have
// used. Then comes what the server says, which counts this call. What streams and
// failures brought of that was taken when it came: it is old by now.
func (c *call) conclude(used int) {
	defer c.client.saver.scheduleSave() // with what the server says
	c.permit.Settle(c.unconfirmed + used)
	if c.isObserved() {
		c.emit(Settled{Estimated: c.expected.total, Used: used, UnconfirmedTokens: c.unconfirmed})
	}
	if c.latest.readWhole {
		c.observeLimits(c.latest.resp.Header)
	}
}

// observe tells the limiters what the server says of the account's limits. What it says of tokens
// is about the model, which the reply may have named. Bare buckets learn no limit.
func (c *call) observeLimits(header http.Header) {
	state, found := retry.ServerState(header)
	switch {
	case !found:
	case c.client.config.BareBuckets:
		c.limiter.Observe(state)
	default:
		model := c.model
		if model == "" && c.op.prompt != nil {
			model, _, _, _ = c.resolveModel()
		}
		c.client.limits.Observe(model, state)
	}
}
