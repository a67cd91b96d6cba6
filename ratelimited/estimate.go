package ratelimited

import (
	"context"
	"errors"
	"math"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/estimate"
)

// defaultResponseTokens is the estimate for a response if nothing was learned about the model.
const defaultResponseTokens = 500

// prompt is the content that the model reads in a call, and the bound of its response.
type prompt struct {
	model, agentID string // both empty for a call to a stored conversation
	conversationID string // its history is part of the prompt; empty for a new one
	inputs         generated.ConversationInputs
	instructions   string
	tools          []generated.Tool
	format         generated.ResponseFormat
	maxTokens      *int // the caller's bound for the response; nil without one
}

// maxResponse returns the maximum number of tokens of the response.
func (p *prompt) maxResponse() int {
	if p.maxTokens == nil {
		return estimate.Unbounded
	}
	return max(0, *p.maxTokens)
}

// copyOf returns a pointer to a copy, because the caller may change the value during the call.
func copyOf[T any](value *T) *T {
	if value == nil {
		return nil
	}
	return Ptr(*value)
}

// A callEstimate is the number of tokens that a call is expected to use.
type callEstimate struct {
	counted       int            // text tokens of the prompt, counted with the client's vocabulary
	parts         estimate.Parts // parts of the prompt that cannot be counted, such as images
	historyTokens int            // tokens of the conversation's history, as the server reported them
	certain       int            // counted + historyTokens
	learnable     bool           // the whole prompt was counted or reported
	prompt        int            // estimate for the whole prompt
	total         int            // prompt and response; above the bucket's capacity only if the prompt is
	fromCaller    bool           // total is from WithTokenEstimate
}

// resolveModel returns the call's model and agent, and the known data of its conversation and agent.
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

// countPrompt counts the part of the prompt that is in the request.
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

// initEstimate combines the counted part of the prompt with the history and the agent.
func (c *call) initEstimate(history conversation, own agent) {
	c.expected = c.ownPrompt
	e := &c.expected
	if n := c.options.tokenEstimate; n >= 0 {
		e.total, e.fromCaller = n, true
		return
	}
	startsConversation := c.op.prompt.conversationID == ""
	e.historyTokens, e.learnable = history.tokens, startsConversation || history.historyKnown
	if c.agentID != "" && startsConversation { // later the history includes them
		e.counted += own.tokens
		e.learnable = own.tokensKnown
	}
	e.certain = e.historyTokens + e.counted
}

// updateEstimate estimates the prompt and the response with the learned statistics. If prompt
// and response together exceed the bucket's capacity, the response's estimate is reduced first, and then
// the learned part of the prompt's. So the limiter only rejects prompts whose counted tokens do not fit.
func (c *call) updateEstimate() {
	e := &c.expected
	if c.op.prompt == nil || e.fromCaller {
		return
	}
	capacity, bound := c.limiter.Limit().TokenBurst, c.op.prompt.maxResponse()
	model, response := new(estimate.Model), min(defaultResponseTokens, bound)
	if c.learned != nil {
		model, response = c.learned, c.learned.Reply(bound, capacity)
	}
	if e.prompt = e.historyTokens + model.Prompt(e.counted, e.parts); e.prompt > capacity {
		e.prompt = max(capacity, min(e.prompt, e.certain))
	}
	e.total = max(e.prompt, min(e.prompt+response, capacity))
}

// reestimate implements [limiter.Call.Estimate].
func (c *call) reestimate() (prompt, response int) {
	c.updateEstimate()
	return c.expected.prompt, c.expected.total - c.expected.prompt
}

// maxPlausibleUsage bounds reported usage, as a multiple of the token bucket's capacity. Larger values are
// ignored, because they would stop all calls for too long.
const maxPlausibleUsage = 10

// plausibleUsage returns the number of tokens in reported usage, or 0 if it is missing or implausible.
func (c *call) plausibleUsage(reported generated.ConversationUsageInfo) int {
	prompt, response := max(0, reported.PromptTokens), max(0, reported.CompletionTokens)
	used := max(reported.TotalTokens, int(min(float64(prompt)+float64(response), math.MaxInt32)))
	if used <= 0 || used/maxPlausibleUsage > c.limiter.Limit().TokenBurst {
		return 0
	}
	return used
}

// learnUsage learns from plausible usage. used is its number of tokens.
func (c *call) learnUsage(used int, reported generated.ConversationUsageInfo) {
	if c.learned == nil || c.expected.fromCaller {
		return
	}
	prompt, response := max(0, reported.PromptTokens), max(0, reported.CompletionTokens)
	counted, parts := c.expected.counted, c.expected.parts
	if !c.expected.learnable || reported.ConnectorTokens > 0 {
		counted, parts = 0, estimate.Parts{} // the prompt has more parts than the counted ones
	}
	if prompt > 0 {
		response = max(response, used-prompt) // tokens of the API's tools count as response
	}
	if c.learned.IsCut(response, c.op.prompt.maxResponse()) {
		response = 0
	}
	c.learned.Learn(counted, parts, prompt-c.expected.historyTokens, response)
}

// learnDuration learns how long the server took for the latest attempt, which succeeded.
func (c *call) learnDuration() {
	if c.learned != nil {
		c.learned.LearnDuration(c.latest.serverTime())
	}
}

// learnInterrupted learns a lower bound of the duration from the latest attempt, if the context's deadline
// has ended it.
func (c *call) learnInterrupted() {
	if c.learned != nil && c.latest.arrived && errors.Is(c.ctx.Err(), context.DeadlineExceeded) {
		minimum, _ := c.latest.serverTime()
		c.learned.LearnDuration(minimum, estimate.Unknown)
	}
}

// recordConversation stores the data for the next call of the conversation.
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
