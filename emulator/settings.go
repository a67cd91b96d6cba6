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
}

func agentSettings(a generated.Agent) settings {
	return settings{
		author:       author{model: a.Model, agent: a.ID},
		instructions: a.Instructions,
		tools:        a.Tools,
		args:         a.CompletionArgs,
	}
}

// over returns the settings with what is set in others on top.
func (s settings) over(instructions string, tools []generated.Tool, args generated.CompletionArgs) settings {
	if instructions != "" {
		s.instructions = instructions
	}
	if tools != nil {
		s.tools = tools
	}
	s.args = mergeArgs(s.args, args)
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
