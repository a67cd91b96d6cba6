package state

import (
	"slices"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// Settings are what a call runs with.
type Settings struct {
	Author
	Instructions string
	Tools        []generated.Tool
	Args         generated.CompletionArgs
	Guardrails   []generated.GuardrailConfig
	Handoffs     []string // ids of the agents that this one may hand over to
}

// AgentSettings returns the settings of an agent.
func AgentSettings(a generated.Agent) Settings {
	return Settings{
		Author:       Author{Model: a.Model, Agent: a.ID, Name: a.Name},
		Instructions: a.Instructions,
		Tools:        a.Tools,
		Args:         a.CompletionArgs,
		Guardrails:   a.Guardrails,
		Handoffs:     a.Handoffs,
	}
}

// Over returns the settings with what is set in others on top. The author stays.
func (s Settings) Over(other Settings) Settings {
	if other.Instructions != "" {
		s.Instructions = other.Instructions
	}
	if other.Tools != nil {
		s.Tools = other.Tools
	}
	if other.Guardrails != nil {
		s.Guardrails = other.Guardrails
	}
	var args generated.CompletionArgs // shares nothing with either
	carry(&args, s.Args)
	carry(&args, other.Args)
	s.Args = args
	return s
}

// Settings returns what a conversation with these entries runs with now: its own on top of
// its agent's, or those of the agent that its entries, or the inputs of a call, last hand
// over to, if that still exists.
func (s *Store) Settings(c Conversation, inputs []generated.Entry) (Settings, *wire.Failure) {
	if c.View.AgentID == "" {
		return c.Own, nil
	}
	for i, entry := range slices.Backward(slices.Concat(c.Entries, inputs)) {
		if h, ok := entry.Value().(generated.AgentHandoffEntry); ok {
			agent, missing := s.Agent(h.NextAgentID, "")
			if missing == nil || i >= len(c.Entries) {
				return AgentSettings(agent), missing
			}
			break
		}
	}
	version, missing := s.Agent(c.View.AgentID, string(c.View.AgentVersion))
	if missing != nil {
		return Settings{}, missing
	}
	return AgentSettings(version).Over(c.Own), nil
}

// Successors returns the agents that one may hand over to, as they are now.
func (s *Store) Successors(of Settings) []generated.Agent {
	var list []generated.Agent
	for _, id := range of.Handoffs {
		if agent, missing := s.Agent(id, ""); missing == nil {
			list = append(list, agent)
		}
	}
	return list
}
