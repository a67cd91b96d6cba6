package runner

import (
	"context"
	"reflect"
	"slices"

	"github.com/mistral-ratelimit/mistral-ratelimit-go/generated"
)

// AgentTools lists the names of the function tools in which an agent differs from a runner.
type AgentTools struct {
	Missing   []string // tools of the runner that the agent does not have
	Different []string // tools with another description, parameters or strict
	Surplus   []string // tools of the agent that the runner does not have; calls of them fail
}

// IsEqual reports whether the agent has exactly the runner's functions.
func (a AgentTools) IsEqual() bool { return len(a.Missing)+len(a.Different)+len(a.Surplus) == 0 }

// CheckAgent compares an agent's function tools with the runner's. It changes nothing. The error is
// that of the client.
func (r *Runner) CheckAgent(ctx context.Context, agentID string) (AgentTools, error) {
	_, found, err := r.compareAgent(ctx, agentID)
	return found, err
}

// UpdateAgent sets the runner's tools that are missing in an agent or different there, as a new
// version of the agent. It does not change other tools, other settings or surplus functions. If
// nothing is missing or different, it sends no update. It returns the differences before the
// update, as [Runner.CheckAgent] does. A run never updates an agent.
func (r *Runner) UpdateAgent(ctx context.Context, agentID string) (AgentTools, error) {
	agent, found, err := r.compareAgent(ctx, agentID)
	if err != nil || len(found.Missing)+len(found.Different) == 0 {
		return found, err
	}
	tools := slices.Clone(agent.Tools)
	for _, name := range slices.Concat(found.Different, found.Missing) {
		definition := r.tools[name].Definition()
		at := slices.IndexFunc(tools, func(t generated.Tool) bool { return functionOf(t).Name == name })
		if at < 0 {
			tools = append(tools, definition)
			continue
		}
		tools[at] = definition
	}
	_, err = r.client.Beta.Agents.Update(ctx, agentID, generated.UpdateAgentRequest{Tools: tools}, r.config.Options...)
	return found, err
}

func (r *Runner) compareAgent(ctx context.Context, agentID string) (*generated.Agent, AgentTools, error) {
	var found AgentTools
	if r == nil || r.client == nil {
		return nil, found, errNoRunner
	}
	agent, err := r.client.Beta.Agents.Get(ctx, agentID, generated.GetAgentParams{}, r.config.Options...)
	if err != nil {
		return nil, found, err
	}
	have := map[string]generated.Function{}
	for _, tool := range agent.Tools {
		f := functionOf(tool)
		have[f.Name] = f
		if f.Name != "" && r.tools[f.Name] == nil {
			found.Surplus = append(found.Surplus, f.Name)
		}
	}
	for _, tool := range r.config.Tools {
		f, ok := have[tool.Name()]
		switch {
		case !ok:
			found.Missing = append(found.Missing, tool.Name())
		case !isSameFunction(f, tool.definition):
			found.Different = append(found.Different, tool.Name())
		}
	}
	return agent, found, nil
}

// errNoRunner is the error of a Runner that was not made with New.
var errNoRunner = &ConfigError{Field: "Runner", Rule: "must be made with runner.New"}

// functionOf returns the function of a tool, or a zero Function for another kind of tool.
func functionOf(t generated.Tool) generated.Function {
	f, _ := t.Value().(generated.FunctionTool)
	return f.Function
}

// isSameFunction compares two definitions. The order of properties does not matter.
func isSameFunction(a, b generated.Function) bool {
	var schemas [2]any
	for i, f := range []generated.Function{a, b} {
		if err := generated.DecodeJSON(f.Parameters, &schemas[i]); err != nil {
			return false
		}
	}
	return a.Description == b.Description && a.Strict == b.Strict && reflect.DeepEqual(schemas[0], schemas[1])
}
