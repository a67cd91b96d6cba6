// Package engine runs calls: it has a model answer, carries out handoffs, counts the usage
// and sends the outputs as events.
package engine

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/quota"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/state"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/model"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// maxHandoffs ends a call whose agents hand the conversation on and on.
const maxHandoffs = 16

// Engine runs calls. It is safe for concurrent use.
type Engine struct {
	Model func(context.Context, model.Prompt) model.Reply
	Store *state.Store
	Quota *quota.Limiter
	// TokenDelay is the time between two deltas.
	TokenDelay time.Duration
	// TokensPerSecond, where it is not 0, replaces TokenDelay.
	TokensPerSecond float64
}

// Call is one call of a model.
type Call struct {
	ConversationID string
	Turn           int // the number of the request in the conversation, from 1
	Settings       state.Settings
	History        []generated.Entry
	state.Addition
	ClientHandoffs bool // the caller carries handoffs out
}

// Result is what a call came to: the outputs of all agents that took part.
type Result struct {
	Outputs []generated.Entry
	Usage   generated.ConversationUsageInfo // as counted, or as the model says
	Err     error                           // after the outputs
	Pace    time.Duration                   // between two deltas; with rate, 0
	rate    float64                         // tokens per second; 0 for none
	prompt  int                             // tokens, as counted
}

// Run has the model answer, and goes on with the agent that it hands over to, unless the
// caller does.
func (e *Engine) Run(ctx context.Context, call Call) Result {
	result := Result{Pace: e.TokenDelay, rate: e.TokensPerSecond}
	s, history, inputs, confirmations := call.Settings, call.History, call.Inputs, call.Confirmations
	for range 1 + maxHandoffs {
		p := model.Prompt{
			Conversation: call.ConversationID, Turn: call.Turn, Model: s.Model, Agent: s.Agent, AgentName: s.Name, Instructions: s.Instructions, Tools: s.Tools, Args: s.Args,
			Handoffs: e.Store.Successors(s), History: history, Inputs: inputs, Confirmations: confirmations,
		}
		reply := checked(e.Model(ctx, p))
		outputs := limitOutputs(reply.Outputs(), p.Args)
		for i, output := range outputs {
			outputs[i] = s.Stamp(output)
		}
		result.add(reply, p, outputs)
		next, ok := handoffTarget(outputs)
		if !ok || reply.Err != nil || call.ClientHandoffs {
			break
		}
		agent, missing := e.Store.Agent(next, "")
		if missing != nil {
			break // A model of the caller's may have invented it.
		}
		s = state.AgentSettings(agent)
		history, inputs, confirmations = slices.Concat(history, inputs, outputs), nil, nil
		if refused := e.Quota.CheckTools(wire.ServiceTools(s.Tools)); refused != nil {
			limit := refused.Failure()
			result.Err = &model.Error{
				Status: http.StatusTooManyRequests, Message: refused.Tool + " rate limit reached.", Body: string(wire.Encode(limit.Body)),
			}
			break
		}
	}
	return result
}

// add adds what one agent did.
func (r *Result) add(reply model.Reply, p model.Prompt, outputs []generated.Entry) {
	prompt := countPrompt(p)
	usage := usageOf(prompt, outputs)
	usage.NumCachedTokens = countEntries(p.History)
	if reply.Usage != nil {
		connectors := usage.Connectors
		if usage = *reply.Usage; usage.Connectors == nil {
			usage.Connectors = connectors // They ran, whatever they cost.
		}
	}
	r.Outputs = append(r.Outputs, outputs...)
	r.Err = reply.Err
	if reply.Pace > 0 {
		r.Pace, r.rate = reply.Pace, 0
	}
	r.prompt += prompt
	r.Usage.PromptTokens += usage.PromptTokens
	r.Usage.CompletionTokens += usage.CompletionTokens
	r.Usage.TotalTokens += usage.TotalTokens
	r.Usage.ConnectorTokens += usage.ConnectorTokens
	r.Usage.NumCachedTokens += usage.NumCachedTokens
	for tool, runs := range usage.Connectors {
		if r.Usage.Connectors == nil {
			r.Usage.Connectors = map[string]int{}
		}
		r.Usage.Connectors[tool] += runs
	}
}

// handoffTarget returns the agent that a list of entries ends with a handoff to.
func handoffTarget(entries []generated.Entry) (string, bool) {
	if len(entries) == 0 {
		return "", false
	}
	h, ok := entries[len(entries)-1].Value().(generated.AgentHandoffEntry)
	return h.NextAgentID, ok
}

// Failure returns the response for an error of the model.
func Failure(err error) *wire.Failure {
	var own *model.Error
	if !errors.As(err, &own) {
		return wire.APIError(http.StatusInternalServerError, err.Error(), "internal_server_error", "3000")
	}
	f := wire.APIError(own.Status, own.Message, "invalid_request_error", "3000")
	f.Header = own.Header
	if own.Body != "" {
		f.Body = own.Body
	}
	return f
}
