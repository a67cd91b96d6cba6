package emulator

import (
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// mostHandoffs ends a call in which agents hand the conversation on and on.
const mostHandoffs = 16

// turn is what a call came to: the outputs of all agents that had a part in it.
type turn struct {
	outputs []generated.Entry
	bytes   int                             // the memory of the outputs
	prompt  int                             // tokens that were read
	usage   generated.ConversationUsageInfo // of all, as counted or as the model says
	err     error
}

// add adds what one agent did.
func (t *turn) add(reply Reply, p Prompt, outputs []generated.Entry) {
	prompt := countPrompt(p)
	usage := usageOf(prompt, outputs)
	usage.NumCachedTokens = countEntries(p.History)
	if reply.Usage != nil {
		usage = *reply.Usage
	}
	t.err = reply.Err
	t.prompt += prompt
	t.usage.PromptTokens += usage.PromptTokens
	t.usage.CompletionTokens += usage.CompletionTokens
	t.usage.TotalTokens += usage.TotalTokens
	t.usage.ConnectorTokens += usage.ConnectorTokens
	t.usage.NumCachedTokens += usage.NumCachedTokens
	for tool, runs := range usage.Connectors {
		if t.usage.Connectors == nil {
			t.usage.Connectors = map[string]int{}
		}
		t.usage.Connectors[tool] += runs
	}
}

// take runs the model, and goes on with the agent that it hands over to, unless the
// caller is to carry that out.
func (e *Emulator) take(ctx context.Context, call run) turn {
	var t turn
	s, history, inputs, confirmations := call.settings, call.history, call.inputs, call.confirmations
	for range 1 + mostHandoffs {
		p := Prompt{
			Model: s.model, Agent: s.agent, Instructions: s.instructions, Tools: s.tools, Args: s.args,
			Handoffs: e.successors(s), History: history, Inputs: inputs, Confirmations: confirmations,
		}
		reply := e.cfg.Model(ctx, p)
		outputs := reply.outputs()
		if reply.Err == nil || len(outputs) > 0 {
			outputs = limitOutputs(outputs, p.Args)
		}
		for i, output := range outputs {
			outputs[i] = s.stamp(output)
		}
		t.outputs = append(t.outputs, outputs...)
		t.add(reply, p, outputs)
		next, ok := successor(outputs)
		if !ok || reply.Err != nil || call.byClient {
			break
		}
		agent, missing := e.agentVersion(next, "")
		if missing != nil {
			break // A model of the caller's own may have made it up.
		}
		s = agentSettings(agent)
		history, inputs, confirmations = slices.Concat(history, inputs, outputs), nil, nil
		if refused := e.gate.refuseTools(toolNames(s.tools), time.Now()); refused != nil {
			text := toolLimitText(refused.tool)
			t.err = &Error{Status: http.StatusTooManyRequests, Message: text, Body: string(encode(map[string]string{"detail": text}))}
			break
		}
	}
	return t
}

// successor returns the agent that a list of entries ends with a handoff to.
func successor(entries []generated.Entry) (string, bool) {
	if len(entries) == 0 {
		return "", false
	}
	h, ok := entries[len(entries)-1].Value().(generated.AgentHandoffEntry)
	return h.NextAgentID, ok
}

// successors returns the agents that one may hand over to, as they are now.
func (e *Emulator) successors(s settings) []generated.Agent {
	var list []generated.Agent
	for _, id := range s.handoffs {
		if agent, missing := e.agentVersion(id, ""); missing == nil {
			list = append(list, agent)
		}
	}
	return list
}

// heir returns the agent that a conversation was last handed to, if that is still
// there: it is who answers from then on.
func (e *Emulator) heir(entries []generated.Entry) (generated.Agent, bool) {
	for _, entry := range slices.Backward(entries) {
		if h, ok := entry.Value().(generated.AgentHandoffEntry); ok {
			agent, missing := e.agentVersion(h.NextAgentID, "")
			return agent, missing == nil
		}
	}
	return generated.Agent{}, false
}

// handOver hands the conversation to the agent whose name or description shares a word
// with the prompt; not to one that has handed it on since the user's last message.
func handOver(p Prompt) ([]generated.Entry, bool) {
	if len(p.Handoffs) == 0 {
		return nil, false
	}
	var before []string
	for _, entry := range slices.Backward(slices.Concat(p.History, p.Inputs)) {
		if h, ok := entry.Value().(generated.AgentHandoffEntry); ok {
			before = append(before, h.PreviousAgentID)
		}
		if _, ok := entry.Value().(generated.MessageInputEntry); ok {
			break
		}
	}
	asked := vocabulary(p.Text())
	for _, next := range p.Handoffs {
		if !slices.Contains(before, next.ID) && shareWord(asked, next.Name+" "+next.Description) {
			return []generated.Entry{generated.NewEntry(generated.AgentHandoffEntry{NextAgentID: next.ID, NextAgentName: next.Name})}, true
		}
	}
	return nil, false
}
