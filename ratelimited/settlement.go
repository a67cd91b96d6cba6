package ratelimited

import (
	"net/http"
	"slices"
	"strings"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/ratelimited/internal/retry"
)

// A usage holds the known facts about the tokens that a call has used.
type usage struct {
	conversationID string
	reported       *generated.ConversationUsageInfo // by the response; nil if it is missing or unreadable
	isPartial      bool                             // the call is a stream that ended without reported usage
	received       []string                         // texts that a partial stream received
	assumed        int                              // tokens to charge without any of these
}

// settle ends the call's permit, unless it has ended. It charges the tokens that usedTokens returns, or returns all
// tokens if the server cannot have received a request.
func (c *call) settle(u usage) {
	if c.permit == nil || !c.ended.CompareAndSwap(false, true) {
		return
	}
	if !c.reached {
		c.returnPermit()
		return
	}
	used := c.usedTokens(u)
	defer c.client.saver.scheduleSave() // after the headers are observed
	c.permit.Settle(c.unconfirmed + used)
	if c.isObserved() {
		c.emit(Settled{Estimated: c.expected.total, Used: used, UnconfirmedTokens: c.unconfirmed})
	}
	// The headers include this call, so they come last. Headers of streams and failures
	// were observed when they arrived, and are outdated now.
	if c.latest.readWhole {
		c.observeLimits(c.latest.resp.Header)
	}
}

// usedTokens decides how many tokens the call counts as, and learns from reported usage.
func (c *call) usedTokens(u usage) int {
	switch {
	case u.reported != nil:
		c.learnDuration()
		used := c.plausibleUsage(*u.reported)
		if used == 0 {
			used = c.expected.total
		} else {
			c.learnUsage(used, *u.reported)
		}
		c.recordConversation(u.conversationID, used)
		return used
	case u.isPartial:
		used := c.expected.prompt + c.countReceived(u.received)
		if c.expected.fromCaller { // WithTokenEstimate does not split prompt and response
			used = max(used, c.expected.total)
		}
		c.recordConversation(u.conversationID, used)
		return used
	}
	return u.assumed
}

// settleAndClose settles the call, unless it is settled, and closes the response of its latest attempt. assumed is
// the number of tokens that the call then counts as.
func (c *call) settleAndClose(assumed int) {
	if c.latest != nil {
		defer c.latest.end() // last, because the caller's transport may panic
	}
	c.settle(usage{assumed: assumed})
}

// isReadable reports whether usage can be settled: it has a total, or all of its fields were decoded.
func isReadable(usage generated.ConversationUsageInfo, mismatches []generated.Mismatch) bool {
	const field = "/usage"
	isTokenCount := func(m generated.Mismatch) bool {
		name, isUsage := strings.CutPrefix(m.Pointer, field)
		return isUsage && (name == "" || name == "/prompt_tokens" || name == "/completion_tokens" || name == "/total_tokens")
	}
	const maxMismatches = 100 // further mismatches are not reported
	return usage.TotalTokens > 0 || len(mismatches) < maxMismatches && !slices.ContainsFunc(mismatches, isTokenCount)
}

// maxCountedBytes bounds the bytes of an unfinished stream that are counted, because counting runs in the
// caller's goroutine. The rest is extrapolated.
const maxCountedBytes = 64 << 10

// countReceived returns the number of tokens of texts. It counts the first bytes and extrapolates to the
// others.
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

// returnPermit ends the permit and returns its unused tokens. The call may then acquire another permit.
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

// observeLimits passes the limits in a response's headers to the limiters. Token limits apply to the
// call's model, which the response may have revealed. With BareBuckets, limits are not learned.
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
