package emulator

import (
	"encoding/json"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// settings are what a call runs with.
type settings struct {
	author
	instructions string
	tools        []generated.Tool
	args         generated.CompletionArgs
	guardrails   []generated.GuardrailConfig
	handoffs     []string // ids of the agents it may hand over to
}

func agentSettings(a generated.Agent) settings {
	return settings{
		author:       author{model: a.Model, agent: a.ID, name: a.Name},
		instructions: a.Instructions,
		tools:        a.Tools,
		args:         a.CompletionArgs,
		guardrails:   a.Guardrails,
		handoffs:     a.Handoffs,
	}
}

// over returns the settings with what is set in others on top. Who it is stays.
func (s settings) over(other settings) settings {
	if other.instructions != "" {
		s.instructions = other.instructions
	}
	if other.tools != nil {
		s.tools = other.tools
	}
	if other.guardrails != nil {
		s.guardrails = other.guardrails
	}
	s.args = mergeArgs(s.args, other.args)
	return s
}

// mergeArgs returns base with what is set in over on top. It shares nothing with
// either.
func mergeArgs(base, over generated.CompletionArgs) generated.CompletionArgs {
	var merged generated.CompletionArgs
	for _, args := range []generated.CompletionArgs{base, over} {
		// Both came as JSON or are zero: neither step can fail.
		if data, err := json.Marshal(args); err == nil {
			_ = json.Unmarshal(data, &merged)
		}
	}
	return merged
}
