package ratelimited

import (
	"context"
	"errors"
	"math"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/estimate"
)

// fixedReply is how many tokens a reply is taken to have where nothing is learned.
const defaultReplyTokens = 500

// prompt is what a call asks of a model.
type prompt struct {
	model, agentID string // both empty: those of the conversation
	conversationID string // of the conversation whose history the model reads too
	inputs         generated.ConversationInputs
	instructions   string
	tools          []generated.Tool
	format         generated.ResponseFormat
	maxTokens      *int // the caller's bound of the reply
}

// bound returns how many tokens the reply may have.
func (p *prompt) maxReply() int {
	if p.maxTokens == nil {
		return estimate.Unbounded
	}
	return max(0, *p.maxTokens)
}

// copied returns a copy of what the caller may change while the call is under way.
func copyOf[T any](value *T) *T {
	if value == nil {
		return nil
	}
	return Ptr(*value)
}

// A guess is what a call is expected to use, in tokens.
type callEstimate struct {
	counted       int            // of the prompt's text, by the client's vocabulary
	parts         estimate.Parts // of the prompt that cannot be counted
	historyTokens int            // of the prompt, by the server: the history
	certain       int            // counted and known: without what is learned
	learnable     bool           // all of the prompt is either counted or known
	prompt        int            // what the model reads
	total         int            // with its reply; above the bucket's capacity only if the prompt is
	fromCaller    bool           // total is the caller's
}

// resolve finds out which model a call is for, and what it reads beside its inputs.
func (c *call) resolveModel() (model, agentID string, history conversation, own agent) {
	p := c.op.prompt
	model, agentID = p.model, p.agentID
	if p.conversationID != "" {
		history = c.client.memory.conversations.get(p.conversationID)
		model, agentID = history.model, history.agentID
	}
	if agentID != "" {
		own = c.client.memory.agents.get(agentID)
		model = own.model
	}
	return model, agentID, history, own
}

// countPrompt counts what the call itself has of its prompt.
func (c *call) countPrompt() error {
	p := c.op.prompt
	if p == nil || c.options.tokenEstimate >= 0 {
		return nil
	}
	counter := c.client.counter
	if err := counter.Load(); err != nil {
		return &TokenCountError{Operation: c.op.name, Err: err}
	}
	parts := counter.Parts(p.inputs)
	c.ownPrompt.counted = parts.Text + counter.Instructions(p.instructions) + counter.Tools(p.tools) + counter.Format(p.format)
	c.ownPrompt.parts = estimate.Parts{
		estimate.Image: parts.Images, estimate.LowImage: parts.LowImages, estimate.Document: parts.Documents,
		estimate.Audio: parts.Audio, estimate.Other: parts.Others,
	}
	return nil
}

// know notes what is known of the prompt beside what was counted of the call itself.
func (c *call) initEstimate(history conversation, own agent) {
	c.expected = c.ownPrompt
	g := &c.expected
	if n := c.options.tokenEstimate; n >= 0 {
		g.total, g.fromCaller = n, true
		return
	}
	startsConversation := c.op.prompt.conversationID == ""
	g.historyTokens, g.learnable = history.tokens, startsConversation || history.historyKnown
	if c.agentID != "" && startsConversation { // afterwards the history has them
		g.counted += own.tokens
		g.learnable = own.tokensKnown
	}
	g.certain = g.historyTokens + g.counted
}

// estimate estimates the prompt and the reply by what has been learned so far. An estimate of the
// reply that does not fit the bucket beside the prompt is cut, and so is what was learned of the
// prompt: only a prompt whose counted tokens do not fit is for the limiter to refuse.
func (c *call) updateEstimate() {
	g := &c.expected
	if c.op.prompt == nil || g.fromCaller {
		return
	}
	capacity, bound := c.limiter.Limit().TokenBurst, c.op.prompt.maxReply()
	model, reply := new(estimate.Model), min(defaultReplyTokens, bound)
	if c.learned != nil {
		model, reply = c.learned, c.learned.Reply(bound, capacity)
	}
	if g.prompt = g.historyTokens + model.Prompt(g.counted, g.parts); g.prompt > capacity {
		g.prompt = max(capacity, min(g.prompt, g.certain))
	}
	g.total = max(g.prompt, min(g.prompt+reply, capacity))
}

// estimateAgain is the [limiter.Call.Estimate] of the call.
func (c *call) reestimate() (prompt, reply int) {
	c.updateEstimate()
	return c.expected.prompt, c.expected.total - c.expected.prompt
}

// maxPlausibleUsage bounds the reported usage, as a multiple of the token bucket's capacity. Larger values
// are ignored, because they would stop all calls for longer.
const maxPlausibleUsage = 10

// learn takes what a reply reports as used, and returns how many tokens that is
// for the limiter. A reply without figures, or with one that cannot be, keeps the
// estimate.
func (c *call) learnUsage(conversationID string, usage generated.ConversationUsageInfo) int {
	prompt, reply := max(0, usage.PromptTokens), max(0, usage.CompletionTokens)
	used := max(usage.TotalTokens, int(min(float64(prompt)+float64(reply), math.MaxInt32)))
	if used <= 0 || used/maxPlausibleUsage > c.limiter.Limit().TokenBurst {
		c.recordConversation(conversationID, c.expected.total)
		return c.expected.total
	}
	if g := c.expected; c.learned != nil && !g.fromCaller {
		counted, parts := g.counted, g.parts
		if !g.learnable || usage.ConnectorTokens > 0 {
			counted, parts = 0, estimate.Parts{} // the prompt has more than was counted
		}
		if prompt > 0 {
			reply = max(reply, used-prompt) // what tools of the service added is as good as written
		}
		if c.learned.IsCut(reply, c.op.prompt.maxReply()) {
			reply = 0
		}
		c.learned.Learn(counted, parts, prompt-g.historyTokens, reply)
	}
	c.recordConversation(conversationID, used)
	return used
}

// learnDuration learns how long the server took for the latest attempt, which succeeded.
func (c *call) learnDuration() {
	if c.learned != nil {
		c.learned.LearnDuration(c.latest.serverTime())
	}
}

// learnCutOff learns from the latest attempt, if the deadline of the call's context ended it, that
// calls may take longer.
func (c *call) learnInterrupted() {
	if c.learned != nil && c.latest.arrived && errors.Is(c.ctx.Err(), context.DeadlineExceeded) {
		least, _ := c.latest.serverTime()
		c.learned.LearnDuration(least, estimate.Unknown)
	}
}

// remember keeps what the next call of the conversation needs to know.
func (c *call) recordConversation(conversationID string, tokens int) {
	c.client.memory.conversations.update(conversationID, func(known *conversation) {
		known.tokens, known.historyKnown = tokens, true
		if c.agentID != "" {
			known.agentID = c.agentID
		} else if c.model != "" {
			known.model = c.model
		}
	})
}
