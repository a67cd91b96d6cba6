package ratelimited

import (
	"context"
	"errors"
	"math"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/internal/estimate"
)

// fixedReply is how many tokens a reply is taken to have where nothing is learned.
const fixedReply = 500

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
func (p *prompt) bound() int {
	if p.maxTokens == nil {
		return estimate.Unbounded
	}
	return max(0, *p.maxTokens)
}

// copied returns a copy of what the caller may change while the call is under way.
func copied[T any](value *T) *T {
	if value == nil {
		return nil
	}
	return Ptr(*value)
}

// A guess is what a call is expected to use, in tokens.
type guess struct {
	counted int            // of the prompt's text, by the client's vocabulary
	parts   estimate.Parts // of the prompt that cannot be counted
	known   int            // of the prompt, by the server: the history
	certain int            // counted and known: without what is learned
	teaches bool           // all of the prompt is either counted or known
	prompt  int            // what the model reads
	total   int            // with its reply; above the bucket's capacity only if the prompt is
	given   bool           // total is the caller's
}

// resolve finds out which model a call is for, and what it reads beside its inputs.
func (f *flight) resolve() (model, agentID string, history conversation, own agent) {
	p := f.op.prompt
	model, agentID = p.model, p.agentID
	if p.conversationID != "" {
		history = f.client.memory.conversations.get(p.conversationID)
		model, agentID = history.model, history.agentID
	}
	if agentID != "" {
		own = f.client.memory.agents.get(agentID)
		model = own.model
	}
	return model, agentID, history, own
}

// countPrompt counts what the call itself has of its prompt.
func (f *flight) countPrompt() error {
	p := f.op.prompt
	if p == nil || f.options.tokenEstimate >= 0 {
		return nil
	}
	counter := f.client.counter
	if err := counter.Load(); err != nil {
		return &TokenCountError{Operation: f.op.name, Err: err}
	}
	parts := counter.Parts(p.inputs)
	f.ownPrompt.counted = parts.Text + counter.Instructions(p.instructions) + counter.Tools(p.tools) + counter.Format(p.format)
	f.ownPrompt.parts = estimate.Parts{
		estimate.Image: parts.Images, estimate.LowImage: parts.LowImages, estimate.Document: parts.Documents,
		estimate.Audio: parts.Audio, estimate.Other: parts.Others,
	}
	return nil
}

// know notes what is known of the prompt beside what was counted of the call itself.
func (f *flight) know(history conversation, own agent) {
	f.guess = f.ownPrompt
	g := &f.guess
	if n := f.options.tokenEstimate; n >= 0 {
		g.total, g.given = n, true
		return
	}
	startsConversation := f.op.prompt.conversationID == ""
	g.known, g.teaches = history.tokens, startsConversation || history.known
	if f.agentID != "" && startsConversation { // afterwards the history has them
		g.counted += own.tokens
		g.teaches = own.known
	}
	g.certain = g.known + g.counted
}

// estimate estimates the prompt and the reply by what has been learned so far. An estimate of the
// reply that does not fit the bucket beside the prompt is cut, and so is what was learned of the
// prompt: only a prompt whose counted tokens do not fit is for the limiter to refuse.
func (f *flight) estimate() {
	g := &f.guess
	if f.op.prompt == nil || g.given {
		return
	}
	capacity, bound := f.limiter.Limit().TokenBurst, f.op.prompt.bound()
	model, reply := new(estimate.Model), min(fixedReply, bound)
	if f.learned != nil {
		model, reply = f.learned, f.learned.Reply(bound, capacity)
	}
	if g.prompt = g.known + model.Prompt(g.counted, g.parts); g.prompt > capacity {
		g.prompt = max(capacity, min(g.prompt, g.certain))
	}
	g.total = max(g.prompt, min(g.prompt+reply, capacity))
}

// estimateAgain is the [limiter.Call.Estimate] of the call.
func (f *flight) estimateAgain() (prompt, reply int) {
	f.estimate()
	return f.guess.prompt, f.guess.total - f.guess.prompt
}

// maxPlausibleUsage bounds the reported usage, as a multiple of the token bucket's capacity. Larger values
// are ignored, because they would stop all calls for longer.
const maxPlausibleUsage = 10

// learn takes what a reply reports as used, and returns how many tokens that is
// for the limiter. A reply without figures, or with one that cannot be, keeps the
// estimate.
func (f *flight) learn(conversationID string, usage generated.ConversationUsageInfo) int {
	prompt, reply := max(0, usage.PromptTokens), max(0, usage.CompletionTokens)
	used := max(usage.TotalTokens, int(min(float64(prompt)+float64(reply), math.MaxInt32)))
	if used <= 0 || used/maxPlausibleUsage > f.limiter.Limit().TokenBurst {
		f.remember(conversationID, f.guess.total)
		return f.guess.total
	}
	if g := f.guess; f.learned != nil && !g.given {
		counted, parts := g.counted, g.parts
		if !g.teaches || usage.ConnectorTokens > 0 {
			counted, parts = 0, estimate.Parts{} // the prompt has more than was counted
		}
		if prompt > 0 {
			reply = max(reply, used-prompt) // what tools of the service added is as good as written
		}
		if f.learned.IsCut(reply, f.op.prompt.bound()) {
			reply = 0
		}
		f.learned.Learn(counted, parts, prompt-g.known, reply)
	}
	f.remember(conversationID, used)
	return used
}

// learnDuration learns how long the server took for the latest attempt, which succeeded.
func (f *flight) learnDuration() {
	if f.learned != nil {
		f.learned.LearnDuration(f.latest.took())
	}
}

// learnCutOff learns from the latest attempt, if the deadline of the call's context ended it, that
// calls may take longer.
func (f *flight) learnCutOff() {
	if f.learned != nil && f.latest.arrived && errors.Is(f.ctx.Err(), context.DeadlineExceeded) {
		least, _ := f.latest.took()
		f.learned.LearnDuration(least, estimate.Unknown)
	}
}

// remember keeps what the next call of the conversation needs to know.
func (f *flight) remember(conversationID string, tokens int) {
	f.client.memory.conversations.update(conversationID, func(c *conversation) {
		c.tokens, c.known = tokens, true
		if f.agentID != "" {
			c.agentID = f.agentID
		} else if f.model != "" {
			c.model = f.model
		}
	})
}
