package state

import (
	"slices"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/emulator/internal/wire"
	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// Settings is the settings of a call.
type Settings struct {
	Author
	Instructions string
	Tools        []generated.Tool
	Args         generated.CompletionArgs
	Guardrails   []generated.GuardrailConfig
	Handoffs     []string // the ids of the agents to which the agent may hand off
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

// Over returns s with the settings that are set in other. The author does not change.
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
	var args generated.CompletionArgs // a deep copy
	carry(&args, s.Args)
	carry(&args, other.Args)
	s.Args = args
	return s
}

// Settings returns the settings of the next call of a conversation with these inputs. If the
// entries or inputs contain a handoff, they are those of the last target. If a target in the
// entries was deleted, or without a handoff, they are the conversation's own settings over
// those of its agent.
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

// HandoffTargets returns the existing agents to which an agent with these settings may hand
// off, in their current versions.
func (s *Store) HandoffTargets(settings Settings) []generated.Agent {
	var list []generated.Agent
	for _, id := range settings.Handoffs {
		if agent, missing := s.Agent(id, ""); missing == nil {
			list = append(list, agent)
		}
	}
	return list
}
