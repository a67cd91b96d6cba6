// Package engine runs calls: it calls the model, executes handoffs, counts the usage and
// streams the outputs as events.
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

// maxHandoffs is the maximum number of handoffs in a call.
const maxHandoffs = 16

// Engine runs calls. It is safe for concurrent use.
type Engine struct {
	Model func(context.Context, model.Prompt) model.Reply
	Store *state.Store
	Quota *quota.Limiter
	// TokenDelay is the time between two deltas.
	TokenDelay time.Duration
	// TokensPerSecond, if it is not 0, replaces TokenDelay.
	TokensPerSecond float64
}

// Call is the input of [Engine.Run].
type Call struct {
	ConversationID string
	Turn           int // the number of the request in the conversation, from 1
	Settings       state.Settings
	History        []generated.Entry
	state.Addition
	ClientHandoffs bool // whether the client executes handoffs
}

// Result is the result of a call, with the outputs of all agents.
type Result struct {
	Outputs []generated.Entry
	Usage   generated.ConversationUsageInfo // counted, or set by the model
	Err     error                           // the failure after the outputs, or nil
	Pace    time.Duration                   // the time between two deltas, if rate is 0
	rate    float64                         // tokens per second; 0 if Pace applies
	prompt  int                             // the counted prompt tokens
}

// Run runs the model. After a handoff it continues with the next agent, unless the client
// executes handoffs.
func (e *Engine) Run(ctx context.Context, call Call) Result {
	result := Result{Pace: e.TokenDelay, rate: e.TokensPerSecond}
	s, history, inputs, confirmations := call.Settings, call.History, call.Inputs, call.Confirmations
	for range 1 + maxHandoffs {
		p := model.Prompt{
			Conversation: call.ConversationID, Turn: call.Turn, Model: s.Model, Agent: s.Agent, AgentName: s.Name, Instructions: s.Instructions, Tools: s.Tools, Args: s.Args,
			Handoffs: e.Store.HandoffTargets(s), History: history, Inputs: inputs, Confirmations: confirmations,
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
			break // A custom model may return any id.
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

// add adds the outputs and the usage of one agent.
func (r *Result) add(reply model.Reply, p model.Prompt, outputs []generated.Entry) {
	prompt := countPrompt(p)
	usage := usageOf(prompt, outputs)
	usage.NumCachedTokens = countEntries(p.History)
	if reply.Usage != nil {
		connectors := usage.Connectors
		if usage = *reply.Usage; usage.Connectors == nil {
			usage.Connectors = connectors // The tools ran, even if Usage does not list them.
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

// handoffTarget returns the target of the handoff at the end of entries. It returns false if
// the last entry is not a handoff.
func handoffTarget(entries []generated.Entry) (string, bool) {
	if len(entries) == 0 {
		return "", false
	}
	h, ok := entries[len(entries)-1].Value().(generated.AgentHandoffEntry)
	return h.NextAgentID, ok
}

// Failure returns the response to an error of the model.
func Failure(err error) *wire.Failure {
	var modelErr *model.Error
	if !errors.As(err, &modelErr) {
		return wire.APIError(http.StatusInternalServerError, err.Error(), "internal_server_error", "3000")
	}
	f := wire.APIError(modelErr.Status, modelErr.Message, "invalid_request_error", "3000")
	f.Header = modelErr.Header
	if modelErr.Body != "" {
		f.Body = modelErr.Body
	}
	return f
}
